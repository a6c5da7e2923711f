"""Programs run cut short: what is seen of them, what is not touched, and what is wrong with bad ones."""

import ast
import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from lowres.doctor import examine_script
from lowres.doctor.findings import apply
from lowres.errors import UserError

SCRIPTS = Path(__file__).parent / "scripts"
DATA = os.environ.get("LOWRES_DATA_DIR")


def loud(report):
    return {one.code for one in report.findings if one.grade != "note"}


def found(report, code):
    return next(one for one in report.findings if one.code == code)


def test_a_sound_program_has_no_findings_and_is_seen_to_its_end(observe, program):
    report = observe(program())
    assert (report.problem, loud(report), report.code) == ("", set(), 0)
    assert report.seen["epochs"] == 12
    assert report.seen["events"]["schedule"] == 12  # epochs that were passed over count
    assert report.seen["rates"]["at"][-1] < 0.01


COSINE = "scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS)\n"
EDITS = {
    "TR521": [("        optimizer.zero_grad()\n", "")],
    "TR522": [("        optimizer.step()\n", "")],
    "TR523": [("        optimizer.zero_grad()\n", ""), ("backward()\n", "backward()\n        optimizer.zero_grad()\n")],
    "TR524": [("backward()\n", "backward()\n        nn.utils.clip_grad_norm_(model.parameters(), 0.001)\n")],
    "EV401": [("    model.eval()\n", "")],
    "EV402": [("    model.train()\n", "")],
    "EV404": [("len(val_loader.dataset)", "len(val_loader)")],
    "LR103": [("    scheduler.step()\n", ""), (COSINE, "")],
    "LR104": [("    scheduler.step()\n", "")],
    "LR105": [("T_max=EPOCHS", "T_max=EPOCHS * len(train_loader)")],
    "LO301": [("criterion(model(x), y)", "criterion(model(x).softmax(1), y)")],
    "DA201": [("Photographs(320, True)", "Photographs(320, False)")],
    "TR505": [("EPOCHS = 12\n", "EPOCHS = 12\nlearning_rate = 0.05\n")],
}  # fmt: skip


@pytest.mark.parametrize("code", EDITS)
def test_a_loop_s_fault_is_named(observe, program, code):
    assert code in loud(observe(program(*EDITS[code])))


ONE_CYCLE = "scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps={})\n"
STEPS = "optimizer.step(), scheduler.step()"
BENIGN = {
    "accumulation": [
        ("        optimizer.zero_grad()\n", ""),
        ("for x, y in train_loader", "for i, (x, y) in enumerate(train_loader)"),
        ("        optimizer.step()\n", "        if i % 4 == 3:\n            optimizer.step(), model.zero_grad()\n"),
    ],
    "augmentation in the loop": [
        ("Photographs(320, True)", "Photographs(320, False)"),
        ("criterion(model(x), y)", "criterion(model(x + 0.1 * torch.randn_like(x)), y)"),
    ],
    "rate by hand": [
        (COSINE, ""),
        ("    scheduler.step()\n", "    optimizer.param_groups[0]['lr'] = 0.1 * (1 - (epoch + 1) / EPOCHS)\n"),
    ],
    "worker processes": [("shuffle=True", "shuffle=True, num_workers=2, persistent_workers=True")],
    "cleared at the end": [
        ("        optimizer.zero_grad()\n", ""),
        ("        optimizer.step()\n", "        optimizer.step()\n        model.zero_grad()\n"),
    ],
    "accumulation, a schedule by the step": [
        (COSINE, ONE_CYCLE.format("EPOCHS * len(train_loader) // 2")),
        ("    scheduler.step()\n", ""),
        ("        optimizer.zero_grad()\n", ""),
        ("for x, y in train_loader", "for i, (x, y) in enumerate(train_loader)"),
        ("        optimizer.step()\n", "        if i % 2:\n            " + STEPS + ", model.zero_grad()\n"),
    ],
    "accumulation of small batches": [
        ("batch_size=32", "batch_size=8"),
        ("lr=0.1", "lr=0.4"),
        ("        optimizer.zero_grad()\n", ""),
        ("for x, y in train_loader", "for i, (x, y) in enumerate(train_loader)"),
        ("loss.backward()\n        optimizer.step()\n", "(loss / 8).backward()\n"
         "        if i % 8 == 7:\n            optimizer.step(), model.zero_grad()\n"),
    ],
    "a training of so many steps": [
        ("EPOCHS = 12\n", ""),
        (COSINE, ONE_CYCLE.format("80") + "step = 0\n"),
        ("for epoch in range(EPOCHS)", "while step < 80"),
        ("    scheduler.step()\n", ""),
        ("        optimizer.step()\n", "        " + STEPS + "\n        step += 1\n"),
        ('print("epoch", epoch,', "print("),
    ],
    "steps in a range": [
        ("EPOCHS = 12\n", ""),
        (COSINE, ONE_CYCLE.format("80") + "batches = iter(train_loader)\n"),
        ("for epoch in range(EPOCHS)", "for step in range(80)"),
        ("    scheduler.step()\n", ""),
        ("    for x, y in train_loader:\n", "    if True:\n        try:\n            x, y = next(batches)\n"
         "        except StopIteration:\n            batches = iter(train_loader)\n            x, y = next(batches)\n"),
        ("        optimizer.step()\n", "        " + STEPS + "\n"),
        ("    model.eval()\n", "    if step % 20:\n        continue\n    model.eval()\n"),
        ('"epoch", epoch', '"step", step'),
    ],
    "two schedules in turn": [
        ("EPOCHS = 12", "EPOCHS = 15"),
        (COSINE, "warm = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=3 * len(train_loader))\n"
         + COSINE.replace("EPOCHS", "EPOCHS - 3")),
        ("        optimizer.step()\n", "        optimizer.step()\n        if epoch < 3:\n            warm.step()\n"),
        ("    scheduler.step()\n", "    if epoch >= 3:\n        scheduler.step()\n"),
    ],
    "batches by hand": [
        ("train_loader = DataLoader(Photographs(320, True), batch_size=32, shuffle=True)\n",
         "images, labels = Photographs(320, False).images, torch.arange(320) * 7 % 10\n"),
        ("    for x, y in train_loader:\n", "    order = torch.randperm(320)\n    for i in range(0, 320, 32):\n"
         "        x, y = images[order[i:i + 32]], labels[order[i:i + 32]]\n"
         "        x = torch.where(torch.rand(len(x), 1, 1, 1) < 0.5, x.flip(-1), x)\n"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", BENIGN)
def test_what_looks_like_a_fault_is_left_alone(observe, program, name):
    assert loud(observe(program(*BENIGN[name]))) == set()


def test_accumulated_gradients_leave_fewer_steps_to_a_schedule(observe, program):
    edits = BENIGN["accumulation, a schedule by the step"]
    report = observe(program(*edits, ("len(train_loader) // 2", "len(train_loader)")))
    assert found(report, "LR105").evidence["steps"] == 12 * 10 // 2
    assert report.seen["rates"]["cadence"] == "batch"


@pytest.mark.parametrize("last", ["EPOCHS", "EPOCHS * len(train_loader)"])
def test_the_longer_of_two_stages_is_examined(observe, program, last):
    text = program(("T_max=EPOCHS", f"T_max={last}"), ("print(", "print(EPOCHS, "))
    head, tail = text.split("optimizer = ")
    stages = "for EPOCHS in (5, 30):\n    model[0].requires_grad_(EPOCHS > 5)\n"
    report = observe(head + stages + textwrap.indent("optimizer = " + tail, "    "))
    assert report.problem == ""
    assert report.seen["epochs"] == 30
    assert ("LR105" in loud(report)) is (last != "EPOCHS")


def test_fixes_are_edits_of_the_program_s_own_lines(observe, program, tmp_path):
    from lowres.doctor.patching.patch import apply

    text = program((", momentum=0.9", ""))
    fix = found(observe(text), "TR502").fix
    assert "lr=0.1, weight_decay=5e-4, momentum=0.9)" in apply(text, fix.edits)
    assert "+optimizer = " in fix.diff


def test_what_is_moved_out_of_the_scratch_folder_replaces_nothing(observe, program, tmp_path):
    best = tmp_path / "best.pt"
    best.write_text("weeks of training")
    moves = f"    torch.save(model.state_dict(), 'new.pt')\n    os.replace('new.pt', {str(best)!r})\n"
    report = observe(
        program(
            ("import torch\n", "import os\nimport torch\n"),
            ("    scheduler.step()\n", "    scheduler.step()\n" + moves),
        )
    )
    assert report.problem == ""
    assert best.read_text() == "weeks of training"


def folder_of_images(root):
    for label in "ab":
        (root / label).mkdir(parents=True)
        for i in range(40):
            Image.new("RGB", (8, 8), (6 * i, 40, 90 + i)).save(root / label / f"{i}.png")


FOLDER = "ImageFolder({}, transforms.Compose([transforms.RandomCrop(8, 1), transforms.ToTensor()]))"
ROOTS = ["'data/train'", "os.path.join(os.getcwd(), 'data', 'train')", "Path('data').resolve() / 'train'"]
IMPORTS = ("import torch\n", "import os\nfrom pathlib import Path\nimport torch\nfrom torchvision import transforms\n"
    "from torchvision.datasets import ImageFolder\n")  # fmt: skip


@pytest.mark.parametrize("root", ROOTS)
def test_a_folder_of_images_is_read_wherever_it_is_said_to_be(observe, program, tmp_path, root):
    folder_of_images(tmp_path / "home" / "data" / "train")
    report = observe(program(IMPORTS, ("Photographs(320, True)", FOLDER.format(root))))
    assert report.problem == ""
    assert report.notes == ()
    assert report.seen["train"]["images"] == 80
    assert report.seen["classes"] == 2
    assert report.seen["train"]["root"] == str(tmp_path / "home" / "data" / "train")


def test_a_program_finds_again_what_it_wrote_anywhere(observe, program, tmp_path):
    home = tmp_path / "home"
    (home / "checkpoint").mkdir(parents=True)
    (home / "old.txt").write_text("kept")
    head = f"""
import os, shutil, tempfile
from argparse import Namespace
from pathlib import Path
os.makedirs("checkpoint", exist_ok=True)
torch.save(Namespace(a=1), "checkpoint/first.pt")
assert torch.load("checkpoint/first.pt", weights_only=False).a == 1
if os.path.exists("old.txt"):
    os.remove("old.txt")
os.chdir(os.path.dirname(os.path.abspath(__file__)))
os.makedirs("runs/one")
torch.save(Namespace(a=2), "runs/one/best.pt")
assert torch.load({str(home / "runs" / "one" / "best.pt")!r}, weights_only=False).a == 2
assert os.listdir("runs/one") == ["best.pt"]
shutil.copy("runs/one/best.pt", "copy.pt")
os.remove("copy.pt")
assert not os.path.exists("copy.pt")
with tempfile.TemporaryDirectory() as folder:
    Path(folder, "a").write_text("b")
    assert Path(folder, "a").read_text() == "b"
assert tempfile._get_default_tempdir() == tempfile.gettempdir() == os.environ["TMPDIR"]
os.chdir("checkpoint")
assert Path.cwd() == Path({str(home / "checkpoint")!r})
"""
    report = observe(program(("\nfor epoch in", head + "\nfor epoch in")))
    assert report.problem == ""
    assert report.notes == ("remove('old.txt') outside of the scratch folder was left undone",)
    assert sorted(path.name for path in home.rglob("*")) == ["checkpoint", "old.txt", "train.py"]
    assert (home / "old.txt").read_text() == "kept"


def test_processes_are_the_program_itself_or_refused(observe, program, tmp_path):
    text = program(("\nfor epoch in", "\ndef train(rank, epochs):\n  for epoch in"), ("range(EPOCHS)", "range(epochs)"))
    head, body = text.split("  for epoch in")
    text = head + "  for epoch in" + body.replace("\n", "\n  ").rstrip() + "\n"
    group = "\n  torch.distributed.init_process_group('nccl', init_method='env://', rank=rank, world_size=2)\n"
    group += "  model = nn.parallel.DistributedDataParallel(whole.to(rank), device_ids=[rank])\n"
    text = text.replace("rank, epochs):\n", f"rank, epochs):{group}")
    text = text.replace("model = nn.Sequential", "whole = model = nn.Sequential")
    text += "torch.multiprocessing.spawn(train, args=(EPOCHS,), nprocs=2)\n"
    try:
        report = observe(text)
    finally:
        torch.distributed.destroy_process_group()
    assert (report.problem, report.seen["network"]["class"]) == ("", "Sequential")
    refused = "import multiprocessing\nmultiprocessing.get_context('spawn').Process(target=print).start()\n"
    assert "OSError: no processes while the doctor looks" in observe(refused, out=tmp_path / "again").problem


def test_the_terminal_is_a_file_and_has_a_size(observe, program):
    head = "import os, sys\nrows, columns = os.popen('stty size', 'r').read().split()\n"
    head += "assert (int(columns), int(rows)) == tuple(os.get_terminal_size())\n"
    head += "sys.stdout.reconfigure(line_buffering=True)\nassert sys.stderr.fileno() > 2\n"
    report = observe(head + program() + "print('wrong')\nsys.exit(3)\n")
    assert "ends itself with sys.exit (code 3: wrong)" in report.problem


def test_a_taken_terminal_leaves_the_program_as_it_was(observe, program):
    head = "import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.detach(), encoding='utf-8')\n"
    assert observe(head + program()).problem == ""


SHARPNESS = """
class SAM(torch.optim.Optimizer):
    def __init__(self, params, base):
        super().__init__(params, {})
        self.base = base
        self.param_groups = base.param_groups

    def norm(self):
        grads = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        return torch.norm(torch.stack([grad.norm() for grad in grads]))

    def step(self, closure=None):
        self.norm()
        self.base.step()


sharp = SAM(model.parameters(), optimizer)
for epoch in"""
UNUSUAL = {
    "a scaler of the loss": [
        ("\nfor epoch in", "\nscaler = torch.amp.GradScaler('cpu')\nfor epoch in"),
        ("loss.backward()", "scaler.scale(loss).backward()\n        scaler.unscale_(optimizer)"),
        ("optimizer.step()\n", "scaler.step(optimizer)\n        scaler.update()\n"),
    ],
    "gradients that are read": [
        ("optimizer.step()\n", "optimizer.step()\n        sum(p.grad.norm().item() for p in model.parameters())\n"),
    ],
    "an optimizer around another": [
        ("\nfor epoch in", SHARPNESS),
        ("        optimizer.step()", "        sharp.step()"),
    ],
    "images in a list": [
        (
            "train_loader = DataLoader(Photographs(320, True),",
            "images = Photographs(320, True)\n"
            "train_loader = DataLoader([(images.images[i], images.targets[i]) for i in range(320)],",
        ),
        ("criterion(model(x), y)", "criterion(model(x + 0.1 * torch.randn_like(x)), y)"),
    ],
    "labels as vectors": [
        (
            "return image, self.targets[i]",
            "return image, self.target_transform(self.targets[i])",
        ),
        (
            "    def __len__",
            "    def target_transform(self, y):\n        return nn.functional.one_hot(torch.tensor(y), 10).float()\n\n"
            "    def __len__",
        ),
        ("model(x).argmax(1) == y", "model(x).argmax(1) == y.argmax(1)"),
    ],
    "a network that returns its loss": [
        ("model = nn.Sequential(\n", "layers = nn.Sequential(\n"),
        (
            "train_loader =",
            "class Network(nn.Module):\n    def __init__(self):\n"
            "        super().__init__()\n        self.layers = layers\n"
            "    def forward(self, x, y):\n        z = self.layers(x)\n"
            "        return z, nn.functional.cross_entropy(z, y)\n\nmodel = Network()\ntrain_loader =",
        ),
        ("loss = criterion(model(x), y)", "scores, loss = model(x, y)"),
        ("model(x).argmax(1)", "model(x, y)[0].argmax(1)"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", UNUSUAL)
def test_an_unusual_loop_is_seen_to_its_end(observe, program, name):
    report = observe(program(*UNUSUAL[name]))
    assert (report.problem, loud(report)) == ("", set())
    assert report.seen["events"]["schedule"] == 12
    assert report.seen["events"]["step"] == report.seen["events"]["backward"] * (1 + ("around" in name))


def test_schedules_that_are_put_together_are_not_stepped_by_that(observe, program):
    cosine = "scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS)"
    both = (
        "lr = torch.optim.lr_scheduler\n"
        "scheduler = lr.SequentialLR(optimizer, [lr.LinearLR(optimizer, total_iters=2), "
        "lr.CosineAnnealingLR(optimizer, T_max=EPOCHS - 2)], milestones=[2])"
    )
    assert "LR104" in loud(observe(program((cosine, both), ("    scheduler.step()\n", ""))))


WRAPPERS = """
class Stream(torch.utils.data.IterableDataset):
    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def __iter__(self):
        return iter(self.dataset[i] for i in torch.randperm(len(self.dataset)).tolist())


class Padded(Dataset):
    def __init__(self, dataset, size):
        self.dataset, self.size = dataset, size

    def __len__(self):
        return self.size

    def __getitem__(self, i):
        return self.dataset[i % len(self.dataset)]


model = nn.Sequential("""


DRAW = "        self.images = torch.randn(count"
STORED = "        self.data = (99 * torch.rand(count, 8, 8, 3, generator=draw)).byte().numpy()\n" + DRAW
TRAIN = "DataLoader(Photographs(320, True), batch_size=32, shuffle=True)"
VAL = "DataLoader(Photographs(130, False), batch_size=65)"
BEHIND = {
    "DA213": (TRAIN, "DataLoader(Stream(Photographs(130, True)), 32)"),
    "EV405": (VAL, "DataLoader(Padded(Photographs(130, False), 195), 65)"),
}


@pytest.mark.parametrize("code", BEHIND)
def test_images_behind_streams_and_paddings_are_known(observe, program, code):
    text = program(("model = nn.Sequential(", WRAPPERS.strip()), (DRAW, STORED), BEHIND[code])
    assert code in loud(observe(text))


FAULTY = ["TR502", "LR103", "EV401", "DA206"]


def test_the_mended_program_runs_and_has_none_of_its_faults(observe, program, tmp_path):
    from lowres.doctor.patching.mend import mend
    from lowres.doctor.source import Source

    faults = [pair for code in ("LR103", "EV401") for pair in EDITS[code]]
    text = program((", momentum=0.9", ""), (", shuffle=True", ""), *faults)
    report = observe(text)
    mended = mend(Source(str(tmp_path / "home" / "train.py"), text), report.findings, FAULTY)
    assert {one.code: one.why for one in mended.outcomes} == dict.fromkeys(FAULTY, "")
    again = observe(mended.text, out=tmp_path / "again")
    assert (again.problem, loud(again) & set(FAULTY)) == ("", set())


def test_a_comment_silences_a_finding(observe, program):
    text = program((", momentum=0.9, weight_decay=5e-4)", ")  # lowres: ignore[TR502]"))
    assert loud(observe(text)) == {"TR501"}


def test_writes_go_aside_and_reads_come_from_the_user_s_folder(observe, program, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "words.txt").write_text("hello")
    extra = f"""
assert open("words.txt").read() == "hello"
open("words.txt", "w").write("changed")
open({str(home / "absolute.txt")!r}, "w").write("no")
import os
os.remove({str(home / "words.txt")!r})
torch.save(model.state_dict(), "model.pt")
model.load_state_dict(torch.load("model.pt"))
"""
    report = observe(program() + extra)
    assert report.problem == ""
    assert {path.name: path.read_text() for path in home.glob("*.txt")} == {"words.txt": "hello"}
    assert any("remove" in note for note in report.notes)


BAD = {
    "raises": ("\nraise ValueError('too bad')\n", "train.py:55 raises ValueError: too bad"),
    "prompts": ("\ninput('How many? ')\n", "asks for input ('How many? ')"),
    "exits": ("\nimport sys\nsys.exit('enough')\n", "ends itself with sys.exit (enough)"),
    "misses a module": (
        "\nimport no_such_thing\n",
        "needs the module 'no_such_thing': it is neither installed (`pip install no_such_thing`)",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_program_that_fails_is_examined_as_far_as_it_went(observe, program, name):
    extra, problem = BAD[name]
    text = program((", weight_decay=5e-4", "")) + extra
    line = str(text.splitlines().index("raise ValueError('too bad')") + 1) if name == "raises" else ""
    report = observe(text)
    assert problem.replace("55", line) in report.problem.replace(str(report.target), "train.py")
    assert report.code == 2
    assert "TR501" in loud(report)  # what was seen before is still examined
    assert ("Traceback" in report.traceback) == (name != "exits")


def test_a_program_that_needs_arguments_gets_them(observe, program):
    head = "import argparse\nparser = argparse.ArgumentParser()\n"
    head += "parser.add_argument('--epochs', type=int, required=True)\nargs = parser.parse_args()\n"
    text = head + program(("EPOCHS = 12", "EPOCHS = args.epochs"))
    assert "needs arguments (the following arguments are required: --epochs)" in observe(text).problem


def test_the_contact_sheet_shows_what_the_network_sees(observe, program, tmp_path):
    from PIL import Image

    observe(program(), sheet=str(tmp_path / "sheet.png"))
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert min(sheet.size) > 100


def test_arguments_reach_the_program(observe, program):
    text = "import sys\n" + program(("EPOCHS = 12", "EPOCHS = int(sys.argv[1])"))
    assert observe(text, "17").seen["epochs"] == 17


def test_a_program_that_never_trains_says_so(observe):
    assert "never trains" in observe("print('hello')\n").problem


def test_a_network_that_is_only_passed_through_is_not_trained(observe):
    looking = "import torch\ntorch.nn.Linear(3, 2)(torch.ones(1, 3))\n"
    assert "no backward() was called" in observe(looking).problem


def test_a_program_that_takes_too_long_is_ended(observe):
    report = observe("while True:\n    pass\n", seconds=0.5)
    assert "takes too long" in report.problem
    assert report.code == 2


def test_a_program_that_catches_everything_is_ended_all_the_same(observe):
    text = """
import time
began = time.monotonic()
while time.monotonic() - began < 60:
    try:
        sum(range(9999))
    except BaseException as error:
        if time.monotonic() - began > 3.5:
            raise
"""
    report = observe(text, seconds=1)
    assert "takes too long" in report.problem


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_a_program_ends_with_whoever_examines_it(tmp_path):
    (tmp_path / "train.py").write_text(
        "open('ready', 'w')\nwhile True:\n    try:\n        sum(range(9999))\n    except BaseException:\n        pass\n"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path / "tmp")}
    (tmp_path / "tmp").mkdir()
    command = [sys.executable, "-m", "lowres.app.main", "doctor", "train.py"]
    parent = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 120
    while not list(tmp_path.glob("tmp/*/**/ready")) and time.monotonic() < end:
        time.sleep(0.2)
    assert list(tmp_path.glob("tmp/*/**/ready"))
    parent.kill()
    parent.wait()
    while list(tmp_path.glob("tmp/lowres-doctor-*")) and time.monotonic() < end:
        time.sleep(0.2)
    assert list(tmp_path.glob("tmp/lowres-doctor-*")) == []


def test_a_notebook_is_a_program(observe, program):
    cells = [
        {"cell_type": "code", "source": "%matplotlib inline\n" + program()},
        {"cell_type": "markdown", "source": "x"},
    ]
    report = observe(json.dumps({"cells": cells}), name="train.ipynb")
    assert (report.problem, loud(report)) == ("", set())


def test_what_is_no_python_and_what_is_not_there(tmp_path):
    (tmp_path / "train.py").write_text("def (:\n")
    with pytest.raises(UserError, match=r"train\.py:1 is not Python"):
        examine_script(tmp_path / "train.py")
    with pytest.raises(UserError, match="there is no such file"):
        examine_script(tmp_path / "none.py")
    (tmp_path / "train.py").write_bytes(b"\x80\x81\xff")
    with pytest.raises(UserError, match="cannot be read as text"):
        examine_script(tmp_path / "train.py")


@pytest.mark.slow
def test_a_process_of_its_own(tmp_path, program, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(program(("T_max=EPOCHS)", "T_max=EPOCHS)\nimport os; print(os.getcwd())")))
    report = examine_script(Path("train.py"))
    assert (report.problem, loud(report)) == ("", set())
    assert [path.name for path in tmp_path.iterdir()] == ["train.py"]


EXPECTED = {
    "forum_resnext": {"AR101", "DA201", "DA206", "DA210", "EV401", "LR103", "TR501", "TR502", "TR531"},
    "answer_resnet50": {"AR101", "EV406", "TR533"},
    "report_resnet20": {"EV403"},
    "rate_for_epoch": {"LR104", "DA213", "EV405"},
}


@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="needs CIFAR-10: set LOWRES_DATA_DIR")
@pytest.mark.parametrize("name", EXPECTED)
def test_published_programs(name):
    report = examine_script(SCRIPTS / f"{name}.py", data_dir=Path(DATA))
    assert report.problem == ""
    assert {one.code for one in report.findings} == EXPECTED[name]


@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="needs CIFAR-10: set LOWRES_DATA_DIR")
def test_a_published_program_is_mended_throughout():
    file = SCRIPTS / "forum_resnext.py"
    report = examine_script(file, data_dir=Path(DATA))
    mended = ("DA201", "DA206", "DA210", "EV401", "AR101")
    edits = [edit for one in report.findings if one.code in mended and one.fix for edit in one.fix.edits]
    text = apply(file.read_text(encoding="utf-8"), edits)
    ast.parse(text)
    normalize = "Normalize((0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616))"
    bicubic = "Resize((64, 64), InterpolationMode.BICUBIC)"
    assert f"[{bicubic}, RandomCrop(64, padding=8), RandomHorizontalFlip(), ToTensor(), {normalize}]" in text
    assert f"[{bicubic}, ToTensor(), {normalize}]" in text
    assert "train_loader = DataLoader(train_images, batch_size=batch_size, shuffle=True)" in text
    assert "    net.train()\n    for X, y in batches:" in text
    assert "    model.eval()\n    with torch.no_grad():" in text
    assert "net.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False).to(device)" in text
    for name in ("RandomCrop", "RandomHorizontalFlip", "Normalize"):
        assert f"from torchvision.transforms import {name}\n" in text
