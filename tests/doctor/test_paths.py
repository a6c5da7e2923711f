"""Where the paths of an observed program lead."""

import contextlib
import sqlite3
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from lowres.doctor.paths import Files, scratch_in
from lowres.doctor.serving import Kitchen


@pytest.fixture
def home(tmp_path):
    """The user's folder, two levels below what else belongs to the user; `observe` runs programs there."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def head(program, *lines):
    return program(("\nfor epoch in", "\n" + "\n".join(lines) + "\n\nfor epoch in"))


def test_a_data_set_s_folder_is_below_the_user_s(tmp_path, monkeypatch):
    kitchen = Kitchen(tmp_path / "user", None)
    (tmp_path / "user" / "below").mkdir(parents=True)
    scratch = scratch_in(tmp_path)
    (scratch / "runs").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.chdir(scratch)
    assert kitchen._place("data") == tmp_path / "user" / "data"
    assert kitchen._place(scratch / "data") == tmp_path / "user" / "data"
    assert kitchen._place("~/data") == Path("~/data").expanduser()
    monkeypatch.chdir(scratch / "runs")
    assert kitchen._place("data") == tmp_path / "user" / "runs" / "data"
    for elsewhere in (tmp_path / "user" / "below", tmp_path / "user"):
        monkeypatch.chdir(elsewhere)
        assert kitchen._place("data") == elsewhere / "data"


def test_a_data_set_is_found_where_temporary_files_lie_below_the_user_s_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(scratch_in(tmp_path / "tmp"))
    assert Kitchen(tmp_path, None)._place("data") == tmp_path / "data"


def test_what_lies_above_is_the_user_s(observe, program, tmp_path, home):
    (tmp_path / "labels.csv").write_text("a,b")
    (home / "one").mkdir()
    report = observe(
        head(
            program,
            "import os",
            "assert open('../labels.csv').read() == 'a,b'",
            "assert os.path.exists('../../' + os.path.basename(os.path.dirname(os.path.dirname(__file__))))",
            "assert os.listdir(os.path.join(os.getcwd(), '..', 'home')) == os.listdir('.')",
            "open('../written.txt', 'w').write('aside')",
            "assert open('../written.txt').read() == 'aside'",
        )
    )
    assert report.problem == ""
    assert sorted(one.name for one in tmp_path.iterdir() if one.suffix) == ["labels.csv"]


@pytest.mark.parametrize(
    "place", ["sys.path.append('..')", "sys.path.append(os.path.abspath('..'))", "sys.path.insert(0, 'lib')"]
)
def test_modules_are_found_in_relative_places(observe, program, tmp_path, home, place):
    (home / "lib").mkdir()
    for folder in (tmp_path, home / "lib"):
        (folder / "rates_of_mine.py").write_text("RATE = 0.1\n")
    report = observe(head(program, "import os, sys", place, "from rates_of_mine import RATE"))
    assert report.problem == ""


def test_a_module_of_the_user_s_that_is_not_found_is_not_to_be_installed(observe, program, home):
    (home / "src").mkdir()
    (home / "src" / "rates_of_ours.py").write_text("")
    problem = observe("import rates_of_ours\n").problem
    assert "pip" not in problem
    assert f"{home / 'src' / 'rates_of_ours.py'} is not on the search path" in problem


def test_a_module_of_a_package_imports_its_neighbours(observe, program, home):
    (home / "__init__.py").write_text("")
    (home / "rates.py").write_text("RATE = 0.1\n")
    assert observe(head(program, "from .rates import RATE")).problem == ""


def test_what_a_program_writes_hides_nothing(observe, program, home):
    (home / "imgs").mkdir()
    Image.new("RGB", (8, 8)).save(home / "imgs" / "a.png")
    report = observe(
        head(
            program,
            "import glob, os, pathlib, torchvision",
            "open('imgs/index.txt', 'w').write('a.png')",
            "assert sorted(os.listdir('imgs')) == ['a.png', 'index.txt']",
            "assert glob.glob('imgs/*.png') == ['imgs/a.png']",
            "assert [one.name for one in pathlib.Path('imgs').glob('*.png')] == ['a.png']",
            "assert sorted(os.listdir()) == ['imgs', 'train.py']",
            "assert [names for _, _, names in os.walk('imgs')] == [['index.txt', 'a.png']]",
            "assert torchvision.io.read_image('imgs/a.png').shape == (3, 8, 8)",
        )
    )
    assert report.problem == ""
    assert [one.name for one in (home / "imgs").iterdir()] == ["a.png"]


def test_names_of_arguments_are_those_of_the_originals(observe, program):
    report = observe(
        head(
            program,
            "import os",
            "os.makedirs(name='runs', exist_ok=True)",
            "torch.save(obj=model.state_dict(), f='runs/one.pt')",
            "os.rename(src='runs/one.pt', dst='runs/two.pt')",
            "model.load_state_dict(state_dict=torch.load(f='runs/two.pt'))",
            "os.remove(path='runs/two.pt')",
        )
    )
    assert report.problem == ""


def test_links_and_low_level_writes_stay_in_the_scratch_folder(observe, program, tmp_path, home):
    made = tmp_path / "new" / "runs"
    report = observe(
        head(
            program,
            "import os, pathlib",
            f"made = pathlib.Path({str(made)!r})",
            "os.makedirs(made)",
            "torch.save(model.state_dict(), made / 'e1.pt')",
            "os.symlink('e1.pt', made / 'latest.pt')",
            "model.load_state_dict(torch.load(made / 'latest.pt'))",
            "(made / 'done').touch()",
            "assert (made / 'done').exists()",
            f"file = os.open({str(home / 'low')!r}, os.O_WRONLY | os.O_CREAT)",
            "os.write(file, b'low')",
            "os.close(file)",
        )
    )
    assert report.problem == ""
    assert report.notes == ()
    assert not made.parent.exists()
    assert [one.name for one in home.iterdir()] == ["train.py"]


def test_writers_in_other_languages_stay_in_the_scratch_folder(observe, program, home):
    save_file({"w": torch.zeros(2)}, home / "best.safetensors")
    Image.new("RGB", (4, 4)).save(home / "seen.png")
    with contextlib.closing(sqlite3.connect(home / "study.db")) as base, base:
        base.execute("create table trials (x)")
    before = {path.name: path.read_bytes() for path in home.iterdir()}
    report = observe(
        head(
            program,
            "import os, sqlite3, torchvision, warnings",
            "warnings.simplefilter('ignore', DeprecationWarning)",
            "from safetensors.torch import load_file, save_file",
            "mine = os.path.dirname(os.path.abspath(__file__))",
            "for at in ('', mine + os.sep):",
            "    assert load_file(at + 'best.safetensors')['w'].sum() == 0",
            "    save_file({'w': torch.ones(2)}, at + 'best.safetensors')",
            "    assert load_file(at + 'best.safetensors')['w'].sum() == 2",
            "    torchvision.io.write_png(torch.ones(3, 4, 4, dtype=torch.uint8), at + 'seen.png')",
            "    assert torchvision.io.read_image(at + 'seen.png').sum() == 48",
            "    base = sqlite3.connect(at + 'study.db')",
            "    base.execute('insert into trials values (1)')",
            "    base.commit()",
            "    base.close()",
            "    assert sqlite3.connect(at + 'study.db').execute('select count(*) from trials').fetchone() == (1,)",
        )
    )
    assert report.problem == ""
    (home / "train.py").unlink()
    assert {path.name: path.read_bytes() for path in home.iterdir()} == before


def test_checkpoints_of_epochs_that_are_passed_over_are_written_once(observe, program, tmp_path):
    text = program(
        ("    scheduler.step()\n", "    scheduler.step()\n    torch.save({'m': model.state_dict()}, f'e{epoch}.pt')\n")
    )
    out = tmp_path / "out"
    report = observe(text + "assert all(torch.load(f'e{i}.pt')['m'] for i in range(EPOCHS))\n", out=out)
    assert report.problem == ""
    saved = list(out.rglob("e*.pt"))
    assert len(saved) == 12
    assert len({one.stat().st_ino for one in saved}) == 3  # of two epochs that were computed, and of all others


def test_what_is_no_checkpoint_is_written_each_time(observe, program):
    each = "    scheduler.step()\n    torch.save([epoch], 'epoch.pt')\n    torch.save((epoch,), f'other{epoch}.pt')\n"
    text = program(("    scheduler.step()\n", each))
    end = "assert torch.load('epoch.pt') == [EPOCHS - 1] and torch.load('other9.pt') == (9,)\n"
    assert observe(text + end).problem == ""


def test_only_the_relative_search_path_is_led_elsewhere(tmp_path):
    scratch = scratch_in(tmp_path)
    files = Files(tmp_path / "user", scratch, [])
    for place in (str(tmp_path.parent / "other"), ""):
        with pytest.raises(ImportError):
            files.finder(place)
    assert files.finder(str(scratch / "lib")).path == str(tmp_path / "user" / "lib")
