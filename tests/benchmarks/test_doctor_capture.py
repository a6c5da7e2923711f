from pathlib import Path

import capture
import pytest
import torch
from torch import nn

from lowres.data import Dataset, Images

PROGRAM = """
import torch
from torch import nn, optim
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

tensor = transforms.ToTensor()
train = DataLoader(datasets.CIFAR10("x", train=True, download=True, transform=tensor), 8, shuffle=True, num_workers=2)
test = DataLoader(datasets.CIFAR10("x", train=False, transform=tensor), batch_size=8)
model = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))
loss_fn = nn.CrossEntropyLoss()
opt = optim.SGD(model.parameters(), lr=0.1)
for epoch in range(2):
    for x, y in train:
        opt.zero_grad()
        loss_fn(model(x), y).backward()
        opt.step()
torch.save(model.state_dict(), "weights.pth")
print("tested", sum(len(y) for _, y in test))
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    images = Images(
        torch.arange(40 * 3072).reshape(40, 3, 32, 32).to(torch.uint8), torch.arange(40) % 10, tuple("abcdefghij")
    )
    dataset = Dataset("cifar10", images, images)
    monkeypatch.setattr(capture, "_dataset", lambda data: dataset)
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def test_objects_are_those_before_the_first_step(program):
    seen = capture.run(program, Path("nowhere"), images=4)
    assert isinstance(seen.model, nn.Sequential)
    assert isinstance(seen.loss, nn.CrossEntropyLoss)
    assert isinstance(seen.optimizer, torch.optim.SGD)
    assert seen.inputs.shape == (4, 3, 32, 32)
    assert seen.labels.shape == (4,)
    assert seen.steps == 0
    assert seen.output == ""


def test_a_program_runs_to_its_end_and_leaves_nothing_behind(program):
    before = Path.cwd(), sorted(Path().iterdir())
    seen = capture.run(program, Path("nowhere"), batches=3, images=2, stop=False)
    assert seen.steps == 6
    assert seen.output == "tested 6\n"
    assert (Path.cwd(), sorted(Path().iterdir())) == before


def test_a_program_that_raises_does_so(program):
    program.write_text(PROGRAM + "raise KeyError('own')\n")
    with pytest.raises(KeyError, match="own"):
        capture.run(program, Path("nowhere"), stop=False)
    assert torch.utils.data.DataLoader.__iter__.__module__.startswith("torch")
