import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Labelled(NamedTuple):
    """CIFAR-10's test set: images (10000, 3, 32, 32), normalised, and labels (10000,)."""

    images: Tensor
    labels: Tensor


@pytest.fixture(scope="session")
def golden() -> Path:
    """The published weights of SE-MXResNet-20 in Keras's layout, with what they give on the test set."""
    path = Path(os.environ.get("LOWRES_GOLDEN_DIR", "golden")) / "semxresnet20.npz"
    if not path.is_file():
        pytest.skip("no golden weights: LOWRES_GOLDEN_DIR names the folder of semxresnet20.npz")
    return path


@pytest.fixture(scope="session")
def cifar_test() -> Labelled:
    folder = Path(os.environ.get("LOWRES_DATA_DIR", "data"))
    if (folder / "cifar-10-batches-bin" / "test_batch.bin").is_file():
        raw = np.fromfile(folder / "cifar-10-batches-bin" / "test_batch.bin", np.uint8).reshape(-1, 3073)
        images, labels = raw[:, 1:].reshape(-1, 3, 32, 32), raw[:, 0]
    elif (folder / "cifar10.npz").is_file():
        with np.load(folder / "cifar10.npz") as file:
            images, labels = file["x_test"].transpose(0, 3, 1, 2), file["y_test"]
    else:
        pytest.skip("no CIFAR-10: LOWRES_DATA_DIR names the folder of cifar-10-batches-bin or cifar10.npz")
    mean = torch.tensor([0.4914, 0.4822, 0.4465]).view(1, 3, 1, 1)
    std = torch.tensor([0.247, 0.2435, 0.2616]).view(1, 3, 1, 1)
    return Labelled((torch.from_numpy(images) / 255 - mean) / std, torch.from_numpy(labels).long())


@pytest.fixture(scope="session")
def elsewhere() -> type[nn.Module]:
    """A class of networks as other repositories write them."""
    return Elsewhere


@pytest.fixture(scope="session")
def stirred() -> Callable[[nn.Module], nn.Module]:
    """Draws every tensor of a network anew, running statistics and biases too, and puts it into evaluation mode."""
    return stir


class Elsewhere(nn.Module):
    """A CIFAR ResNet with the names most repositories use; shortcut "A" or "B", written independently."""

    def __init__(self, blocks: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(ElsewhereBlock(16, 16, 1, shortcut) for _ in range(blocks)))
        self.layer2 = nn.Sequential(
            *(ElsewhereBlock(32 if i else 16, 32, 1 if i else 2, shortcut) for i in range(blocks))
        )
        self.layer3 = nn.Sequential(
            *(ElsewhereBlock(64 if i else 32, 64, 1 if i else 2, shortcut) for i in range(blocks))
        )
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(F.avg_pool2d(x, x.shape[-1]).flatten(1))


class ElsewhereBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        self.pads = stride != 1 and shortcut == "A"
        if stride != 1 and shortcut == "B":
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.pads:
            half = (y.shape[1] - x.shape[1]) // 2
            zeros = x.new_zeros(len(x), half, *y.shape[2:])
            return F.relu(y + torch.cat([zeros, x[:, :, ::2, ::2], zeros], dim=1))
        return F.relu(y + self.shortcut(x))


def stir(model: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                noise = torch.randn(tensor.shape, generator=generator)
                tensor.copy_(noise.abs() * 0.2 + 0.9 if "var" in name or tensor.dim() == 1 else noise * 0.1)
    return model.eval()
