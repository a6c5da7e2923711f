"""Seeds per hour of one recipe: one run at a time with the whole machine, beside several at once, in turns.

Both are the crews of `lowres ladder`: `Here` (this process, PyTorch's own number of threads) and `Pool` (worker
processes, on CPUs each on cores of its own; on a GPU all share it). Each round trains as many seeds as there are
workers, first one after the other, then all at once, so that a machine whose speed drifts slows both; the ratio is
taken round by round. The first round starts the workers and is not counted. Times are whole runs: data, training,
evaluation, checkpoints, curves.

    python benchmarks/seeds_per_hour.py --out benchmarks/results/seeds-per-hour-cpu.json
    LOWRES_DATA_DIR=FOLDER python benchmarks/seeds_per_hour.py --recipe resnet20-quick --epochs 1 --rounds 2

By default that is ResNet-20 at 32 pixels on the digits. Leave OMP_NUM_THREADS unset and the machine alone.
"""

import argparse
import dataclasses
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from lowres import recipes
from lowres.ladder import Cell
from lowres.ladder.cells import finished, result_of
from lowres.ladder.cores import cores_here, share_out, workers_here
from lowres.ladder.crew import Crew, Errand, Failed, Lost, Report
from lowres.ladder.here import Here
from lowres.ladder.pool import Pool
from lowres.recipes import Recipe
from lowres.runs import manifest
from lowres.training.device import place


def measure(crew: Crew, cells: Sequence[Cell]) -> float:
    """Trains the cells; how many an hour that makes."""
    waiting = list(cells)

    def hear(report: Report) -> None:
        if isinstance(report, Failed | Lost):
            raise SystemExit(f"{report.cell.name}: {report.reason}")

    started = time.perf_counter()
    crew.work(lambda: waiting.pop(0) if waiting else None, hear)
    return len(cells) / (time.perf_counter() - started) * 3600


def figures(out: Path, cells: Sequence[Cell]) -> list[float]:
    """What the cells reached, and that they have finished."""
    runs = [finished(out, cell) for cell in cells]
    return [float(result_of(run)["accuracy"]) for run in runs if run is not None]


def summary(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def compare(recipe: Recipe, arguments: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Rounds of both, in turns."""
    kind = place(recipe, arguments.device).device.type
    workers = workers_here(kind) if arguments.workers == "auto" else int(arguments.workers)
    names = ("one at a time", "at once")
    errands = {name: Errand(folder / name.replace(" ", "-"), arguments.data_dir, arguments.device) for name in names}
    rates: dict[str, list[float]] = {name: [] for name in names}
    reached: dict[str, list[float]] = {name: [] for name in names}
    _, threads = share_out(workers, kind)
    with Here(errands["one at a time"]) as here, Pool(errands["at once"], workers, kind) as pool:
        crews: dict[str, Crew] = {"one at a time": here, "at once": pool}
        for number in range(arguments.rounds + 1):
            seeds = range(number * workers, (number + 1) * workers)
            cells = [Cell("measured", seed, dataclasses.replace(recipe, seed=seed)) for seed in seeds]
            for name, crew in crews.items():
                rate = measure(crew, cells)
                reached[name] += figures(errands[name].out, cells)
                if number:
                    rates[name].append(rate)
                print(f"round {number}: {name}: {rate:.1f} seeds an hour", file=sys.stderr)
    ratios = [b / a for a, b in zip(*rates.values(), strict=True)]
    return {
        "workers": workers,
        "cores": len(cores_here()),
        "threads": {"one at a time": torch.get_num_threads(), "at once": threads},
        "rounds": arguments.rounds,
        "seeds_per_hour": {name: {"rounds": found, **summary(found)} for name, found in rates.items()},
        "at_once_over_one_at_a_time": summary(ratios),
        "accuracy": reached,
        "machine": manifest.describe(place(recipe, arguments.device).device),
    }


def main() -> None:
    """Measures and prints, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="digits")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--workers", default="auto", help="processes at once; on a GPU name a number")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--data-dir", type=Path, help="where CIFAR-10 lies; by default LOWRES_DATA_DIR or data/")
    parser.add_argument("--out", type=Path, help="write the JSON here, too")
    arguments = parser.parse_args()
    named = recipes.load_recipe(arguments.recipe)
    recipe = dataclasses.replace(named, epochs=arguments.epochs, image_size=arguments.image_size)
    what = {"recipe": arguments.recipe, "data": recipe.data, "model": recipe.model}
    with tempfile.TemporaryDirectory() as folder:
        length = {"epochs": recipe.epochs, "own_epochs": named.epochs, "image_size": recipe.image_size}
        result = {**what, **length, **compare(recipe, arguments, Path(folder))}
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
