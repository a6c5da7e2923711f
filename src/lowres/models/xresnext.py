"""XResNeXt and SE-MXResNeXt: pre-activation networks of bottleneck blocks, 9n + 2 layers (Anand 2020)."""

from typing import Unpack

from lowres.errors import UserError
from lowres.models.blocks import ActivationName, Network, Padding
from lowres.models.preactivation import RECIPE, Layer, Options, Projection, Style, anand, preactivation
from lowres.models.registry import register


def xresnext(
    depth: int,
    cardinality: int,
    width: int,
    activation: ActivationName = "relu",
    squeeze_excite: bool = False,
    *,
    classes: int = 10,
    channels: int = 3,
    projection: Projection = "stage",
    shortcut_norm: bool = True,
    padding: Padding = "symmetric",
) -> Network:
    """A pre-activation network of bottleneck blocks: three stages with 64, 128 and 256 channels.

    Args:
        depth: 9n + 2 for n blocks a stage.
        cardinality: Groups of the 3x3 convolution (Xie 2016); 1 makes a plain bottleneck.
        width: Channels a group at 64 channels; they grow with the stage's.
        activation: "relu" or "mish".
        squeeze_excite: Whether the last convolution of each block is weighed by squeeze-and-excite.
        classes: Outputs.
        channels: Of the input images.
        projection: Which shortcuts project, see `Style`; with "stride" stage one keeps identities.
        shortcut_norm: Whether a batch norm follows the projection.
        padding: Of convolutions with stride 2, see `Style`.

    Raises:
        UserError: An option's value is not possible.
    """
    blocks, rest = divmod(depth - 2, 9)
    if rest or blocks < 1:
        raise UserError(f"a network of bottleneck blocks has 9n + 2 layers (29, 38, 47, ...), not {depth}")
    style = Style(activation, squeeze_excite, projection, shortcut_norm, padding)
    stages = []
    for outputs in (64, 128, 256):
        inner = cardinality * width * outputs // 64
        stages.append((Layer(inner, 1), Layer(inner, 3, cardinality), Layer(outputs, 1)))
    return preactivation(stages, blocks, 64, style, classes=classes, channels=channels)


@register("XResNet", options_of=xresnext, published=(anand(92.38, 320_906),))
def xresnet29(**options: Unpack[Options]) -> Network:
    """XResNet-29: bottleneck blocks without groups, the yardstick for XResNeXt-29."""
    return xresnext(29, 1, 16, **options)


@register("XResNeXt", options_of=xresnext, published=(anand(93.30, 332_170),))
def xresnext29_16x2d(**options: Unpack[Options]) -> Network:
    """XResNeXt-29: 3 blocks a stage, 16 groups of width 2."""
    return xresnext(29, 16, 2, **options)


@register("XResNeXt", options_of=xresnext)
def xresnext47_16x2d(**options: Unpack[Options]) -> Network:
    """XResNeXt-47: 5 blocks a stage, 16 groups of width 2."""
    return xresnext(47, 16, 2, **options)


@register("XResNeXt", options_of=xresnext)
def xresnext65_16x2d(**options: Unpack[Options]) -> Network:
    """XResNeXt-65: 7 blocks a stage, 16 groups of width 2."""
    return xresnext(65, 16, 2, **options)


@register("XResNeXt", options_of=xresnext)
def xresnext83_16x2d(**options: Unpack[Options]) -> Network:
    """XResNeXt-83: 9 blocks a stage, 16 groups of width 2."""
    return xresnext(83, 16, 2, **options)


@register("SE-MXResNeXt", options_of=xresnext, published=(anand(94.68, 364_426, RECIPE),))
def semxresnext29_16x2d(**options: Unpack[Options]) -> Network:
    """SE-MXResNeXt-29: XResNeXt-29 with Mish and squeeze-and-excite."""
    return xresnext(29, 16, 2, "mish", squeeze_excite=True, **options)


@register("SE-MXResNeXt", options_of=xresnext)
def semxresnext47_16x2d(**options: Unpack[Options]) -> Network:
    """SE-MXResNeXt-47: XResNeXt-47 with Mish and squeeze-and-excite."""
    return xresnext(47, 16, 2, "mish", squeeze_excite=True, **options)


@register("SE-MXResNeXt", options_of=xresnext)
def semxresnext65_16x2d(**options: Unpack[Options]) -> Network:
    """SE-MXResNeXt-65: XResNeXt-65 with Mish and squeeze-and-excite."""
    return xresnext(65, 16, 2, "mish", squeeze_excite=True, **options)


@register("SE-MXResNeXt", options_of=xresnext)
def semxresnext83_16x2d(**options: Unpack[Options]) -> Network:
    """SE-MXResNeXt-83: XResNeXt-83 with Mish and squeeze-and-excite."""
    return xresnext(83, 16, 2, "mish", squeeze_excite=True, **options)
