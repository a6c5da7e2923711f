"""The rate over the whole training: simulated from the schedule, or as the loop itself set it."""

import copy
import itertools
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from torch.optim import lr_scheduler

from lowres.doctor.trace import Trace

POINTS = 400
"""Figures that a curve keeps."""
LONGEST = 1_000_000
"""Steps of a schedule that are simulated, at most: some ten seconds."""
ENDS = ("base_momentum", "max_momentum")
"""Options of a group between which a schedule moves the momentum."""


@dataclass(frozen=True)
class Rates:
    """The highest rate of any group of parameters, from the first step to the last.

    Attributes:
        curve: Evenly spread over the training; one figure where it never changes.
        source: simulated, observed, partly observed, plateau, or constant.
        cadence: How often the schedule is stepped: batch, epoch, never, or "" where there is none.
        steps: Of the schedule, over the whole training.
        error: What the schedule raised before its end.
    """

    curve: tuple[float, ...]
    source: str
    cadence: str = ""
    steps: int = 0
    error: str = ""

    @property
    def peak(self) -> float:
        """The greatest rate."""
        return max(self.curve)

    @property
    def last(self) -> float:
        """The rate at the end: the mean of the last fiftieth."""
        tail = self.curve[-max(1, len(self.curve) // 50) :]
        return sum(tail) / len(tail)

    @property
    def constant(self) -> bool:
        """Whether it never changes by more than a thousandth."""
        return max(self.curve) - min(self.curve) <= 1e-3 * self.peak

    def at(self, share: float) -> float:
        """The rate at a share of the training, 0 to 1."""
        return self.curve[min(len(self.curve) - 1, int(share * len(self.curve)))]

    def rises(self) -> int:
        """How often it climbs by more than a tenth of its peak after it has fallen by so much."""
        count, low, high = 0, self.curve[0], self.curve[0]
        fallen = False
        for rate in self.curve:
            if rate < high - 0.1 * self.peak:
                fallen = True
            if fallen and rate > low + 0.1 * self.peak:
                count, fallen, low, high = count + 1, False, rate, rate
            low, high = (min(low, rate), high) if fallen else (rate, max(high, rate))
        return count


def cadence(trace: Trace) -> str:
    """How often the loop steps its schedule."""
    if not trace.count("schedule"):
        return "never"
    loader = trace.train_loader()
    if loader is None:  # no step is left out
        return "batch" if trace.count("schedule") >= 0.8 * trace.count("step") else "epoch"
    # By the batch: while batches are being drawn, beside nearly every step of the optimizer.
    stepped, scheduled = (_batches_with(trace, kind, id(loader)) for kind in ("step", "schedule"))
    return "batch" if scheduled and len(scheduled) >= 0.8 * len(stepped) else "epoch"


def accumulation(trace: Trace) -> int:
    """Batches of the training loader that a step of the optimizer is usually taken for."""
    loader = trace.train_loader()
    gaps: Counter[int] = Counter()
    drawn = passes = 0
    for event in trace.of("iterate", "backward", "step", real=True):
        if loader is None or event["loader"] != id(loader):
            continue
        if event.kind == "iterate":
            drawn = passes = 0
        elif event.kind == "backward":
            passes += 1
        else:  # a batch may take two passes, or be drawn before the last one is used
            gap = min(event["drawn"] - drawn, passes)
            gaps[gap] += gap > 0
            drawn, passes = event["drawn"], 0
    return max(1, max(gaps, key=lambda gap: (gaps[gap], gap), default=1))


def _batches_with(trace: Trace, kind: str, loader: int) -> set[tuple[int, int]]:
    """Batches of a loader beside which something happened, by epoch and number."""
    found: set[tuple[int, int]] = set()
    epoch = 0
    for event in trace.of("iterate", kind, real=True):
        if event["loader"] == loader:
            epoch += event.kind == "iterate"
            found |= {(epoch, event["drawn"])} if event.kind == kind else set()
    return found


def each_batch(trace: Trace) -> bool:
    """Whether the schedule is stepped beside every batch where the optimizer is not: gradients are accumulated."""
    loader = trace.train_loader()
    if loader is None:
        return False
    stepped, scheduled = (_batches_with(trace, kind, id(loader)) for kind in ("step", "schedule"))
    return bool(scheduled) and len(scheduled - stepped) >= 0.5 * len(scheduled)


def _before_first_step(trace: Trace) -> int:
    """Steps of the schedule before the optimizer's first."""
    events = itertools.takewhile(lambda event: event.kind != "step", trace.of("schedule", "step"))
    return sum(1 for _ in events) if trace.count("step") else 0


def figures(trace: Trace) -> tuple[float, float] | None:
    """Of a schedule that is handed how far the training is, `step(epoch + i / batches)`.

    Returns:
        The first figure, and by how much it grows in an epoch; None where it is handed none that grow.
    """
    loader, firsts, begun = trace.train_loader(), list[float](), False
    for event in trace.of("iterate", "schedule"):
        if event.kind == "iterate":
            begun = begun or (loader is not None and event["loader"] == id(loader))
        elif begun and event["given"] and event["given"][0] is not None:
            firsts.append(event["given"][0])
            begun = False
    if len(firsts) < 2 or firsts[0] < 0 or firsts[-1] <= firsts[0]:
        return None
    return firsts[0], (firsts[-1] - firsts[0]) / (len(firsts) - 1)


def rates(
    trace: Trace, scheduler: Any, *, epochs: int | None, steps_per_epoch: int | None, how: str = ""
) -> Rates | None:
    """The rate over the training.

    Args:
        trace: What was seen.
        scheduler: The schedule as it was before the first step, over an optimizer that may be changed; None: none.
        epochs: Of the whole training, as far as known.
        steps_per_epoch: Of the schedule, where it is stepped by the batch.
        how: How often the schedule is stepped, where that is known: batch or epoch.
    """
    observed = [max(event["rates"]) for event in trace.of("step") if event["rates"]]
    how = how or (cadence(trace) if trace.count("step") else "epoch")
    steps = (epochs or 0) * ((steps_per_epoch or 1) if how == "batch" else 1)
    if scheduler is not None and how != "never" and 0 < steps <= LONGEST:
        if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
            return Rates(tuple(observed[:1]) or (_rate(scheduler),), "plateau", how)
        handed = figures(trace) if isinstance(scheduler, lr_scheduler.CosineAnnealingWarmRestarts) else None
        each = (handed[0], handed[1] * (epochs or 0) / steps) if handed else None
        ahead = _before_first_step(trace) if each_batch(trace) else 0  # the schedule is known from there on
        return replace(simulate(scheduler, max(1, steps - ahead), how, each), steps=steps)
    if not observed:
        return None
    by_epoch = observed_by_epoch(trace)
    if how == "batch" or (scheduler is None and _within_epoch(trace)):  # by the step, of which most were left out
        return Rates(by_epoch, "partly observed", "batch", len(by_epoch))
    if scheduler is not None and how != "never":  # of a training without known end
        return Rates(by_epoch, "partly observed", how, len(by_epoch))
    return Rates(by_epoch, "observed", "never" if scheduler is not None else "", len(by_epoch))


def simulate(scheduler: Any, steps: int, how: str, handed: tuple[float, float] | None = None) -> Rates:
    """Steps a copy of a schedule to the end; its first figure is the rate before the first step.

    Args:
        scheduler: The schedule; it stays as it is.
        steps: How many.
        how: batch or epoch.
        handed: The figure that its first step is handed, and by how much that grows from step to step; None: none.
    """
    stepped = copy.deepcopy(scheduler)
    curve = [_rate(stepped)]
    error = ""
    every = max(1, steps // POINTS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(1, steps):
            try:
                stepped.step(*([handed[0] + handed[1] * (number - 1)] if handed else []))
            except Exception as problem:  # OneCycleLR raises beyond its total
                error = f"step {number}: {str(problem).splitlines()[0] if str(problem) else type(problem).__name__}"
                break
            if number % every == 0 or number == steps - 1:
                curve.append(_rate(stepped))
    return Rates(tuple(curve), "simulated", how, steps, error)


def cycled_momentum(scheduler: Any) -> float | None:
    """The middle of the range in which a schedule moves SGD's momentum (OneCycleLR and CyclicLR, unless told not to).

    They set it when they are made, so that it does not matter what the optimizer was given. None where none does.
    """
    if not getattr(scheduler, "cycle_momentum", False) or getattr(scheduler, "use_beta1", False):
        return None
    group = scheduler.optimizer.param_groups[0]
    ends = [group.get(name, (getattr(scheduler, f"{name}s", None) or (None,))[0]) for name in ENDS]
    return round(sum(ends) / 2, 4) if None not in ends else None


def observed_by_epoch(trace: Trace) -> tuple[float, ...]:
    """The rate of each epoch's last step, as the loop had it; without a loader that trains, of each step."""
    train = trace.train_loader()
    if train is None:
        steps = [max(event["rates"]) for event in trace.of("step") if event["rates"]]
        return tuple(steps[:: max(1, len(steps) // POINTS)])
    curve: list[float] = []
    current: float | None = None
    for event in trace.of("iterate", "step"):
        if event.kind == "iterate" and event["loader"] == id(train):
            curve += [current] if current is not None else []
        elif event.kind == "step" and event["rates"]:
            current = max(event["rates"])
    return (*curve, current) if current is not None else tuple(curve)


def _within_epoch(trace: Trace) -> bool:
    """Whether the rate changes from one step to the next within a computed epoch."""
    last: float | None = None
    for event in trace.of("iterate", "step", real=True):
        if event.kind == "iterate":
            last = None
        elif event["rates"]:
            rate = max(event["rates"])
            if last is not None and rate != last:
                return True
            last = rate
    return False


def _rate(scheduler: Any) -> float:
    optimizer = getattr(scheduler, "optimizer", None) or scheduler._optimizer
    return max(float(group["lr"]) for group in optimizer.param_groups)
