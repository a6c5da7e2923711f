"""The rate over the whole training: simulated from the schedule, or as the loop itself set it."""

import copy
import itertools
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import Any

from torch.optim import lr_scheduler

from lowres.doctor.trace import Trace

POINTS = 400
"""Figures that a curve keeps."""


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
    real = [event.kind for event in trace.of("step", "schedule", "iterate", real=True)]
    if "schedule" not in real:
        return "epoch" if trace.count("schedule") else "never"
    steps, schedules = real.count("step"), real.count("schedule")
    followed = sum(1 for a, b in itertools.pairwise(real) if (a, b) == ("step", "schedule"))
    # Stepped after nearly every step of the optimizer, which also stands at the end of an epoch.
    per_epoch = Counter(real)["iterate"]
    return "batch" if steps > 2 and followed >= 0.8 * steps and schedules > per_epoch / 2 else "epoch"


def rates(
    trace: Trace, scheduler: Any, *, epochs: int | None, steps_per_epoch: int | None, how: str = ""
) -> Rates | None:
    """The rate over the training.

    Args:
        trace: What was seen.
        scheduler: The schedule as it was before the first step, over an optimizer that may be changed; None: none.
        epochs: Of the whole training, as far as known.
        steps_per_epoch: Optimizer steps.
        how: How often the schedule is stepped, where that is known: batch or epoch.
    """
    observed = [max(event["rates"]) for event in trace.of("step") if event["rates"]]
    how = how or (cadence(trace) if trace.count("step") else "epoch")
    if scheduler is not None and how != "never" and epochs:
        if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
            return Rates(tuple(observed[:1]) or (_rate(scheduler),), "plateau", how)
        steps = epochs * (steps_per_epoch or 1) if how == "batch" else epochs
        return simulate(scheduler, steps, how)
    if not observed:
        return None
    by_epoch = observed_by_epoch(trace)
    if scheduler is None and _within_epoch(trace):  # by the step, of which most were left out
        return Rates(by_epoch, "partly observed", "batch", len(by_epoch))
    return Rates(by_epoch, "observed", "never" if scheduler is not None else "", len(by_epoch))


def simulate(scheduler: Any, steps: int, how: str) -> Rates:
    """Steps a copy of a schedule to the end; its first figure is the rate before the first step."""
    stepped = copy.deepcopy(scheduler)
    curve = [_rate(stepped)]
    error = ""
    every = max(1, steps // POINTS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(1, steps):
            try:
                stepped.step()
            except Exception as problem:  # OneCycleLR raises beyond its total
                error = f"step {number}: {str(problem).splitlines()[0] if str(problem) else type(problem).__name__}"
                break
            if number % every == 0 or number == steps - 1:
                curve.append(_rate(stepped))
    return Rates(tuple(curve), "simulated", how, steps, error)


def observed_by_epoch(trace: Trace) -> tuple[float, ...]:
    """The rate of each epoch's last step, as the loop had it."""
    train = trace.train_loader()
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
