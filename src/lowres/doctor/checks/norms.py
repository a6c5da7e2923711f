"""AR1: normalisation, and signals in networks without it."""

from torch import nn

from lowres.doctor.checks.rate import set_rate, with_norms
from lowres.doctor.findings import Fix, Found, check
from lowres.doctor.network import BATCH_NORMS, Layer
from lowres.doctor.proposals import of_batches
from lowres.doctor.remedies.layers import norm_option, norms, shared_norm
from lowres.doctor.remedies.numbers import BATCH, larger_batches
from lowres.doctor.remedies.places import optimizer_made
from lowres.doctor.setup import Setup


def _norms(setup: Setup) -> list[nn.modules.batchnorm._BatchNorm]:
    modules = setup.model.modules() if setup.model is not None else ()
    return [one for one in modules if isinstance(one, BATCH_NORMS)]


@check(
    "AR106",
    "a norm that serves twice",
    grade="error",
    kind="C12",
    cost=(5, 60),
    source="public case: 76 % in training mode, 10 % in evaluation",
)
def shared(setup: Setup) -> Found | None:
    """One batch norm is called more than once in a pass; its running statistics mix what it saw and suit neither.

    Calls are counted in one pass. Networks that run a whole backbone twice (contrastive learning) call all of them
    and stay silent.
    """
    calls = setup.network.calls if setup.network is not None else {}
    twice = {name: count for name, count in calls.items() if count > 1}
    if not twice or len(twice) == len(calls) > 1:
        return None
    return Found(
        f"{len(twice)} batch norm{'s are' if len(twice) > 1 else ' is'} called more than once in a pass "
        f"({next(iter(twice))})",
        {"norms": len(twice), "calls": max(twice.values())},
        cost=20.0,
        fix=shared_norm(setup, list(twice)),
    )


@check("AR107", "momentum of a norm", grade="warning", kind="C12", cost=(1, 10), source="public cases")
def momentum(setup: Setup) -> Found | None:
    """Batch norms whose momentum is above 0.5 keep the statistics of the last batch or two alone.

    PyTorch's momentum is the share of the *new* batch; Keras's 0.99 is 0.01 here. A momentum of 0 never leaves the
    initial statistics. None (the plain average) is fine.
    """
    wrong = [one for one in _norms(setup) if one.momentum is not None and (one.momentum > 0.5 or one.momentum == 0)]
    if not wrong:
        return None
    value = wrong[0].momentum
    assert value is not None
    return Found(
        f"{len(wrong)} batch norms have momentum {value:g}, so evaluation uses the statistics of "
        f"{'the last batch' if value else 'no batch at all'}",
        {"norms": len(wrong), "momentum": value},
        cost=3.0,
        fix=norm_option(setup, "momentum", "0.1", "PyTorch's momentum", "momentum=0.1"),
    )


@check(
    "AR108",
    "a norm without running statistics",
    grade="warning",
    kind="C12",
    cost=(1, 10),
    source="public cases: accuracy depends on the test batch",
)
def untracked(setup: Setup) -> Found | None:
    """Batch norms with `track_running_stats=False` normalise an evaluation batch by itself.

    Accuracy then depends on which images are evaluated together, and is chance for one image.
    """
    wrong = [one for one in _norms(setup) if not one.track_running_stats]
    if not wrong:
        return None
    return Found(
        f"{len(wrong)} batch norms keep no running statistics: an image's scores depend on its batch",
        {"norms": len(wrong), "share": len(wrong) / len(_norms(setup))},
        cost=5.0,
        fix=norm_option(setup, "track_running_stats", "True", "keep running statistics", "nn.BatchNorm2d(channels)"),
    )


@check(
    "AR109",
    "batch norm over few images",
    grade="warning",
    kind="C12",
    cost=(1, 10),
    source="public cases: above 50 % error at batches of one",
)
def tiny_batches(setup: Setup) -> Found | None:
    """Batches of fewer than 8 images give batch norm statistics of chance.

    Silent where the norms are frozen (in evaluation mode during training), or the network has none.
    """
    size = setup.train.batch_size if setup.train is not None else None
    frozen = any(not event["training"] for event in setup.trace.of("forward", real=True) if event["grad"])
    if size is None or size >= 8 or not setup.batch_normed or frozen:
        return None
    fix = larger_batches(setup, size)
    return Found(
        f"batch norm takes its statistics from {size} image{'s' if size > 1 else ''}",
        {"batch_size": size, "proposed": of_batches(fix, BATCH)},
        cost=10.0 if size < 3 else 4.0,
        place=setup.train.place if setup.train is not None else None,
        fix=fix,
    )


@check(
    "AR110",
    "deep without norms",
    grade="warning",
    kind="C21",
    cost=(3, 85),
    source="public cases: 10 % without norms at the rate that suited them",
)
def unnormed(setup: Setup) -> Found | None:
    """Eight or more convolutions without any normalisation, with a signal that fades or a rate that is too high for it.

    Speaks where the signal changes by more than a hundred times between first and last convolution at the start, or
    where SGD's rate is above 0.03. Networks with skips that were made to do without norms are left alone: their
    branches end in learned scalars (Fixup, SkipInit, NF-nets) or begin at zero.
    """
    network = setup.network
    if network is None or network.norms or network.attention or len(network.convolutions) < 8 or _meant(setup):
        return None
    first, last = network.convolutions[0], network.convolutions[-1]
    fades = _ratio(last.spread, first.spread)
    rate = setup.rates.peak if setup.rates is not None else 0.0
    high = setup.algorithm == "SGD" and rate > 0.03
    if 0.01 <= fades <= 100 and not high:
        return None
    fix, best = _normed(setup)
    return Found(
        f"{len(network.convolutions)} convolutions without a norm: from first to last the signal changes "
        f"{_times(fades)}" + (f", at a rate of {rate:g}" if high else ""),
        {"convolutions": len(network.convolutions), "signal_ratio": fades, "rate": rate}
        | ({"proposed": {"lr": best}} if best is not None else {}),
        cost=60.0 if high else 20.0,
        fix=fix,
    )


def _normed(setup: Setup) -> tuple[Fix, float | None]:
    """Norms, and the rate that suits the network with them, where both are in one file; the rate if it is set."""
    fix, best = norms(setup, "a norm behind each convolution", activations=False), with_norms(setup)
    rate, built = set_rate(setup, best) if best is not None else None, optimizer_made(setup)
    if rate is None or built is None or not rate.edits or not fix.path == rate.path == built.source.path:
        return fix, None
    return built.source.fix(f"{fix.title}, and {rate.title}", *fix.edits, *rate.edits), best


def _meant(setup: Setup) -> bool:
    """Whether the branches of a network with skips are kept small in another way than by norms."""
    start = setup.pristine if setup.pristine is not None else setup.model
    if setup.network is None or setup.network.graph["AddBackward0"] < 2 or start is None:
        return False
    layers = (nn.PReLU, nn.Conv2d, nn.Linear)  # theirs are slopes and biases
    others = [one for one in start.modules() if not isinstance(one, layers)]
    scalars = [p for one in others for p in one.parameters(recurse=False) if p.numel() == 1]
    zeros = [one for one in start.modules() if isinstance(one, nn.Conv2d) and not one.weight.any()]
    return max(len(scalars), len(zeros)) >= 2


@check("AR111", "gradients that vanish", grade="error", kind="C21", cost=(10, 85), source="estimate of the catalogue")
def vanishing(setup: Setup) -> Found | None:
    """At the start the gradient of the first layers is a thousandth of that of the last, or nothing.

    One backward pass of the untrained network. Layers that are frozen on purpose do not count. Also where all images
    get the same scores.
    """
    network = setup.network
    if network is None or not network.finite or setup.pretrained:
        return None
    convs: list[Layer] = [
        one for one in network.layers if one.kind in ("conv", "linear") and one.weights and one.gradient
    ]
    if len(convs) < 4:
        return None
    size = [one.gradient for one in convs]
    ratio = _ratio(sum(size[:2]) / 2, sum(size[-2:]) / 2)
    same = network.constant is not None and network.constant < 1e-5
    if ratio >= 1e-3 and not same:
        return None
    saturating = network.graph["SigmoidBackward0"] + network.graph["TanhBackward0"]
    return Found(
        f"the first layers' gradient is {ratio:.1g} of the last layers'"
        + (f", behind {saturating} sigmoids" if saturating > 2 else "")
        + ("; all images get the same scores" if same else ""),
        {"gradient_ratio": ratio, "score_spread": network.constant, "saturating": saturating},
        cost=60.0,
        fix=norms(setup, "activations and norms that pass gradients on", activations=True),
    )


def _ratio(a: float, b: float) -> float:
    return a / b if b else float("inf")


def _times(ratio: float) -> str:
    return f"{ratio:.2g}-fold" if ratio >= 1 else f"to {ratio:.1g} of it"
