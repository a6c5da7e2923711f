"""The whole measurement as plain values, and how two of them compare."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

from lowres.errors import UserError
from lowres.recipes import Recipe
from lowres.runs import Run, manifest
from lowres.speed.ceilings import measure_ceilings
from lowres.speed.rate import measure_rate
from lowres.speed.times import times_to_accuracy
from lowres.training.device import place

RECIPES = ("resnet20-cosine", "resnet20-quick", "speed94")


def bench(
    chosen: Sequence[Recipe], *, device: str = "auto", seconds: float = 4.0, runs: Iterable[Run] = ()
) -> dict[str, Any]:
    """Measures this machine, recipes on it, and gathers what finished runs took.

    Args:
        chosen: Recipes to time.
        device: As `lowres train` takes it.
        seconds: For each recipe; a quarter of it for each limit.
        runs: Finished runs, made anywhere.

    Returns:
        Plain values: "machine", "ceilings" (rates, by precision), "recipes" (each with its share of the
        limit of its precision) and "runs".

    Raises:
        UserError: Something cannot be measured here.
    """
    if not 0 < seconds < math.inf:
        raise UserError(f"seconds is {seconds}, but must be a number above 0")
    placements = [place(recipe, device) for recipe in chosen]
    where = placements[0].device if placements else place(Recipe(), device).device
    ceilings = measure_ceilings(where, seconds=seconds / 4)
    rows = []
    for recipe in chosen:
        rate = measure_rate(recipe, device, seconds)
        share = rate.multiply_adds_per_second / ceilings[rate.precision].multiply_adds_per_second
        rows.append({**dataclasses.asdict(rate), "share_of_ceiling": share})
    groups = [
        {
            **dataclasses.asdict(group),
            "accuracy": group.accuracy,
            "mean_seconds": group.mean_seconds,
            "reached": list(group.reached),
        }
        for group in times_to_accuracy(runs)
    ]
    return {
        "machine": manifest.describe(where),
        "ceilings": {name: dataclasses.asdict(ceiling) for name, ceiling in ceilings.items()},
        "recipes": rows,
        "runs": [
            {key: list(value) if isinstance(value, tuple) else value for key, value in group.items()}
            for group in groups
        ],
    }


def compare(now: dict[str, Any], before: dict[str, Any], where: str = "the other measurement") -> dict[str, Any]:
    """Ratios of two measurements, now by before, of whatever both hold.

    Args:
        now: From `bench`.
        before: From `bench`, perhaps on another machine.
        where: What to call it in errors.

    Returns:
        "same_machine", and ratios: "multiply_adds_per_second" and "bytes_per_second" by precision,
        "images_per_second" by recipe.

    Raises:
        UserError: One is not what `bench` gives.
    """
    try:
        hardware = [value["machine"]["hardware"] for value in (now, before)]
        ratios = {
            key: {
                name: now["ceilings"][name][key] / before["ceilings"][name][key]
                for name in now["ceilings"]
                if name in before["ceilings"]
            }
            for key in ("multiply_adds_per_second", "bytes_per_second")
        }
        earlier = {row["recipe"]: row["images_per_second"] for row in before["recipes"]}
        images = {
            row["recipe"]: row["images_per_second"] / earlier[row["recipe"]]
            for row in now["recipes"]
            if row["recipe"] in earlier
        }
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise UserError(f"{where} is not what `lowres bench --json` prints: {error!r}") from None
    return {"same_machine": hardware[0] == hardware[1], **ratios, "images_per_second": images}
