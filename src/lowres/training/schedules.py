"""Learning-rate schedules: pure functions of the step."""

import bisect
import math

from lowres.recipes import Schedule


def factor(schedule: Schedule, step: int, steps: int) -> float:
    """The share of the peak learning rate that a step is made with.

    A step is taken at its middle, (step + 0.5) / steps of the run, so that no step is wasted at rate zero.

    >>> factor(Schedule("triangle", warmup=0.5), step=0, steps=4)
    0.25

    Args:
        schedule: Which curve.
        step: The step, from 0.
        steps: Steps in the whole run.

    Returns:
        A factor in [0, 1].
    """
    t = (step + 0.5) / steps
    if t < schedule.warmup:
        if schedule.warmup_shape == "constant":
            return schedule.warmup_start
        return schedule.warmup_start + (1 - schedule.warmup_start) * t / schedule.warmup
    if schedule.name == "multistep":
        return schedule.gamma ** bisect.bisect_right(schedule.milestones, t)
    if schedule.name == "constant":
        return 1.0
    rest = (t - schedule.warmup) / (1 - schedule.warmup)
    fall = (1 + math.cos(math.pi * rest)) / 2 if schedule.name == "cosine" else 1 - rest
    return schedule.final + (1 - schedule.final) * fall
