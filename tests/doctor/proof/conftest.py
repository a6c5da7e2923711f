"""A small program that learns something in a second, with faults; and trials of it within this process."""

import json
from typing import Any

import pytest

from lowres.doctor.proof import trial

PROGRAM = """
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

epochs = 12


class Patterns(Dataset):
    def __init__(self, count, train):
        draw = torch.Generator().manual_seed(count)
        self.targets = (torch.arange(count) * 7 % 4).tolist()
        means = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
        self.images = means[self.targets] + 1.5 * torch.randn(count, 3, 8, 8, generator=draw)
        self.train = train

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, i):
        return self.images[i], self.targets[i]


model = nn.Sequential(
    nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
    nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 4),
)
train_loader = DataLoader(Patterns(640, True), batch_size=32, shuffle=True)
test_loader = DataLoader(Patterns(200, False), batch_size=50)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

for epoch in range(epochs):
    model.train()
    for x, y in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        right = sum((model(x).argmax(1) == y).sum().item() for x, y in test_loader)
    print(right / len(test_loader.dataset))
"""


@pytest.fixture
def tiny() -> str:
    """A program without momentum, schedule and decay."""
    return PROGRAM


@pytest.fixture
def attempt(tmp_path, put_back):
    """Runs a trial as its process does, in this process, and puts the process back as it was."""
    count = 0

    def run(text: str, **request: Any) -> dict[str, Any]:
        nonlocal count
        count += 1
        home = tmp_path / "home"
        out = tmp_path / f"out{count}"
        home.mkdir(exist_ok=True)
        out.mkdir()
        script = home / "train.py"
        script.write_text(text, encoding="utf-8")
        asked = {
            "script": str(script),
            "source": text,
            "arguments": [],
            "home": str(home),
            "data_dir": None,
            "seed": 0,
            "images": 64,
            "test": 40,
            "whole": 640,
            "batch": 0,
            "stop": 2,
            "seconds": 30,
            "memory": 64,
            "threads": 1,
        } | request
        (out / "request.json").write_text(json.dumps(asked), encoding="utf-8")
        with put_back():
            trial.main(str(out / "request.json"))
        return json.loads((out / "result.json").read_text(encoding="utf-8"))

    return run
