"""The pre-activation networks of Anand 2020, github iamVarunAnand/image_classification.

Norm and activation stand before each convolution (He 2016), shortcuts project behind an average pool
(He 2019, "Bag of tricks", ResNet-D), the head sees averages and maxima. XResNet and XResNeXt are instances.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from torch import Tensor, nn

from lowres.models.blocks import (
    ActivationName,
    Network,
    Padding,
    SamePool2d,
    SqueezeExcite,
    activation,
    choose,
    convolution,
    count,
    head,
    named,
)
from lowres.models.registry import Published

Projection = Literal["stride", "stage"]

RECIPE = "cosine, label smoothing, image-only mixup, reflection padding"  # of the ladder's top, in Anand's words


class Options(TypedDict, total=False):
    """What can be chosen of every pre-activation network; see `Style`."""

    classes: int
    channels: int
    projection: Projection
    shortcut_norm: bool
    padding: Padding


@dataclass(frozen=True)
class Layer:
    """One convolution of a block.

    Attributes:
        outputs: Channels that go out.
        kernel: Side of the kernel; the first of 3 carries the block's stride.
        groups: Cardinality.
    """

    outputs: int
    kernel: int = 3
    groups: int = 1


@dataclass(frozen=True)
class Style:
    """What all blocks of a network share.

    Attributes:
        activation: "relu" or "mish".
        squeeze_excite: Whether the last convolution of each block is weighed by squeeze-and-excite.
        projection: Which shortcuts project: "stride", those of blocks that halve the resolution; "stage",
            those of every stage's first block.
        shortcut_norm: Whether a batch norm follows the projection.
        padding: Of convolutions with stride 2: "symmetric", or "same" as in TensorFlow.
    """

    activation: ActivationName
    squeeze_excite: bool
    projection: Projection
    shortcut_norm: bool
    padding: Padding


class PreActivationBlock(nn.Module):
    """Norm, activation and convolution in turn, two or three times, and a shortcut around them.

    A projecting shortcut takes the activated input, an identity the raw one.
    """

    def __init__(self, inputs: int, layers: Sequence[Layer], stride: Literal[1, 2], style: Style, first: bool) -> None:
        super().__init__()
        self.norm1 = _norm(inputs)
        self.activation1 = activation(style.activation)
        self.branch = _branch(inputs, layers, stride, style)
        self.shortcut: nn.Module | None = None
        if stride == 2 or (first and style.projection == "stage"):
            self.shortcut = _projection(inputs, layers[-1].outputs, stride, style.shortcut_norm)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, inputs, H, W) to (N, outputs, ceil(H / stride), ceil(W / stride))."""
        activated = self.activation1(self.norm1(x))
        out: Tensor = self.branch(activated)
        out += x if self.shortcut is None else self.shortcut(activated)
        return out


def _branch(inputs: int, layers: Sequence[Layer], stride: int, style: Style) -> nn.Sequential:
    """The convolutions, with norm and activation between them; those before the first are the block's."""
    branch: dict[str, nn.Module] = {}
    for number, layer in enumerate(layers, start=1):
        if number > 1:
            branch[f"norm{number}"] = _norm(inputs)
            branch[f"activation{number}"] = activation(style.activation)
        branch[f"conv{number}"] = convolution(
            inputs,
            layer.outputs,
            layer.kernel,
            stride=stride if layer.kernel == 3 else 1,
            groups=layer.groups,
            padding=style.padding,
        )
        stride = 1 if layer.kernel == 3 else stride
        inputs = layer.outputs
    if style.squeeze_excite:
        branch["se"] = SqueezeExcite(inputs)
    return named(**branch)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=2e-5, momentum=0.1)


def _projection(inputs: int, outputs: int, stride: Literal[1, 2], norm: bool) -> nn.Sequential:
    shortcut: dict[str, nn.Module] = {"pool": SamePool2d(stride), "conv": convolution(inputs, outputs, 1)}
    if norm:  # Keras's defaults, which the original leaves as they are in this one place
        shortcut["norm"] = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)
    return named(**shortcut)


def preactivation(
    stages: Sequence[Sequence[Layer]], blocks: int, stem: int, style: Style, *, classes: int, channels: int
) -> Network:
    """A pre-activation network.

    Args:
        stages: The convolutions of a block, for each stage; every stage but the first halves the resolution.
        blocks: How many a stage has.
        stem: Channels of the 3x3 convolution at the start.
        style: What all blocks share.
        classes: Outputs.
        channels: Of the input images.

    Raises:
        UserError: An option's value is not possible.
    """
    choose("projection", style.projection, Projection)
    built: list[list[nn.Module]] = []
    inputs = stem
    for number, layers in enumerate(stages):
        stage: list[nn.Module] = []
        for block in range(blocks):
            stride: Literal[1, 2] = 2 if number > 0 and block == 0 else 1
            stage.append(PreActivationBlock(inputs, layers, stride, style, first=block == 0))
            inputs = layers[-1].outputs
        built.append(stage)
    last = {"norm": _norm(inputs), "activation": activation(style.activation)}
    return Network(
        stem=named(conv=convolution(count("channels", channels), stem)),
        stages=built,
        head=head(inputs, classes, "average+maximum", **last),
    )


def anand(accuracy: float, parameters: int, note: str = "") -> Published:
    """A figure of Anand's table: one run each; notes name what the recipe adds to the plain one."""
    return Published(accuracy, "Anand 2020, github iamVarunAnand/image_classification", parameters, note)
