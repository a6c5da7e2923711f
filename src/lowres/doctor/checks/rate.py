"""LR1: how large the rate is, for this optimizer, batch and network."""

import math

from lowres.doctor.findings import Edit, Fix, Found, Place, check
from lowres.doctor.setup import Setup

PRIOR = "a prior by optimizer, batch, norms and weights; public cases: up to 85 points"


def sensible(setup: Setup) -> tuple[float, float] | None:
    """The rates that suit this optimizer, batch and network; None for optimizers without a prior."""
    batch = (setup.train.batch_size if setup.train is not None else None) or 128
    normed = setup.network is None or setup.network.norms > 0
    attends = setup.network is not None and setup.network.attention
    if setup.algorithm == "SGD":
        # Momentum multiplies the step by 1 / (1 - momentum); the prior is for momentum 0.9.
        gain = (1 - setup.momentum) / 0.1
        low, high = (0.001, 0.03) if setup.pretrained else (0.02, 0.4) if normed else (0.005, 0.05)
        share = batch / 128
        return low * min(gain, 3) * min(share, 1), high * gain * max(min(share, 8), 0.25)
    if setup.algorithm in ("Adam", "AdamW", "NAdam", "RAdam", "Adamax"):
        low, high = (1e-5, 1e-3) if setup.pretrained else (2e-4, 2e-3 if attends else 5e-3)
        return low, high * max(1.0, math.sqrt(batch / 128))
    return None


def rate_place(setup: Setup) -> tuple[Place | None, Fix | None]:
    """The line that sets the rate."""
    return setup.optimizer_place, None


def _rate_fix(setup: Setup, rate: float) -> Fix:
    text = f"{rate:g}"
    place, source = setup.optimizer_place, setup.text(setup.optimizer_place)
    call = source.call_at(place.line, setup.algorithm) if source is not None and place is not None else None
    if source is not None and call is not None:
        edit: Edit = source.with_keyword(call, "lr", text)
        return source.fix(f"a rate of {text}", edit)
    return Fix(f"a rate of {text}", code=f"lr={text}")


@check("LR101", "rate too high", grade="error", kind="C04", cost=(5, 85), source=PRIOR)
def too_high(setup: Setup) -> Found | None:
    """The highest rate of the schedule is beyond what this optimizer bears.

    A warning at three times the usual range (twice for pretrained weights), an error at ten times, or where the
    observed steps made the loss infinite or multiplied it by ten. The range is scaled with the batch and with
    momentum. The rate is taken after warm-up, at its peak.
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
    best = math.sqrt(low * high) if setup.pretrained else high / 4
    return Found(
        f"a rate of {rates.peak:g} is {factor:.0f} times what {setup.algorithm} bears here"
        + (f"; the loss went from {losses[0]:.3g} to {max(losses):.3g} in {len(losses)} steps" if burst else ""),
        {
            "rate": rates.peak,
            "usual_from": low,
            "usual_to": high,
            "loss_first": losses[:1],
            "loss_highest": max(losses, default=None),
        },
        cost=80.0 if factor >= 10 or burst else 15.0 if not setup.pretrained else 8.0,
        grade="error" if factor >= 10 else "warning",
        place=setup.optimizer_place,
        fix=_rate_fix(setup, float(f"{best:.1g}")),
    )


@check("LR102", "rate too low", grade="warning", kind="C04", cost=(5, 40), source=PRIOR + "; 6 points for a tenth")
def too_low(setup: Setup) -> Found | None:
    """The highest rate of the schedule is a fifth of the usual range or less.

    The range is scaled with the batch. Plain SGD without momentum at a tenth of its rate is TR502's. Networks whose
    backbone is frozen, and long trainings of hundreds of epochs, bear less and need half of that to speak.
    """
    prior, rates = sensible(setup), setup.rates
    if prior is None or rates is None or (setup.algorithm == "SGD" and setup.momentum < 0.5):
        return None
    low, high = prior
    factor = rates.peak / low
    if factor > 0.25:
        return None
    return Found(
        f"a rate of {rates.peak:g} at its highest: usual are {low:g} to {high:g}",
        {"rate": rates.peak, "usual_from": low, "usual_to": high},
        cost=35.0 if factor < 0.03 else 8.0,
        place=setup.optimizer_place,
        fix=_rate_fix(setup, float(f"{math.sqrt(low * high):.1g}")),
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

    Speaks where a batch is more than 2 % of the data and an epoch has fewer than 60 steps, with a rate that was not
    scaled along (below 0.2 per 1024 images for SGD). LARS and LAMB are left alone, and data sets of fewer than 5,000
    images.
    """
    train, steps, rates = setup.train, setup.steps_per_epoch, setup.rates
    if train is None or not train.batch_size or not steps or not train.size or rates is None or train.size < 5000:
        return None
    if setup.algorithm in ("LARS", "LAMB", "Lamb", "Lars") or train.batch_size < 0.02 * train.size or steps >= 60:
        return None
    if train.batch_size <= 1024 and setup.algorithm == "SGD" and rates.peak * 1024 / train.batch_size >= 0.8:
        return None
    total = steps * (setup.epochs or 0)
    if setup.epochs and total > 20_000:
        return None
    return Found(
        f"batches of {train.batch_size} leave {steps} steps an epoch" + (f", {total:,} in all" if total else ""),
        {"batch_size": train.batch_size, "steps_per_epoch": steps, "steps": total or None, "rate": rates.peak},
        cost=8.0,
        place=train.place,
        fix=Fix("smaller batches", code="batch_size=128"),
    )
