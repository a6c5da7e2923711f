"""A program run under observation within this process, and small setups to examine."""

import ast
import contextlib
import copy
import json
import os
import sys
import tempfile
import textwrap
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

from lowres.doctor import child, findings
from lowres.doctor.costs import Costs
from lowres.doctor.findings import Found, Place, apply
from lowres.doctor.pipeline import Pipeline
from lowres.doctor.report import Report
from lowres.doctor.setup import Setup
from lowres.doctor.source import Source, called, last_name
from lowres.doctor.trace import Sample

PROGRAM = """
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

EPOCHS = 12


class Photographs(Dataset):
    def __init__(self, count, train):
        draw = torch.Generator().manual_seed(count)
        self.images = torch.randn(count, 3, 8, 8, generator=draw)
        self.targets = (torch.arange(count) * 7 % 10).tolist()
        self.train = train

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, i):
        image = self.images[i]
        if self.train:
            image = image + 0.01 * torch.randn(3, 8, 8)
        return image, self.targets[i]


model = nn.Sequential(
    nn.Conv2d(3, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(),
    nn.Conv2d(64, 128, 3, padding=1), nn.BatchNorm2d(128), nn.ReLU(),
    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10),
)
train_loader = DataLoader(Photographs(320, True), batch_size=32, shuffle=True)
val_loader = DataLoader(Photographs(130, False), batch_size=65)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS)

for epoch in range(EPOCHS):
    model.train()
    for x, y in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
    scheduler.step()
    model.eval()
    correct = 0
    with torch.no_grad():
        for x, y in val_loader:
            correct += (model(x).argmax(1) == y).sum().item()
    print("epoch", epoch, "accuracy", correct / len(val_loader.dataset))
"""
"""A sound training of a small network, in a second."""


@pytest.fixture(autouse=True)
def within_range(monkeypatch):
    """Whatever is found costs what the register says that it can; measured costs, which change, do not count here."""
    monkeypatch.setattr(findings, "measured", Costs)
    finding = findings.Check.finding

    def checked(entry: findings.Check, found: Found) -> findings.Finding:
        made = finding(entry, found)
        low, high = entry.cost
        assert found.cost is None or low <= found.cost <= high, (entry.code, found.cost)
        return made

    monkeypatch.setattr(findings.Check, "finding", checked)


@pytest.fixture
def program():
    """The sound program, with replacements: each text must stand there."""

    def edited(*pairs: tuple[str, str]) -> str:
        text = PROGRAM
        for old, new in pairs:
            assert old in text, old
            text = text.replace(old, new)
        return text

    return edited


@pytest.fixture
def put_back(monkeypatch):
    """A context in which a child's `main` runs in this process, which afterwards is as it was."""
    resource = pytest.importorskip("resource")

    @contextlib.contextmanager
    def guard() -> Iterator[None]:
        cwd, limit, bytecode = Path.cwd(), resource.getrlimit(resource.RLIMIT_DATA), sys.dont_write_bytecode
        for item in ("argv", "stdin", "path"):
            monkeypatch.setattr(sys, item, list(sys.path) if item == "path" else getattr(sys, item))
        monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
        monkeypatch.setenv("TMPDIR", tempfile.gettempdir())
        monkeypatch.setenv("MPLCONFIGDIR", os.environ.get("MPLCONFIGDIR", ""))
        temporary = tempfile.tempdir
        try:
            with warnings.catch_warnings(), torch.random.fork_rng():
                warnings.simplefilter("ignore")
                yield
        finally:
            os.chdir(cwd)
            tempfile.tempdir = temporary
            resource.setrlimit(resource.RLIMIT_DATA, limit)
            sys.dont_write_bytecode = bytecode

    return guard


@pytest.fixture
def observe(tmp_path, put_back):
    """Runs a program as the child process does, in this process, and puts the process back as it was."""

    def run(
        text: str, *arguments: str, name: str = "train.py", images: int = 16, seconds: float = 30, **request
    ) -> Report:
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        script = home / name
        script.write_text(textwrap.dedent(text), encoding="utf-8")
        out = Path(request.pop("out", tmp_path / "out"))
        out.mkdir()
        asked = {
            "script": str(script),
            "target": name,
            "home": str(home),
            "arguments": list(arguments),
            "data_dir": None,
            "seconds": seconds,
            "memory": 64,
            "threads": torch.get_num_threads(),
            "sheet": None,
            "images": images,
        } | request
        (out / "request.json").write_text(json.dumps(asked), encoding="utf-8")
        with put_back():
            child.main(str(out / "request.json"))
        return Report.from_json(json.loads((out / "report.json").read_text(encoding="utf-8")))

    return run


class Photographs(Dataset):
    """Images with noise that varies from fetch to fetch, or not."""

    def __init__(self, count: int = 320, varies: bool = True, sort: bool = False, classes: int = 10) -> None:
        draw = torch.Generator().manual_seed(count)
        self.images = torch.randn(count, 3, 8, 8, generator=draw)
        labels = torch.arange(count) * 7 % classes
        self.targets = (labels.sort().values if sort else labels).tolist()
        self.varies = varies

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        image = self.images[i]
        return (image + 0.01 * torch.randn(3, 8, 8) if self.varies else image), self.targets[i]


@pytest.fixture
def photographs() -> type[Photographs]:
    """The data set of `objects`."""
    return Photographs


def small_network() -> nn.Sequential:
    """Two convolutions with norms."""
    return nn.Sequential(
        *(nn.Conv2d(3, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()),
        *(nn.Conv2d(64, 128, 3, padding=1), nn.BatchNorm2d(128), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10)),
    )


def sound() -> dict[str, Any]:
    """The objects of a sound training, by name."""
    torch.manual_seed(0)
    model = small_network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    return {
        "model": model,
        "train_loader": DataLoader(
            Photographs(), batch_size=32, shuffle=True, generator=torch.Generator().manual_seed(3)
        ),
        "val_loader": DataLoader(Photographs(130, varies=False), batch_size=65),
        "optimizer": optimizer,
        "scheduler": torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=30),
        "loss_fn": nn.CrossEntropyLoss(),
        "epochs": 30,
    }


@pytest.fixture
def objects() -> dict[str, Any]:
    """The objects of a sound training, by name, to be changed."""
    return sound()


@pytest.fixture
def twin(objects) -> dict[str, Any]:
    """The same once more, equal in everything."""
    return sound()


class CIFAR10(Dataset):
    """Pictures of ten classes with the attributes of torchvision's data set of that name."""

    classes = tuple("abcdefghij")

    def __init__(self, root: str, train: bool = True, transform: Any = None, target_transform: Any = None) -> None:
        draw = np.random.default_rng(0 if train else 1)
        coarse = draw.integers(0, 256, (400 if train else 200, 4, 4, 3))
        self.data = coarse.repeat(8, axis=1).repeat(8, axis=2).astype(np.uint8)
        self.targets = [i * 7 % 10 for i in range(len(self.data))]
        self.train, self.transform, self.target_transform = train, transform, target_transform

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        image, label = Image.fromarray(self.data[i]), self.targets[i]
        image = image if self.transform is None else self.transform(image)
        return image, label if self.target_transform is None else self.target_transform(label)


@pytest.fixture
def made():
    """A setup of what some code makes: loaders by their names or as attributes of `data`, a network `model`."""

    def examined(code: str, **known: Any) -> Setup:
        source = Source("train.py", code)
        names: dict[str, Any] = {"CIFAR10": CIFAR10, "__name__": "written"}
        with torch.random.fork_rng():
            torch.manual_seed(0)
            exec(compile(code, "train.py", "exec"), names)
        names |= vars(names["data"]) if "data" in names else {}
        lines = {
            last_name(one.targets[0]): one.value.lineno
            for one in source.nodes(ast.Assign)
            if isinstance(one.value, ast.Call) and called(one.value) == "DataLoader"
        }
        pipes = {name: Pipeline(names[name], Place("train.py", line)) for name, line in lines.items() if name in names}
        setup = Setup("train.py", source=source, model=names.get("model"), train=pipes.get("train_loader"), **known)
        setup.pristine = copy.deepcopy(setup.model)
        for name, one in pipes.items():
            one.role = name.partition("_")[0]
            setup.evals += [one] if name != "train_loader" else []
        if setup.train is not None and setup.train.samples is not None:
            setup.trace.training[id(setup.model)] = [Sample(setup.train.samples[0], None, setup.train.samples[1])]
        elif setup.model is not None:
            setup.image = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        return setup

    return examined


@pytest.fixture
def mended(made):
    """Code after the fix of a check, which then speaks no more."""

    def fixed(check: Callable[[Setup], Found | None], code: str, **known: Any) -> str:
        found = check(made(code, **known))
        assert found is not None
        assert found.fix is not None
        assert found.fix.edits, found.fix.code
        text = apply(code, found.fix.edits)
        assert check(made(text, **known)) is None, text
        return text

    return fixed
