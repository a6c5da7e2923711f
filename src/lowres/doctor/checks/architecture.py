"""AR1: what the network does to small images."""

from lowres.doctor.findings import Fix, Found, Place, check
from lowres.doctor.network import Layer
from lowres.doctor.remedies.layers import kept_apart, rectifiers, told_the_mode
from lowres.doctor.remedies.sizes import smaller_patches, stem
from lowres.doctor.remedies.transforms import enlargement
from lowres.doctor.setup import Setup

CASES = "public cases: 5 to 25 points on CIFAR-10, 10 to 30 on CIFAR-100"


@check("AR101", "resolution lost too early", grade="warning", kind="C01", cost=(5, 25), source=CASES)
def resolution(setup: Setup) -> Found | None:
    """Most of the network works on maps of one or two pixels a side: it was built for larger images.

    One batch is passed through. It speaks where 30 % of the convolutions' weights work on 1x1 maps, or 55 % on maps
    of at most 2x2. An error where kernel positions have a gradient of exactly zero whatever the image, since they see
    nothing but padding. Gates on pooled vectors (squeeze-and-excite) do not count, nor do networks that end on 3x3
    or larger maps.
    """
    network = setup.network
    if network is None or setup.image_size is None or len(network.convolutions) < 4 or network.attention:
        return None
    one, two = network.share_below(1), network.share_below(2)
    if one < 0.3 and two < 0.55:
        return None
    reduced = _reduction(network.layers[:8], network.size[0])
    cost = 20.0 if one >= 0.5 else 12.0 if one >= 0.3 else 8.0
    cost = cost + 5 if setup.pretrained else cost
    place = _model_place(setup)
    size, last = setup.image_size, max(_last_large(network.convolutions))
    return Found(
        f"{two:.0%} of the convolutions' weights work on maps of at most 2x2 pixels: the network shrinks {size}-pixel "
        f"images to {last}x{last}",
        {
            "image_size": size,
            "last_map": list(network.convolutions[-1].before),
            "share_on_1x1": round(one, 3),
            "share_on_2x2": round(two, 3),
            "share_without_gradient": round(network.dead, 3),
            "first_layers_reduce": reduced,
        },
        cost=cost,
        grade="error" if network.dead > 0.01 else None,
        place=place,
        fix=enlargement(setup) if setup.pretrained else stem(setup, place),
    )


def _last_large(convolutions: list[Layer]) -> tuple[int, ...]:
    return convolutions[-1].after


def _reduction(layers: tuple[Layer, ...], size: int) -> int:
    """How many times smaller the first three layers that shrink make the image."""
    sizes = [one.after[0] for one in layers if one.kind in ("conv", "pool") and one.after][:3]
    return size // max(min(sizes, default=size), 1)


def _model_place(setup: Setup) -> Place | None:
    """The line that makes the network, else the first that passes a batch through it."""
    if setup.source is not None:
        name = type(setup.model).__name__
        builders = {name, name.lower(), *(f for f in _builders(setup))}
        calls = [one for one in setup.source.calls(*builders) if one.lineno]
        if calls:
            return Place(setup.source.path, calls[0].lineno)
    seen = setup.trace.models.get(id(setup.model))
    return seen.place if seen else None


def _builders(setup: Setup) -> list[str]:
    """Functions of model zoos that the source calls."""
    import ast

    assert setup.source is not None
    names = [
        one.func.attr if isinstance(one.func, ast.Attribute) else getattr(one.func, "id", "")
        for one in setup.source.nodes(ast.Call)
        if isinstance(one, ast.Call)
    ]
    zoo = ("resnet", "resnext", "wide_resnet", "densenet", "mobilenet", "efficientnet", "vgg", "googlenet", "convnext")
    return [name for name in names if name.startswith((*zoo, "shufflenet", "regnet", "create_model", "get_model"))]


@check(
    "AR102", "too few patches", grade="warning", kind="C01", cost=(15, 35), source="public cases: 49 % with 4 tokens"
)
def patches(setup: Setup) -> Found | None:
    """A transformer cuts the image into fewer than 16 patches: too few to attend to.

    Told by a first convolution whose stride is its kernel, in a network that attends.
    """
    network = setup.network
    convs = network.convolutions if network is not None else []
    if network is None or not convs or not network.attention:
        return None
    first = convs[0]
    tokens = first.after[0] * first.after[1] if len(first.after) == 2 else 99
    if first.kernel != first.stride or first.stride[0] < 2 or tokens >= 16:
        return None
    return Found(
        f"patches of {first.kernel[0]}x{first.kernel[1]} leave {tokens} tokens of a {network.size[0]}-pixel image",
        {"patch": first.kernel[0], "tokens": tokens, "image_size": network.size[0]},
        fix=smaller_patches(setup, first.kernel[0], network.size[0]),
    )


@check("AR103", "no non-linearity", grade="error", kind="C34", cost=(5, 30), source="estimate of the catalogue")
def linear(setup: Setup) -> Found | None:
    """Layer follows layer without an activation: together they are one linear map.

    The autograd graph of the scores is counted: fewer than one activation for four convolutions or linear layers.
    Linear bottlenecks (two activations for three convolutions) are far from that. Attention is left alone.
    """
    network = setup.network
    if network is None or network.attention or not network.graph:
        return None
    layers = sum(one.kind in ("conv", "linear") and one.weights > 0 for one in network.layers)
    active = network.activations()
    if layers < 3 or active >= 0.25 * (layers - 1):
        return None
    return Found(
        f"{active} activation{'s' if active != 1 else ''} for {layers} layers: most of them follow each other linearly",
        {"layers": layers, "activations": active},
        cost=15.0,
        fix=rectifiers(setup),
    )


@check("AR104", "chance at evaluation", grade="error", kind="C27", cost=(2, 3), source="public case: dropout at test")
def chance(setup: Setup) -> Found | None:
    """In evaluation mode the same images get other scores at each pass.

    Two passes of one batch are compared. Often `F.dropout` without `training=self.training`, which never stops.
    Silent where a layer is made anew at each pass: TR513 speaks of that.
    """
    network = setup.network
    if network is None or network.chance == 0 or any(not same for _, same in network.unregistered):
        return None
    place, fix = told_the_mode(setup)
    return Found(
        f"scores change by up to {network.chance:.2g} from one pass to the next in evaluation mode",
        {"change": network.chance},
        place=place,
        fix=fix or Fix("tell dropout the mode", code="F.dropout(x, p, training=self.training)"),
    )


@check("AR105", "images mixed", grade="error", kind="C31", cost=(5, 80), source="estimate of the catalogue")
def mixed(setup: Setup) -> Found | None:
    """One image's scores depend on the other images of its batch, in evaluation mode.

    One image of a batch is changed; the scores of the others must stay. Norms without running statistics do the same
    and are AR108's; layers that evaluation mode does not reach are TR512's; scores that change by chance cannot be
    judged.
    """
    network = setup.network
    if network is None or network.mixed < 1e-4 or setup.model is None or not network.finite or network.unregistered:
        return None
    if any(
        getattr(one, "track_running_stats", True) is False
        for one in setup.model.modules()
        if hasattr(one, "running_mean")
    ):
        return None
    return Found(
        f"changing one image changes the scores of the others by up to {network.mixed:.2g} of their size",
        {"change": network.mixed},
        cost=25.0,
        fix=kept_apart(setup),
    )
