"""What finished runs took, and which accuracy that bought: no epoch is picked, a run counts as a whole."""

import dataclasses
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lowres import recipes
from lowres.runs import Run

TARGETS = (94.0, 95.0, 96.0)


@dataclass(frozen=True)
class TimeToAccuracy:
    """The finished runs of one recipe on one kind of machine.

    Attributes:
        recipe: Its name.
        recipe_sha256: Its fingerprint, with seed 0.
        hardware: What they ran on.
        precision: Of the arithmetic.
        accuracies: Of each run, in percent, the finished network's on all test images.
        seconds: Of each run, see `whole_seconds`.
        tta: Test-time augmentation behind the accuracies.
        accuracies_without_tta: Of each run, from one view of each image; none where there is no such augmentation.
    """

    recipe: str
    recipe_sha256: str
    hardware: str
    precision: str
    accuracies: tuple[float, ...]
    seconds: tuple[float, ...]
    tta: str
    accuracies_without_tta: tuple[float, ...] = ()

    @property
    def accuracy(self) -> float:
        """The mean, in percent."""
        return statistics.fmean(self.accuracies)

    @property
    def mean_seconds(self) -> float:
        """The mean time of a run."""
        return statistics.fmean(self.seconds)

    @property
    def reached(self) -> tuple[float, ...]:
        """The targets, in percent, that the mean accuracy reaches."""
        return tuple(target for target in TARGETS if self.accuracy >= target)


def whole_seconds(result: Mapping[str, Any]) -> float:
    """A run's time: training, evaluation of the finished network, and what was computed from images before."""
    parts = ("seconds", "evaluation_seconds", "preparation_seconds")  # earlier runs have not all of them
    return float(sum(result.get(part, 0.0) for part in parts))


def times_to_accuracy(runs: Iterable[Run]) -> list[TimeToAccuracy]:
    """Groups finished runs by recipe, whatever their seed, and machine; the most accurate group first.

    Runs that have not finished are passed over: what they would have reached is not known.
    """
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        if run.result is not None:
            machine = (str(run.manifest.get("hardware")), str(run.manifest.get("precision")))
            groups.setdefault((recipes.fingerprint(dataclasses.replace(run.recipe, seed=0)), *machine), []).append(run)
    found = [
        TimeToAccuracy(
            recipe=members[0].recipe.name,
            recipe_sha256=key,
            hardware=hardware,
            precision=precision,
            accuracies=tuple(result["accuracy"] for result in results),
            seconds=tuple(whole_seconds(result) for result in results),
            tta=results[0].get("tta", "none"),
            accuracies_without_tta=tuple(r["accuracy_without_tta"] for r in results if "accuracy_without_tta" in r),
        )
        for (key, hardware, precision), members in groups.items()
        for results in [[run.result for run in members if run.result is not None]]
    ]
    return sorted(found, key=lambda group: -group.accuracy)
