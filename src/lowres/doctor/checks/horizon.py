"""LR1: the schedule against the length of the training."""

import ast

from torch.optim import lr_scheduler

from lowres.doctor.checks.schedule import MEASURED, averaged, curve, place_of
from lowres.doctor.findings import Fix, Found, Place, check
from lowres.doctor.remedies.horizons import mended, plateau_fix
from lowres.doctor.setup import Setup


def _simulated(setup: Setup) -> bool:
    rates = setup.rates
    return (
        rates is not None
        and rates.source in ("simulated", "observed")
        and len(rates.curve) >= 3
        and rates.cadence != "never"
    )


@check(
    "LR105",
    "the rate never comes down",
    grade="warning",
    kind="C03",
    cost=(2, 20),
    source=MEASURED + "; 20 are an estimate of a training that ends while its rate still climbs",
)
def never_anneals(setup: Setup) -> Found | None:
    """Over the whole training the schedule ends above 30 % of its peak.

    The schedule is stepped through the training as the loop steps it: a horizon that counts batches where the loop
    counts epochs, milestones beyond the last epoch, a cosine made for more epochs. Silent where weights are averaged,
    where the schedule restarts (LR106), or where no optimizer steps (TR522), beside which its pace would show. A rate
    that the loop itself sets is judged where all its epochs were seen.
    """
    rates = setup.rates
    if setup.trace.count("backward") and not setup.trace.count("step"):
        return None
    if (
        rates is None
        or not _simulated(setup)
        or (rates.source == "observed" and (setup.epochs_seen < 5 or rates.constant or not setup.seen_whole))
    ):
        return None
    warm = rates.at(1) >= rates.peak * 0.999 and rates.curve[0] < 0.5 * rates.peak
    if rates.last <= 0.3 * rates.peak and not warm:
        return None
    if averaged(setup) or rates.rises() >= 2 or _restarts(setup):
        return None
    climbs = rates.rises() == 1 and min(rates.curve) < 0.1 * rates.peak
    if climbs:
        return None
    kind = type(setup.scheduler).__name__ if setup.scheduler is not None else "the loop's own schedule"
    share = rates.last / rates.peak
    asked = getattr(setup.scheduler, "total_steps", None) or getattr(setup.scheduler, "T_max", None)
    slow = rates.peak < 0.2 * float(
        getattr(setup.scheduler, "max_lrs", [0.0])[0] if hasattr(setup.scheduler, "max_lrs") else 0.0
    )
    return Found(
        f"{kind} ends at {share:.0%} of its highest rate"
        + (f": its horizon is {asked} steps, the training has {rates.steps}" if asked else ""),
        curve(setup) | {"last_of_peak": share, "horizon": asked, "steps": rates.steps},
        cost=20.0 if warm or slow else 3.0,
        place=place_of(setup),
        fix=mended(setup),
    )


def _restarts(setup: Setup) -> bool:
    kinds = (lr_scheduler.CosineAnnealingWarmRestarts, lr_scheduler.CyclicLR, lr_scheduler.ReduceLROnPlateau)
    return isinstance(setup.scheduler, kinds)


@check(
    "LR106",
    "the rate climbs again",
    grade="warning",
    kind="C03",
    cost=(1, 4),
    source=MEASURED + "; 1 is an estimate of a cycle cut short",
)
def climbs(setup: Setup) -> Found | None:
    """A rate that had come down climbs back before the end: a cosine whose horizon is shorter than the training.

    Warm restarts and cyclic schedules, which mean to, are a note where they end high, and silent otherwise.
    """
    rates = setup.rates
    if rates is None or not _simulated(setup) or rates.rises() < 1:
        return None
    if _restarts(setup):
        if rates.last <= 0.3 * rates.peak:
            return None
        return Found(
            f"the training ends in the middle of a cycle, at {rates.last / rates.peak:.0%} of the highest rate",
            curve(setup),
            cost=1.0,
            grade="note",
            place=place_of(setup),
        )
    if rates.source == "observed" and setup.scheduler is None:
        return None
    asked = getattr(setup.scheduler, "T_max", None)
    return Found(
        f"the rate climbs again {rates.rises()} time{'s' if rates.rises() > 1 else ''} and ends at "
        f"{rates.last / rates.peak:.0%} of its peak"
        + (f": T_max is {asked}, the training has {rates.steps} steps of it" if asked else ""),
        curve(setup) | {"climbs": rates.rises(), "horizon": asked, "steps": rates.steps},
        cost=3.0,
        place=place_of(setup),
        fix=mended(setup),
    )


@check("LR107", "the rate is gone too early", grade="warning", kind="C03", cost=(5, 30), source=MEASURED)
def gone(setup: Setup) -> Found | None:
    """Before a third of the training the rate is below a thousandth of its peak: the rest learns nothing."""
    rates = setup.rates
    if rates is None or not _simulated(setup) or _restarts(setup) or rates.rises() > 0:
        return None
    peak_at = rates.curve.index(rates.peak)
    at = next((i for i, r in enumerate(rates.curve) if i > peak_at and r < 1e-3 * rates.peak), len(rates.curve))
    share = at / len(rates.curve)
    if share >= 0.35 or len(rates.curve) < 8:
        return None
    return Found(
        f"after {share:.0%} of the training the rate is below a thousandth of its peak",
        curve(setup) | {"gone_at": share},
        cost=15.0,
        place=place_of(setup),
        fix=mended(setup),
    )


@check(
    "LR108",
    "a schedule that ends before the training",
    grade="error",
    kind="C03",
    cost=(3, 20),
    source="PyTorch raises there",
)
def too_long(setup: Setup) -> Found | None:
    """The schedule raises when it is stepped as often as the loop will: one-cycle beyond its total."""
    rates = setup.rates
    if rates is None or not rates.error:
        return None
    return Found(
        f"the schedule raises at {rates.error}",
        curve(setup) | {"error": rates.error},
        cost=20.0,
        place=place_of(setup),
        fix=mended(setup),
    )


@check(
    "LR109", "plateau the wrong way round", grade="error", kind="C03", cost=(5, 30), source="estimate of the catalogue"
)
def plateau(setup: Setup) -> Found | None:
    """`ReduceLROnPlateau` waits for the wrong direction: mode `min` and it is handed an accuracy, or the reverse.

    What it is handed is told by the source (a name with `acc`, or with `loss`). Differences and what has a minus
    before it, which turn the direction, are left alone.
    """
    if not isinstance(setup.scheduler, lr_scheduler.ReduceLROnPlateau):
        return None
    given = next(iter(setup.trace.of("schedule")), None)
    source = setup.text(given.place) if given is not None else None
    call = (
        source.call_at(given.place.line, "step")
        if source is not None and given is not None and given.place is not None
        else None
    )
    if source is None or call is None or not call.args:
        return None
    if any(isinstance(one, ast.Sub | ast.USub) for one in ast.walk(call.args[0])):
        return None
    text = source.segment(call.args[0]).lower()
    accuracy = any(word in text for word in ("acc", "val[", '"val"', "correct", "top1", "score"))
    losses = "loss" in text or "err" in text
    mode = setup.scheduler.mode
    if accuracy == losses or (accuracy and mode == "max") or (losses and mode == "min"):
        return None
    assert given is not None
    right = "max" if accuracy else "min"
    return Found(
        f"the plateau schedule has mode {mode!r} and is handed {source.segment(call.args[0])}: it lowers the rate "
        f"while that improves",
        {"mode": mode, "handed": source.segment(call.args[0]), "patience": setup.scheduler.patience},
        cost=20.0,
        place=place_of(setup) or given.place,
        fix=plateau_fix(setup, right, call),
    )


@check("LR110", "step() with an argument", grade="note", kind="C36", cost=(0, 1), source="PyTorch has deprecated it")
def argument(setup: Setup) -> Found | None:
    """`scheduler.step(epoch)` is deprecated; beside a second scheduler it sets rates from another formula."""
    for event in setup.trace.of("schedule"):
        seen = setup.trace.schedulers[event["scheduler"]]
        if event["given"] and not isinstance(
            seen.item, lr_scheduler.ReduceLROnPlateau | lr_scheduler.CosineAnnealingWarmRestarts
        ):
            return Found(
                f"{type(seen.item).__name__}.step() is handed {event['given'][0]}",
                {"given": event["given"]},
                place=event.place,
                fix=_bare(setup, event.place),
            )
    return None


def _bare(setup: Setup, place: Place | None) -> Fix:
    """The step without its argument."""
    source = setup.text(place)
    call = source.call_at(place.line, "step") if source is not None and place is not None else None
    if source is None or call is None:
        return Fix("step() without argument", code="scheduler.step()")
    return source.fix("step() without argument", source.replaced(call, f"{source.segment(call.func)}()"))
