"""The pieces all families are built from: activations, convolution, pooling, shortcuts, head, frame."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowres.errors import UserError, unknown
from lowres.models.mish import Mish

Padding = Literal["symmetric", "same"]
ActivationName = Literal["relu", "mish"]
Pooling = Literal["average", "average+maximum"]


def choose(kind: str, value: str, choices: object) -> None:
    """Raises a UserError where an option's value is not one of a `Literal` type's."""
    if value not in get_args(choices):
        raise unknown(kind, str(value), get_args(choices))


def count(kind: str, value: int) -> int:
    """An option that counts something, checked to be a whole number above zero."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"{kind} must be a whole number above zero, not {value!r}")
    return value


def named(**layers: nn.Module) -> nn.Sequential:
    """A sequence of layers with names in place of numbers."""
    return nn.Sequential(OrderedDict(layers))


def activation(name: ActivationName) -> nn.Module:
    """A fresh activation. ReLU works in place: it always follows a layer whose output nobody else needs."""
    choose("activation", name, ActivationName)
    return nn.ReLU(inplace=True) if name == "relu" else Mish()


def convolution(
    inputs: int,
    outputs: int,
    kernel: int = 3,
    *,
    stride: int = 1,
    groups: int = 1,
    padding: Padding = "symmetric",
) -> nn.Conv2d:
    """A convolution without bias (a normalisation follows) that gives ceil(size / stride) positions a side.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        kernel: Odd side of the kernel.
        stride: Of the output positions.
        groups: Cardinality: in how many groups the channels are kept apart.
        padding: "symmetric", or "same" for TensorFlow's rule, which on an even size with stride 2 pads at the
            bottom and right only. With stride 1 there is no difference.
    """
    choose("padding", padding, Padding)
    if padding == "same" and stride > 1:
        return SameConv2d(inputs, outputs, kernel, stride=stride, groups=groups, bias=False)
    return nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False)


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding: as little as needed, more at the bottom and right."""

    def forward(self, input: Tensor) -> Tensor:
        """Images (N, C, H, W) to (N, outputs, ceil(H / stride), ceil(W / stride))."""
        top, bottom = _same(input.shape[2], self.kernel_size[0], self.stride[0])
        left, right = _same(input.shape[3], self.kernel_size[1], self.stride[1])
        return super().forward(F.pad(input, (left, right, top, bottom)))


def _same(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class SamePool2d(nn.Module):
    """Averages over 2x2 pixels with SAME padding: at the bottom and right over the pixels that exist."""

    def __init__(self, stride: Literal[1, 2]) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride))."""
        if self.stride == 2:
            return F.avg_pool2d(x, 2, 2, ceil_mode=True)
        # Padded all round, position i averages pixels i - 1 and i, where they exist; the first is too many.
        return F.avg_pool2d(x, 2, 1, padding=1, count_include_pad=False)[:, :, 1:, 1:]

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"kernel_size=2, stride={self.stride}"


class ZeroPadShortcut(nn.Module):
    """Shortcut A of He 2015 (section 3.3): every second pixel, zeros for the channels that are new.

    The paper leaves open where the zeros go; here half of them on each side, as in the weights people share.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.before = (outputs - inputs) // 2
        self.after = outputs - inputs - self.before
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, inputs, H, W) to (N, outputs, ceil(H / stride), ceil(W / stride)), with one copy."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.before, self.after))

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"stride={self.stride}, zeros={self.before}+{self.after}"


class SqueezeExcite(nn.Module):
    """Weighs channels by what the whole image holds (Hu 2018), without biases, reduced by 16."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, max(channels // 16, 1), bias=False)
        self.excite = nn.Linear(self.squeeze.out_features, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, C, H, W) to the same shape."""
        weights = torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean((2, 3))))))
        return x * weights[:, :, None, None]


class GlobalPool(nn.Module):
    """Averages over the image; "average+maximum" appends each channel's maximum."""

    def __init__(self, pooling: Pooling) -> None:
        super().__init__()
        self.pooling = pooling

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, C, H, W) to (N, C), or (N, 2 C) with the maximum."""
        average = x.mean((2, 3))
        return average if self.pooling == "average" else torch.cat([average, x.amax((2, 3))], dim=1)

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return self.pooling


def head(channels: int, classes: int, pooling: Pooling, **before: nn.Module) -> nn.Sequential:
    """Global pooling and one linear layer: maps (N, channels, H, W) to logits (N, classes).

    Args:
        channels: That come in.
        classes: Outputs.
        pooling: "average", or "average+maximum" for both, concatenated.
        before: Layers to put in front, such as a pre-activation network's last norm.
    """
    features = channels if pooling == "average" else 2 * channels
    return named(**before, pool=GlobalPool(pooling), linear=nn.Linear(features, count("classes", classes)))


class Network(nn.Module):
    """A stem, stages of blocks, a head: the frame of every residual network here."""

    def __init__(self, stem: nn.Module, stages: Iterable[Iterable[nn.Module]], head: nn.Module) -> None:
        super().__init__()
        self.stem = stem
        self.stages = nn.Sequential(*(nn.Sequential(*blocks) for blocks in stages))
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, channels, H, W), normalised, to logits (N, classes)."""
        logits: Tensor = self.head(self.stages(self.stem(images)))
        return logits
