"""Speed: this machine's limits, how near to them a recipe trains, and what finished runs took."""

from lowres.speed.bench import RECIPES, bench, compare
from lowres.speed.ceilings import Ceiling, measure_ceilings
from lowres.speed.rate import Rate, measure_rate, training_multiply_adds
from lowres.speed.times import TimeToAccuracy, times_to_accuracy

__all__ = [
    "RECIPES",
    "Ceiling",
    "Rate",
    "TimeToAccuracy",
    "bench",
    "compare",
    "measure_ceilings",
    "measure_rate",
    "times_to_accuracy",
    "training_multiply_adds",
]
