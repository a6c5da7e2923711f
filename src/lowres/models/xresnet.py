"""XResNet, MXResNet and SE-MXResNet: pre-activation networks of basic blocks, 6n + 2 layers (Anand 2020)."""

from typing import Unpack

from lowres.errors import UserError
from lowres.models.blocks import ActivationName, Network, Padding
from lowres.models.preactivation import RECIPE, Layer, Options, Projection, Style, anand, preactivation
from lowres.models.registry import register


def xresnet(
    depth: int,
    activation: ActivationName = "relu",
    squeeze_excite: bool = False,
    *,
    classes: int = 10,
    channels: int = 3,
    projection: Projection = "stride",
    shortcut_norm: bool = True,
    padding: Padding = "symmetric",
) -> Network:
    """A pre-activation network of basic blocks: three stages with 16, 32 and 64 channels.

    The weights that were published for SE-MXResNet20 belong to `projection="stage", shortcut_norm=False,
    padding="same"`, which differs from the code published with them.

    Args:
        depth: 6n + 2 for n blocks a stage.
        activation: "relu" or "mish".
        squeeze_excite: Whether the second convolution of each block is weighed by squeeze-and-excite.
        classes: Outputs.
        channels: Of the input images.
        projection: Which shortcuts project, see `Style`.
        shortcut_norm: Whether a batch norm follows the projection.
        padding: Of convolutions with stride 2, see `Style`.

    Raises:
        UserError: An option's value is not possible.
    """
    blocks, rest = divmod(depth - 2, 6)
    if rest or blocks < 1:
        raise UserError(f"a network of basic blocks has 6n + 2 layers (20, 32, 44, ...), not {depth}")
    style = Style(activation, squeeze_excite, projection, shortcut_norm, padding)
    stages = [(Layer(outputs), Layer(outputs)) for outputs in (16, 32, 64)]
    return preactivation(stages, blocks, 16, style, classes=classes, channels=channels)


@register("XResNet", options_of=xresnet, published=(anand(91.82, 273_114),))
def xresnet20(**options: Unpack[Options]) -> Network:
    """XResNet-20: a pre-activation ResNet-20 with pooled projections, average and maximum in the head."""
    return xresnet(20, **options)


@register("XResNet", options_of=xresnet)
def xresnet32(**options: Unpack[Options]) -> Network:
    """XResNet-32: the XResNet with 5 blocks a stage."""
    return xresnet(32, **options)


@register("XResNet", options_of=xresnet)
def xresnet44(**options: Unpack[Options]) -> Network:
    """XResNet-44: the XResNet with 7 blocks a stage."""
    return xresnet(44, **options)


@register("XResNet", options_of=xresnet)
def xresnet56(**options: Unpack[Options]) -> Network:
    """XResNet-56: the XResNet with 9 blocks a stage."""
    return xresnet(56, **options)


@register("MXResNet", options_of=xresnet, published=(anand(92.07, 273_114),))
def mxresnet20(**options: Unpack[Options]) -> Network:
    """MXResNet-20: XResNet-20 with Mish in place of ReLU."""
    return xresnet(20, "mish", **options)


@register("MXResNet", options_of=xresnet)
def mxresnet32(**options: Unpack[Options]) -> Network:
    """MXResNet-32: XResNet-32 with Mish in place of ReLU."""
    return xresnet(32, "mish", **options)


@register("MXResNet", options_of=xresnet)
def mxresnet44(**options: Unpack[Options]) -> Network:
    """MXResNet-44: XResNet-44 with Mish in place of ReLU."""
    return xresnet(44, "mish", **options)


@register("MXResNet", options_of=xresnet)
def mxresnet56(**options: Unpack[Options]) -> Network:
    """MXResNet-56: XResNet-56 with Mish in place of ReLU."""
    return xresnet(56, "mish", **options)


@register(
    "SE-MXResNet",
    options_of=xresnet,
    published=(
        anand(92.19, 275_130),
        anand(92.47, 275_130, "+ cosine"),
        anand(92.51, 275_130, "+ cosine, label smoothing"),
        anand(92.97, 275_130, "+ cosine, label smoothing, image-only mixup"),
        anand(93.10, 275_194, f"+ {RECIPE}; published weights, of the options named at `xresnet`"),
    ),
)
def semxresnet20(**options: Unpack[Options]) -> Network:
    """SE-MXResNet-20: MXResNet-20 with squeeze-and-excite in every block."""
    return xresnet(20, "mish", squeeze_excite=True, **options)


@register("SE-MXResNet", options_of=xresnet, published=(anand(93.80, 470_906, RECIPE),))
def semxresnet32(**options: Unpack[Options]) -> Network:
    """SE-MXResNet-32: MXResNet-32 with squeeze-and-excite in every block."""
    return xresnet(32, "mish", squeeze_excite=True, **options)


@register("SE-MXResNet", options_of=xresnet, published=(anand(93.88, 666_682, RECIPE),))
def semxresnet44(**options: Unpack[Options]) -> Network:
    """SE-MXResNet-44: MXResNet-44 with squeeze-and-excite in every block."""
    return xresnet(44, "mish", squeeze_excite=True, **options)


@register("SE-MXResNet", options_of=xresnet, published=(anand(94.36, 862_458, RECIPE),))
def semxresnet56(**options: Unpack[Options]) -> Network:
    """SE-MXResNet-56: MXResNet-56 with squeeze-and-excite in every block."""
    return xresnet(56, "mish", squeeze_excite=True, **options)
