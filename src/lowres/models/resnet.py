"""The residual networks of He 2015 for CIFAR (section 4.2): post-activation, 6n + 2 layers."""

from typing import Literal, TypedDict, Unpack

from torch import Tensor, nn

from lowres.errors import UserError
from lowres.models.blocks import Network, ZeroPadShortcut, activation, choose, convolution, count, head, named
from lowres.models.registry import Published, register

Shortcut = Literal["A", "B"]


class Options(TypedDict, total=False):
    """What can be chosen of every network in this file; see `resnet`."""

    classes: int
    channels: int
    shortcut: Shortcut


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, each normalised; the input is added before the last activation."""

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.branch = named(
            conv1=convolution(inputs, outputs, stride=stride),
            norm1=nn.BatchNorm2d(outputs),
            activation1=activation("relu"),
            conv2=convolution(outputs, outputs),
            norm2=nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module | None = None
        if (inputs, stride) != (outputs, 1):
            self.shortcut = _projection(inputs, outputs, stride, shortcut)
        self.activation = activation("relu")

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, inputs, H, W) to (N, outputs, ceil(H / stride), ceil(W / stride))."""
        out: Tensor = self.branch(x)
        out += x if self.shortcut is None else self.shortcut(x)  # in place: a twentieth of a CPU's step
        activated: Tensor = self.activation(out)
        return activated


def _projection(inputs: int, outputs: int, stride: int, shortcut: Shortcut) -> nn.Module:
    if shortcut == "A":
        return ZeroPadShortcut(inputs, outputs, stride)
    return named(conv=convolution(inputs, outputs, 1, stride=stride), norm=nn.BatchNorm2d(outputs))


def resnet(depth: int, *, classes: int = 10, channels: int = 3, shortcut: Shortcut = "A") -> Network:
    """A CIFAR ResNet: three stages of basic blocks with 16, 32 and 64 channels.

    Args:
        depth: 6n + 2 for n blocks a stage.
        classes: Outputs.
        channels: Of the input images.
        shortcut: Where the shape changes, "A" (the paper's choice for CIFAR) subsamples and pads the channels
            with zeros, "B" projects with a 1x1 convolution and a batch norm.

    Raises:
        UserError: An option's value is not possible.
    """
    blocks, rest = divmod(depth - 2, 6)
    if rest or blocks < 1:
        raise UserError(f"a CIFAR ResNet has 6n + 2 layers (20, 32, 44, ...), not {depth}")
    choose("shortcut", shortcut, Shortcut)
    stem = named(
        conv=convolution(count("channels", channels), 16),
        norm=nn.BatchNorm2d(16),
        activation=activation("relu"),
    )
    stages: list[list[nn.Module]] = []
    inputs = 16
    for stage, outputs in enumerate((16, 32, 64)):
        first = BasicBlock(inputs, outputs, 1 if stage == 0 else 2, shortcut)
        stages.append([first, *(BasicBlock(outputs, outputs, 1, shortcut) for _ in range(blocks - 1))])
        inputs = outputs
    return Network(stem, stages, head(inputs, classes, "average"))


def _paper(accuracy: float, parameters: int, note: str = "") -> Published:
    return Published(accuracy, "He 2015, table 6", parameters, note)


def _akamaster(accuracy: float, parameters: int) -> Published:
    return Published(accuracy, "akamaster/pytorch_resnet_cifar10", parameters, "best epoch")


@register(
    "ResNet",
    options_of=resnet,
    published=(
        _paper(91.25, 269_722),
        _akamaster(91.73, 269_722),
        Published(92.07, "Kim, ResNet-20 replication", 272_474, "shortcut B, 200 epochs, cosine, best epoch"),
    ),
)
def resnet20(**options: Unpack[Options]) -> Network:
    """ResNet-20, the smallest of He 2015: 0.27 M parameters."""
    return resnet(20, **options)


@register("ResNet", options_of=resnet, published=(_paper(92.49, 464_154), _akamaster(92.63, 464_154)))
def resnet32(**options: Unpack[Options]) -> Network:
    """ResNet-32 of He 2015: 0.46 M parameters."""
    return resnet(32, **options)


@register("ResNet", options_of=resnet, published=(_paper(92.83, 658_586), _akamaster(93.10, 658_586)))
def resnet44(**options: Unpack[Options]) -> Network:
    """ResNet-44 of He 2015: 0.66 M parameters."""
    return resnet(44, **options)


@register("ResNet", options_of=resnet, published=(_paper(93.03, 853_018), _akamaster(93.39, 853_018)))
def resnet56(**options: Unpack[Options]) -> Network:
    """ResNet-56 of He 2015: 0.85 M parameters."""
    return resnet(56, **options)


@register(
    "ResNet",
    options_of=resnet,
    published=(
        _paper(93.57, 1_727_962, "best of five runs, whose mean is 93.39"),
        _akamaster(93.68, 1_727_962),
    ),
)
def resnet110(**options: Unpack[Options]) -> Network:
    """ResNet-110 of He 2015: 1.7 M parameters; the paper warms its rate up."""
    return resnet(110, **options)


@register("ResNet", options_of=resnet, published=(_paper(92.07, 19_421_274), _akamaster(93.82, 19_421_274)))
def resnet1202(**options: Unpack[Options]) -> Network:
    """ResNet-1202 of He 2015: 19.4 M parameters, which overfit in the paper."""
    return resnet(1202, **options)
