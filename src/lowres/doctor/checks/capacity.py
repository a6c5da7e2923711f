"""AR1: whether the network can hold what is asked of it, and whether too much is taken from it."""

from torch import nn

from lowres.doctor.findings import Fix, Found, check
from lowres.doctor.remedies.dropouts import undropped
from lowres.doctor.remedies.forward import widened
from lowres.doctor.setup import Setup


@check(
    "AR112",
    "too narrow",
    grade="warning",
    kind="C29",
    cost=(5, 25),
    source="public cases: 68 % with 16 channels everywhere",
)
def narrow(setup: Setup) -> Found | None:
    """A deep convolutional network of fewer than 60,000 parameters: it cannot hold ten classes of photographs.

    The smallest networks known to pass 90 % on CIFAR-10 have more. Digits need less, and are left alone.
    """
    network, kind = setup.network, setup.kind
    if network is None or kind is None or network.parameters >= 60_000 or len(network.convolutions) < 3:
        return None
    if setup.image_size is not None and setup.inputs is not None and setup.inputs.shape[1] == 1:
        return None
    width = max(one.width for one in network.convolutions)
    return Found(
        f"{network.parameters:,} parameters, {network.convolutions[0].width} to {width} channels: too few for "
        f"photographs",
        {"parameters": network.parameters, "first_width": network.convolutions[0].width, "last_width": width},
        cost=15.0 if network.parameters < 40_000 else 8.0,
        fix=widened(setup) or Fix("64 channels in the first layers", code="width=64"),
    )


@check(
    "AR113",
    "a small network",
    grade="note",
    kind="C29",
    cost=(5, 25),
    source="public cases: 75 to 82 % for three convolutions",
)
def small(setup: Setup) -> Found | None:
    """A perceptron or a handful of convolutions: sound perhaps, but its ceiling is far below that of deep networks."""
    kind = setup.kind
    if kind is None or kind.high > 82 or setup.network is None or setup.network.parameters < 60_000:
        return None
    if setup.inputs is not None and setup.inputs.dim() == 4 and setup.inputs.shape[1] == 1:
        return None
    return Found(f"{kind.name} reaches {kind.low:g} to {kind.high:g} % at best", {"low": kind.low, "high": kind.high})


@check(
    "AR114",
    "dropout between convolutions",
    grade="warning",
    kind="C30",
    cost=(2, 6),
    source="public cases and the catalogue's estimate",
)
def dropout(setup: Setup) -> Found | None:
    """Half of the units or more are dropped after several convolutions, where norms already regularise.

    Counts dropout layers of p at least 0.4 that stand before the last convolution. Dropout before the classifier is
    usual.
    """
    if setup.model is None:
        return None
    order = [one for one in setup.model.modules() if isinstance(one, nn.Conv2d | nn.modules.dropout._DropoutNd)]
    last = max((i for i, one in enumerate(order) if isinstance(one, nn.Conv2d)), default=-1)
    strong = [one for one in order[:last] if isinstance(one, nn.modules.dropout._DropoutNd) and one.p >= 0.4]
    if len(strong) < 3:
        return None
    names = [name for name, one in setup.model.named_modules() if one in strong]
    return Found(
        f"{len(strong)} dropouts of {max(one.p for one in strong):g} between the convolutions",
        {"dropouts": len(strong), "p": max(one.p for one in strong)},
        cost=5.0,
        fix=undropped(setup, names) or Fix("no dropout between convolutions", code="nn.Dropout(0.0)"),
    )
