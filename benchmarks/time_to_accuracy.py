"""Accuracy and seconds of a recipe over many seeds, in one process after a warming run that does not count.

Seconds are those of training, of evaluating the finished network and of computing a whitening first layer; reading the
data, moving it to the device and the warming run (compilation, choice of kernels) are left out, as in the published
speed records. May be ended at any moment, or by `--minutes`, and started again: runs stay in the folder, what was begun
goes on.

    python benchmarks/time_to_accuracy.py speed94 --runs 3 --folder runs/speed94 --out speed94.json
"""

import argparse
import dataclasses
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from kept import find, run_of

from lowres.recipes import Recipe, load_recipe
from lowres.runs import Run, manifest, train
from lowres.speed import times_to_accuracy
from lowres.training.allocator import keep_memory
from lowres.training.device import place


def summarise(recipe: Recipe, runs: list[Run], asked: int, device: str) -> dict[str, Any]:
    """Every run's figures, their means, and the standard error of the mean accuracy."""
    groups = [
        {
            **dataclasses.asdict(group),
            "accuracy": group.accuracy,
            "standard_error": statistics.stdev(group.accuracies) / len(group.accuracies) ** 0.5
            if len(group.accuracies) > 1
            else None,
            "mean_seconds": group.mean_seconds,
            "reached": group.reached,
        }
        for group in times_to_accuracy(runs)
    ]
    return {
        "what": f"{recipe.name}, time to accuracy",
        "runs_asked": asked,
        "runs": groups,
        "machine": manifest.describe(place(recipe, device).device),
    }


def main() -> None:
    """Trains what is missing and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="a name of the catalogue")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--epochs", type=int, help="instead of the recipe's own")
    parser.add_argument("--compile", action="store_true", help="compile the network; the warming run pays for it")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--minutes", type=float, default=9.0, help="begin no run after so many")
    parser.add_argument("--folder", type=Path, required=True, help="where runs are kept between calls")
    parser.add_argument("--out", type=Path, help="write the JSON here, too")
    asked = parser.parse_args()
    began = time.monotonic()
    keep_memory()
    recipe = load_recipe(asked.recipe)
    recipe = dataclasses.replace(recipe, compile=asked.compile, epochs=asked.epochs or recipe.epochs)
    seeds = [dataclasses.replace(recipe, seed=seed) for seed in range(asked.runs)]
    runs = [run for one in seeds if (run := find(asked.folder, one)) is not None and run.result is not None]
    done = {run.recipe.seed for run in runs}
    missing = [one for one in seeds if one.seed not in done]
    chooses = place(recipe, asked.device).device.type == "cuda" or recipe.compile
    if missing and chooses:
        with tempfile.TemporaryDirectory() as scrap:
            warming = dataclasses.replace(recipe, epochs=1)
            train(warming, data_dir=asked.data_dir, out=scrap, device=asked.device)
    for one in missing:
        if time.monotonic() - began > 60 * asked.minutes:
            break
        runs.append(run_of(one, asked.folder, asked.data_dir, asked.device))
        result = runs[-1].result or {}
        print(f"seed {one.seed}: {result['accuracy']:.2f} % in {result['seconds']:.1f} s", file=sys.stderr, flush=True)
    runs.sort(key=lambda run: run.recipe.seed)
    text = json.dumps(summarise(recipe, runs, asked.runs, asked.device), indent=1)
    print(text)
    if asked.out:
        asked.out.write_text(text + "\n")
    sys.exit(0 if len(runs) == asked.runs else 3)  # 3: call again, some are missing


if __name__ == "__main__":
    main()
