import dataclasses
import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from lowres.app.main import main
from lowres.data import load
from lowres.data.specs import CIFAR10, CifarSpec


class Done(NamedTuple):
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        def refuse(name):
            pytest.fail(f"{name} is no JSON")

        return json.loads(self.out, parse_constant=refuse)


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path, monkeypatch):
    """In an empty folder, with no data to be found, and the terminate signal as it was."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LOWRES_DATA_DIR", raising=False)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def lowres(capsys) -> Callable[..., Done]:
    """Runs a command in this process."""

    def run(*words) -> Done:
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as stop:
            code = stop.code or 0
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def refused(lowres) -> Callable[..., str]:
    """Runs a command that is bad input: one line on stderr, exit code 2, nothing else. Returns the line."""

    def run(*words) -> str:
        done = lowres(*words)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith("lowres: ")
        assert done.err.endswith("\n")
        assert len(done.err.splitlines()) == 1, done.err
        return done.err.removeprefix("lowres: ").rstrip("\n")

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> tuple[Path, Done]:
    """The demonstration after one epoch, trained once: the run folder, and what the command printed."""
    import contextlib
    import io

    out = tmp_path_factory.mktemp("trained")
    printed, told = io.StringIO(), io.StringIO()
    before = signal.getsignal(signal.SIGTERM)
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(told):
        code = main(["train", "digits", "--epochs", "1", "--image-size", "16", "--out", str(out), "--device", "cpu"])
    signal.signal(signal.SIGTERM, before)
    return out / "digits-digits-s0", Done(code, printed.getvalue(), told.getvalue())


@pytest.fixture
def finished(trained, tmp_path) -> Path:
    """A copy of the finished run, as `runs/digits`."""
    return shutil.copytree(trained[0], tmp_path / "runs" / "digits").relative_to(tmp_path)


@pytest.fixture
def unfinished(trained, tmp_path) -> Path:
    """A run of three epochs that was interrupted after its first, as `runs/begun`."""
    folder = shutil.copytree(trained[0], tmp_path / "runs" / "begun")
    (folder / "model.safetensors").unlink()
    edit(folder / "recipe.json", lambda recipe: recipe | {"epochs": 3})
    edit(folder / "manifest.json", lambda m: {k: v for k, v in m.items() if k != "result"} | {"outcome": "interrupted"})
    return folder.relative_to(tmp_path)


def edit(path: Path, change) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text(encoding="utf-8")))), encoding="utf-8")


@pytest.fixture(name="edit")
def edit_json() -> Callable[..., None]:
    """Changes a JSON file by a function of its content."""
    return edit


@dataclasses.dataclass(frozen=True)
class SmallCifar:
    """CIFAR-10 with few images, in official binary files below `root`."""

    root: Path
    spec: CifarSpec

    def file(self, name: str) -> Path:
        return self.root / self.spec.binary_folder / f"{name}.bin"

    def records(self, count: int) -> np.ndarray:
        generator = np.random.default_rng(count)
        labels = np.arange(count, dtype=np.uint8)[:, None] % 10
        return np.concatenate([labels, generator.integers(0, 256, (count, 3072), dtype=np.uint8)], axis=1)


@pytest.fixture
def cifar(tmp_path, monkeypatch) -> SmallCifar:
    spec = dataclasses.replace(CIFAR10, train_per_class=5, test_per_class=2)
    monkeypatch.setitem(load.SPECS, "cifar10", spec)
    small = SmallCifar(tmp_path / "data", spec)
    small.file("x").parent.mkdir(parents=True)
    for name, (_, _, count) in spec.files().items():
        small.records(count).tofile(small.file(name))
    return small


@pytest.fixture
def picture() -> Callable[..., Path]:
    """Writes an image file of noise."""

    def write(name: str, mode: str = "RGB", size: tuple[int, int] = (20, 13)) -> Path:
        pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).convert(mode).save(path)
        return path

    return write


@pytest.fixture
def tree(picture) -> Path:
    """A folder of images: two classes, four training and two test images each."""
    for split, count in (("train", 4), ("test", 2)):
        for i in range(count):
            picture(f"tree/{split}/cat/{i}.png", size=(20 + i, 30))
            picture(f"tree/{split}/dog/{i}.jpg", size=(40, 30 + i))
    return Path("tree")


@pytest.fixture
def asked(monkeypatch) -> list[tuple]:
    """What `lowres train` would train: nothing is trained, the recipe and the rest are noted."""
    import lowres.runs

    calls = []

    def train(recipe, **options):
        calls.append((recipe, options))
        return lowres.runs.Run(Path("runs/none"), recipe, {})

    monkeypatch.setattr(lowres.runs, "train", train)
    return calls


@pytest.fixture(autouse=True)
def _no_terminal(monkeypatch):
    """Whatever the terminal of whoever tests."""
    for name in ("FORCE_COLOR", "COLUMNS", "LINES", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
