"""The sound program in two manners of writing, with a fault in it, and what its fixes make of it."""

import ast

import pytest

from lowres.doctor.findings import apply

HEAD = """
import argparse
import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import DataLoader, Dataset


class Photographs(Dataset):
    def __init__(self, count, train):
        self.images = torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(count))
        self.targets = (torch.arange(count) * 7 % 10).tolist()
        self.train = train

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, i):
        image = self.images[i]
        return image + 0.01 * torch.randn(3, 8, 8) if self.train else image, self.targets[i]


class Net(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.more = nn.Sequential(nn.Conv2d(width, 2 * width, 3, padding=1), nn.BatchNorm2d(2 * width), nn.ReLU())
        self.head = nn.Linear(2 * width, 10)

    def forward(self, x):
        x = self.more(self.body(x)).mean((2, 3))
        return self.head(x)
"""
PLAIN = (
    HEAD
    + """

EPOCHS = 12
BATCH_SIZE = 32
RATE = 0.1

model = Net()
train_loader = DataLoader(Photographs(320, True), batch_size=BATCH_SIZE, shuffle=True)
val_loader = DataLoader(Photographs(130, False), batch_size=65)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=5e-4)
scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS)

best = 0
for epoch in range(EPOCHS):
    model.train()
    for x, y in train_loader:
        optimizer.zero_grad()
        scores = model(x)
        loss = criterion(scores, y)
        loss.backward()
        optimizer.step()
    scheduler.step()
    model.eval()
    correct = 0
    with torch.no_grad():
        for x, y in val_loader:
            correct += (model(x).argmax(1) == y).sum().item()
    val_acc = correct / len(val_loader.dataset)
    print("epoch", epoch, "accuracy", val_acc)
"""
)
CLASSES = (
    HEAD
    + """

class Trainer:
    def __init__(self, args, model):
        self.args = args
        self.model = model
        self.train_loader = DataLoader(Photographs(320, True), batch_size=args.batch_size, shuffle=True)
        self.val_loader = DataLoader(Photographs(130, False), batch_size=65)
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = optim.SGD(self.model.parameters(), lr=args.lr, momentum=0.9, weight_decay=5e-4)
        self.scheduler = optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=args.epochs)

    def train_epoch(self):
        self.model.train()
        for x, y in self.train_loader:
            self.optimizer.zero_grad()
            scores = self.model(x)
            loss = self.criterion(scores, y)
            loss.backward()
            self.optimizer.step()

    @torch.no_grad()
    def evaluate(self):
        self.model.eval()
        return sum((self.model(x).argmax(1) == y).sum().item() for x, y in self.val_loader) / 130

    def fit(self):
        for epoch in range(self.args.epochs):
            self.train_epoch()
            self.scheduler.step()
            val_acc = self.evaluate()
            print("epoch", epoch, "accuracy", val_acc)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=0.1)
    args = parser.parse_args()
    Trainer(args, Net()).fit()


if __name__ == "__main__":
    main()
"""
)
STYLES = {"plain": PLAIN, "classes": CLASSES}


@pytest.fixture
def faulty():
    """A program of a style with texts exchanged: each must stand there."""

    def make(style: str, *pairs: tuple[str, str]) -> str:
        text = STYLES[style]
        for old, new in pairs:
            assert old in text, old
            text = text.replace(old, new)
        return text

    return make


@pytest.fixture
def fixed(observe):
    """What the fix of a finding makes of a program, which then compiles; "" where the fix is none of the source."""

    def mend(text: str, code: str, **options) -> str:
        report = observe(text, **options)
        found = [one for one in report.findings if one.code == code]
        assert found, [(one.code, one.title) for one in report.findings] + [report.problem]
        fix = found[0].fix
        assert fix is not None
        if not fix.edits:
            assert fix.code
            return ""
        after = apply(text, fix.edits)
        ast.parse(after)
        return after

    return mend
