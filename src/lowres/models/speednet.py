"""Networks for short trainings: a whitening stem, three stages of few wide convolutions that pool early, no strides.

Composed of what the speed records on CIFAR-10 have shown to pay (Page 2019; Jordan 2024, "94% on CIFAR-10 in 3.29
seconds"): a first layer that needs no training, convolutions that start as the identity on part of their channels,
pooling before the norm so that all that follows sees a quarter of the positions, norms without a trained scale.
"""

from typing import Literal, TypedDict, Unpack

from torch import Tensor, nn

from lowres.errors import UserError
from lowres.models.blocks import Network, choose, count, named
from lowres.models.registry import register
from lowres.models.whitening import Whitening

Activation = Literal["gelu", "relu"]


class Options(TypedDict, total=False):
    """What can be chosen of every network in this file; see `speednet`."""

    classes: int
    channels: int
    width: float
    activation: Activation
    norm_momentum: float
    norm_scale: bool
    logit_scale: float


class IdentityConv2d(nn.Conv2d):
    """A 3x3 convolution that starts by passing on what comes in, in as many of its outputs as there are inputs."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=False)

    def begin(self) -> None:
        """Sets the identity over the initial values that were drawn (see `lowres.models.initialise`)."""
        nn.init.dirac_(self.weight.data[: self.in_channels])


class Stage(nn.Module):
    """Two or three convolutions, the first one pooled: half as many positions a side, rounded down.

    With three, the last one's output is added to the first one's.
    """

    def __init__(self, inputs: int, outputs: int, convolutions: int, activation: Activation, norm: "_Norm") -> None:
        super().__init__()
        self.first = named(
            conv=IdentityConv2d(inputs, outputs),
            pool=nn.MaxPool2d(2),
            norm=norm(outputs),
            activation=_activation(activation),
        )
        rest: list[nn.Module] = [IdentityConv2d(outputs, outputs), norm(outputs)]
        for _ in range(convolutions - 2):
            rest += [_activation(activation), IdentityConv2d(outputs, outputs), norm(outputs)]
        self.rest = nn.Sequential(*rest)
        self.residual = convolutions > 2
        self.activation = _activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, inputs, H, W) to (N, outputs, H // 2, W // 2)."""
        x = self.first(x)
        out: Tensor = self.rest(x)
        activated: Tensor = self.activation(out + x if self.residual else out)
        return activated


class Head(nn.Module):
    """The maximum over the image and a linear layer without bias, whose outputs are scaled."""

    def __init__(self, features: int, classes: int, scale: float) -> None:
        super().__init__()
        self.linear = nn.Linear(features, count("classes", classes), bias=False)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, features, H, W) to logits (N, classes)."""
        logits: Tensor = self.linear(x.amax((2, 3))) * self.scale
        return logits

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"scale={self.scale}"


class _Norm:
    """Makes the batch norms of a network: running statistics that follow fast, for a training of few steps."""

    def __init__(self, momentum: float, scale: bool) -> None:
        if not 0 < momentum <= 1:
            raise UserError(f"norm_momentum must be above 0 and at most 1, not {momentum!r}")
        self.momentum = momentum
        self.scale = scale

    def __call__(self, features: int) -> nn.BatchNorm2d:
        norm = nn.BatchNorm2d(features, momentum=self.momentum)
        norm.weight.requires_grad_(self.scale)
        return norm


def _activation(name: Activation) -> nn.Module:
    return nn.GELU() if name == "gelu" else nn.ReLU(inplace=True)


def speednet(
    widths: tuple[int, int, int],
    convolutions: int = 2,
    *,
    classes: int = 10,
    channels: int = 3,
    width: float = 1.0,
    activation: Activation = "gelu",
    norm_momentum: float = 0.4,
    norm_scale: bool = False,
    logit_scale: float = 0.0625,
) -> Network:
    """A network for a short training.

    Args:
        widths: Channels of the three stages.
        convolutions: In a stage: 2, or 3 with a residual connection over the last two.
        classes: Outputs.
        channels: Of the input images.
        width: Every stage's channels are multiplied by it.
        activation: "gelu", or "relu", which is cheaper where memory is slow.
        norm_momentum: Weight of a batch's statistics in the running ones, in PyTorch's sense.
        norm_scale: Whether the norms' scales are trained; their shifts are.
        logit_scale: What the outputs are multiplied by, so that a training starts from an even guess.

    Raises:
        UserError: An option's value is not possible.
    """
    choose("activation", activation, Activation)
    if not 0 < width <= 16:
        raise UserError(f"width must be above 0 and at most 16, not {width!r}")
    stem = named(whitening=Whitening(count("channels", channels)), activation=_activation(activation))
    norm = _Norm(norm_momentum, norm_scale)
    stages: list[list[nn.Module]] = []
    inputs = 8 * channels
    for outputs in (max(round(w * width), 1) for w in widths):
        stages.append([Stage(inputs, outputs, convolutions, activation, norm)])
        inputs = outputs
    return Network(stem, stages, Head(inputs, classes, logit_scale))


@register("SpeedNet", options_of=speednet)
def speednet_s(**options: Unpack[Options]) -> Network:
    """The smallest of our networks for short trainings: stages of 64, 256 and 256 channels."""
    return speednet((64, 256, 256), **options)


@register("SpeedNet", options_of=speednet)
def speednet_m(**options: Unpack[Options]) -> Network:
    """The middle one of our networks for short trainings: stages of 128, 384 and 384 channels."""
    return speednet((128, 384, 384), **options)


@register("SpeedNet", options_of=speednet)
def speednet_l(**options: Unpack[Options]) -> Network:
    """The largest of our networks for short trainings: stages of 128, 512 and 512 channels, residual."""
    return speednet((128, 512, 512), 3, **options)
