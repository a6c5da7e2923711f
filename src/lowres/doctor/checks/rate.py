"""LR1: how large the rate is, for this optimizer, batch and network."""

import copy
import dataclasses
import math

from lowres.doctor.calls import argument
from lowres.doctor.findings import Fix, Found, check
from lowres.doctor.proposals import of_sgd
from lowres.doctor.remedies.numbers import BATCH
from lowres.doctor.remedies.optimizers import in_sgd_s_place
from lowres.doctor.remedies.places import given, loader_made, optimizer_made
from lowres.doctor.remedies.schedules import schedule_made
from lowres.doctor.setup import Setup
from lowres.doctor.trace import Event

PRIOR = "a prior by optimizer, batch, norms and weights; public cases: up to 85 points"


def sensible(setup: Setup, batch: int | None = None) -> tuple[float, float] | None:
    """The rates that suit this optimizer, batch (by default the loader's) and network; None without a prior.

    Where gradients are accumulated they reach from what suits one batch to what suits all that a step is taken for,
    since losses may be divided by their number or not. SGD's are divided by the images of a step where losses are
    summed over them; Adam minds no scale.
    """
    added = setup.algorithm == "SGD" and summed(setup)
    if added and not batch and (setup.train is None or not setup.train.batch_size):
        return None
    batch = batch or (setup.train.batch_size if setup.train is not None else None) or 128
    whole = batch * setup.accumulation
    normed = setup.network is None or setup.network.norms > 0
    attends = setup.network is not None and setup.network.attention
    if setup.algorithm == "SGD":
        # Momentum multiplies the step by 1 / (1 - momentum); the prior is for momentum 0.9.
        gain, images = (1 - setup.momentum) / 0.1, whole if added else 1
        low, high = (0.001, 0.03) if setup.pretrained else (0.02, 0.4) if normed else (0.005, 0.05)
        if setup.pretrained and _head_alone(setup):
            high = 0.3
        low, high = low * min(gain, 3) * min(batch / 128, 1), high * gain * max(min(whole / 128, 8), 0.25)
        return low / images, high / images
    if setup.algorithm in ("Adam", "AdamW", "NAdam", "RAdam", "Adamax"):
        low, high = (1e-5, 1e-3) if setup.pretrained else (2e-4, 2e-3 if attends else 5e-3)
        return low, high * max(1.0, math.sqrt(whole / 128))
    return None


def summed(setup: Setup) -> bool:
    """Whether gradients are those of a loss summed over the batch: `CrossEntropyLoss(reduction="sum")`.

    The value that `backward` starts from is compared with the sum, since a sum may be divided by the batch's size.
    """
    loss: Event | None = None
    found: list[bool] = []
    for event in setup.trace.of("loss", "backward", real=True):
        if event.kind == "loss":
            loss = event
        elif loss is not None and event["value"] is not None:
            whole, several = loss["total"] or 0.0, loss["shape"][:1] > (1,)
            found.append(several and whole > 0 and 0.75 <= event["value"] / whole <= 1.5)
    return 2 * sum(found) > len(found)


def _head_alone(setup: Setup) -> bool:
    """Whether less than a twentieth of the network is trained: a new head on weights that cannot be spoiled."""
    groups = setup.optimizer.param_groups if setup.optimizer is not None else []
    given = {id(one): one for group in groups for one in group["params"] if one.requires_grad}
    whole = setup.network.parameters if setup.network is not None else 0
    return 0 < sum(int(one.numel()) for one in given.values()) < 0.05 * whole


def customary(setup: Setup, batch: int | None = None) -> float | None:
    """The rate that this optimizer, batch and network are usually trained at, to one figure."""
    prior = sensible(setup, batch)
    if prior is None:
        return None
    low, high = prior
    if setup.algorithm == "SGD":
        # From scratch with norms 0.1 for 128 images, 0.05 without shortcuts; 0.01 for 64 where weights were loaded.
        best = high * 2 / 3 if setup.pretrained else high / 8 if _plain(setup) else high / 4
    elif setup.network is not None and setup.network.attention and not setup.pretrained:
        best = high * 0.35
    else:
        best = math.sqrt(low * high)
    return float(f"{best:.1g}")


def _plain(setup: Setup) -> bool:
    """Whether it is a deep network with norms and no shortcuts, like VGG: these start badly at a ResNet's rate."""
    return setup.kind is not None and setup.kind.name.startswith("a plain deep network with norms")


def with_norms(setup: Setup) -> float | None:
    """The usual rate once each convolution has a norm, where SGD's is twice as high or more.

    None where it is not, and where the rate is too high for the network as it is, which LR101 says.
    """
    network, rates, prior = setup.network, setup.rates, sensible(setup)
    if network is None or rates is None or prior is None or setup.algorithm != "SGD" or rates.peak >= 3 * prior[1]:
        return None
    normed = copy.copy(setup)
    vars(normed).pop("kind", None)
    vars(normed)["network"] = dataclasses.replace(network, norms=len(network.convolutions))
    best = customary(normed)
    return best if best is not None and rates.peak >= 2 * best else None


def set_rate(setup: Setup, rate: float) -> Fix:
    """The highest rate set where it is declared, else where the optimizer or its one-cycle schedule takes it."""
    text, title = f"{rate:g}", f"a rate of {rate:g}"
    built, cycle = optimizer_made(setup), schedule_made(setup)
    one_cycle = cycle if cycle is not None and type(setup.scheduler).__name__ == "OneCycleLR" else None
    if built is None or (one_cycle is not None and one_cycle.source is not built.source):
        return Fix(title, code=f"lr={text}")
    edits = []
    for one, name in ((built, "lr"), (one_cycle, "max_lr")):
        value = argument(one.call, name) if one is not None else None
        peak = setup.rates.peak if setup.rates is not None else None
        own = given(built.source, value, peak, text)
        edits += [own] if own is not None else []
    if not edits:
        return built.source.fix(title, built.source.with_keyword(built.call, "lr", text))
    return built.source.fix(title, *dict.fromkeys(edits))


@check("LR101", "rate too high", grade="error", kind="C04", cost=(5, 85), source=PRIOR)
def too_high(setup: Setup) -> Found | None:
    """The highest rate of the schedule is beyond what this optimizer bears.

    A warning at three times the top of the usual range (twice for pretrained weights); an error at ten times, or
    where the loss moreover became infinite or ten times as large in the observed steps. The range is scaled with the
    batch and with momentum, and divided by the batch's size where losses are summed over it. The rate is taken after
    warm-up, at its peak.
    """
    prior, rates = sensible(setup), setup.rates
    if prior is None or rates is None:
        return None
    low, high = prior
    factor = rates.peak / high
    losses = [event["value"] for event in setup.trace.of("backward", real=True) if event["value"] is not None]
    burst = bool(losses) and (not all(map(math.isfinite, losses)) or max(losses) > 10 * max(losses[0], 1.0))
    if factor < (2.0 if setup.pretrained else 3.0):
        return None
    size = batch_to_be(setup)
    sgd, best = in_sgd_s_place(setup, batch=size), customary(setup, size) or high
    return Found(
        f"a rate of {rates.peak:g} is {factor:.0f} times what {setup.algorithm} bears here"
        + (f"; the loss went from {losses[0]:.3g} to {max(losses):.3g} in {len(losses)} steps" if burst else ""),
        {
            "rate": rates.peak,
            "usual_from": low,
            "usual_to": high,
            "loss_first": losses[:1],
            "loss_highest": max(losses, default=None),
            "proposed": of_sgd(setup, sgd) if sgd is not None else {"lr": best},
        },
        cost=80.0 if factor >= 10 or burst else 15.0 if not setup.pretrained else 8.0,
        grade="error" if factor >= 10 or burst else "warning",
        place=setup.optimizer_place,
        fix=sgd or set_rate(setup, best),
    )


@check("LR102", "rate too low", grade="warning", kind="C04", cost=(5, 40), source=PRIOR + "; 6 points for a tenth")
def too_low(setup: Setup) -> Found | None:
    """The highest rate of the schedule is a quarter of where the usual range begins, or less.

    The range is scaled with the batch, and begins lower for pretrained weights and without norms. SGD with little or
    no momentum is TR502's. Where a schedule was seen in part, the rate that it was made for counts. Of losses
    that are summed over the batch, usual rates of SGD are divided by its size.
    """
    prior, rates = sensible(setup), setup.rates
    if prior is None or rates is None or (setup.algorithm == "SGD" and setup.momentum < 0.5):
        return None
    low, high = prior
    peak = rates.peak
    if rates.source == "partly observed" and setup.optimizer is not None:  # a warm-up may have gone on
        made_for = [group.get(name, 0.0) for group in setup.optimizer.param_groups for name in ("initial_lr", "max_lr")]
        peak = max(peak, *map(float, made_for))
    factor = peak / low
    if factor > 0.25:
        return None
    best = customary(setup, batch_to_be(setup)) or low
    return Found(
        f"a rate of {peak:g} at its highest: usual are {low:g} to {high:g}",
        {"rate": peak, "usual_from": low, "usual_to": high, "proposed": {"lr": best}},
        cost=35.0 if factor < 0.03 else 8.0,
        place=setup.optimizer_place,
        fix=set_rate(setup, best),
    )


@check(
    "LR111",
    "batch too large for its rate",
    grade="warning",
    kind="C23",
    cost=(5, 13),
    source="public cases: 13 points at a batch of 1024",
)
def batch(setup: Setup) -> Found | None:
    """Batches so large that an epoch has few steps, at a rate that suited small ones.

    Speaks where a batch is 2 % of the data or more and an epoch has fewer than 60 steps. Silent where SGD's rate was
    scaled along (0.1 for every 128 images, in batches of at most 1024; no other rate is looked at), where the
    training has more than 20,000 steps, for LARS and LAMB, and for data sets of fewer than 5,000 images.
    """
    train, steps, rates = setup.train, setup.steps_per_epoch, setup.rates
    if train is None or steps is None or rates is None or not crowded(setup):
        return None
    total = steps * (setup.epochs or 0)
    size = _suited(setup)
    return Found(
        f"batches of {train.batch_size} leave {steps} steps an epoch" + (f", {total:,} in all" if total else ""),
        {
            "batch_size": train.batch_size,
            "steps_per_epoch": steps,
            "steps": total or None,
            "rate": rates.peak,
            "proposed": {"batch_size": size},
        },
        cost=8.0,
        place=train.place,
        fix=_smaller_batches(setup, size),
    )


def crowded(setup: Setup) -> bool:
    """Whether an epoch has too few steps for its batches and its rate; see LR111."""
    train, steps, rates = setup.train, setup.steps_per_epoch, setup.rates
    if train is None or not train.batch_size or not steps or not train.size or rates is None or train.size < 5000:
        return False
    if setup.algorithm in ("LARS", "LAMB", "Lamb", "Lars") or train.batch_size < 0.02 * train.size or steps >= 60:
        return False
    peak = rates.peak * (train.batch_size if summed(setup) else 1)
    if train.batch_size <= 1024 and setup.algorithm == "SGD" and peak * 1024 / train.batch_size >= 0.8:
        return False
    return not setup.epochs or steps * setup.epochs <= 20_000


def batch_to_be(setup: Setup) -> int | None:
    """The batch that a new rate is for where LR111 asks for another, so that both fixes fit; None: the loader's."""
    return BATCH if crowded(setup) else None


def _suited(setup: Setup) -> int:
    """The batch that the rate suits, 64 to 512; where another finding sets the rate, that which it is set for."""
    if too_low(setup) is not None or too_high(setup) is not None:
        return BATCH
    peak = setup.rates.peak if setup.rates is not None else 0.1
    images = 128 * peak / 0.1 if setup.algorithm == "SGD" else 128
    return int(2 ** round(math.log2(min(max(images, 64), 512))))


def _smaller_batches(setup: Setup, size: int) -> Fix:
    title, built = f"batches of {size}", loader_made(setup)
    value = argument(built.call, "batch_size") if built is not None else None
    old = setup.train.batch_size if setup.train is not None else None
    edit = given(built.source, value, old, str(size)) if built is not None else None
    if built is None or edit is None:
        return Fix(title, code=f"batch_size={size}")
    return built.source.fix(title, edit)
