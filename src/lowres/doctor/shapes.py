"""Which of the schedules that a recipe knows a curve of rates is."""

from collections.abc import Sequence
from itertools import pairwise

from lowres.recipes import Schedule
from lowres.training.schedules import factor

TOLERANCE = 0.04
"""Of the peak, by which the figures of a curve may differ from a schedule's."""
ENDS = (0.0, 0.001, 0.01, 0.05, 0.1)


def shape_of(curve: Sequence[float]) -> Schedule | None:
    """The schedule whose factors are those of a curve, which is evenly spread over a training; None: none is."""
    peak = max(curve, default=0.0)
    if peak <= 0:
        return None
    factors = [one / peak for one in curve]
    if max(factors) - min(factors) < 1e-3:
        return Schedule("constant")
    warmup, start = _warmup(factors)
    last = max(0.0, min(1.0, factors[-1]))
    candidates = [_steps(factors, warmup, start)]
    for final in (*ENDS, last):
        candidates.append(Schedule("cosine", warmup, start, final=final))
        candidates.append(Schedule("triangle", warmup, start, final=final))
    fitting = [
        (error, i, one) for i, one in enumerate(candidates) if one and (error := _error(factors, one)) < TOLERANCE
    ]
    return min(fitting)[2] if fitting else None


def _warmup(factors: Sequence[float]) -> tuple[float, float]:
    """The share of the run until the peak, and the factor it begins with; a rise of one figure is none."""
    top = next(i for i, one in enumerate(factors) if one > 0.995)
    rising = all(a < b + 1e-6 for a, b in pairwise(factors[: top + 1]))
    if top < 2 or not rising:
        return 0.0, 0.0
    return round(top / len(factors), 4), round(max(0.0, min(1.0, factors[0])), 3)


def _steps(factors: Sequence[float], warmup: float, start: float) -> Schedule | None:
    """Plateaus, each the same share of the one before."""
    behind = round(warmup * len(factors))
    drops = [i for i in range(behind + 1, len(factors)) if factors[i] < 0.97 * factors[i - 1]]
    if not drops or len(drops) > 8:
        return None
    ratios = [factors[i] / factors[i - 1] for i in drops]
    gamma = sum(ratios) / len(ratios)
    if gamma <= 0 or any(abs(one - gamma) > 0.05 * gamma for one in ratios):
        return None
    milestones = tuple(round(i / len(factors), 4) for i in drops)
    return Schedule("multistep", warmup, start, milestones=milestones, gamma=float(f"{gamma:.3g}"))


def _error(factors: Sequence[float], schedule: Schedule) -> float:
    """The mean difference, which a plateau's end that lies between two figures hardly moves."""
    made = (factor(schedule, i, len(factors)) for i in range(len(factors)))
    return sum(abs(a - b) for a, b in zip(factors, made, strict=True)) / len(factors)
