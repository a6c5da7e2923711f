"""Accuracy against minutes: recipes at 2, 5, 10, 20 and 40 epochs, and the best one for each budget.

The best is chosen by the accuracy on 5,000 held-out training images; the test figure beside it has selected nothing.
No figure has test-time augmentation, whatever the recipe, since others have none.
Stands on run folders: what is finished is read, what was begun goes on, so that it may be ended at any moment.

    LOWRES_DATA_DIR=FOLDER python benchmarks/accuracy_minutes.py --folder runs/minutes --out minutes.json
"""

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

from kept import run_of

from lowres.recipes import load_recipe
from lowres.runs import Run, manifest
from lowres.speed.times import whole_seconds
from lowres.training.allocator import keep_memory
from lowres.training.device import place

EPOCHS = (2, 5, 10, 20, 40)
RECIPES = ("resnet20-quick", "speed94")
HELD_OUT = 5000


def row(run: Run) -> dict[str, Any]:
    """What a run shows."""
    result = run.result or {}
    return {
        "recipe": run.recipe.name,
        "epochs": run.recipe.epochs,
        "minutes": whole_seconds(result) / 60,
        "validation_accuracy": result["validation_accuracy"],
        "accuracy": result["accuracy"],
    }


def frontier(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that no quicker one beats on the held-out images, the quickest first."""
    best: list[dict[str, Any]] = []
    for one in sorted(rows, key=lambda r: r["minutes"]):
        if not best or one["validation_accuracy"] > best[-1]["validation_accuracy"]:
            best.append(one)
    return best


def main() -> None:
    """Trains what is missing, prints the table, writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=list(RECIPES))
    parser.add_argument("--epochs", type=int, nargs="+", default=list(EPOCHS))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no run after so many")
    parser.add_argument("--folder", type=Path, required=True, help="where runs are kept between calls")
    parser.add_argument("--out", type=Path, help="write the JSON here, too")
    asked = parser.parse_args()
    began = time.monotonic()
    keep_memory()
    rows: list[dict[str, Any]] = []
    complete = True
    for epochs in sorted(asked.epochs):
        for name in asked.recipes:
            if time.monotonic() - began > 60 * asked.minutes:
                complete = False
                continue
            recipe = dataclasses.replace(load_recipe(name), epochs=epochs, seed=asked.seed)
            recipe = dataclasses.replace(recipe, held_out=HELD_OUT, tta="none")
            rows.append(row(run_of(recipe, asked.folder, asked.data_dir, asked.device)))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    best = frontier(rows)
    print("| minutes | recipe | epochs | validation, % | test, % |\n| ---: | --- | ---: | ---: | ---: |")
    for one in best:
        figures = f"{one['validation_accuracy']:.2f} | {one['accuracy']:.2f}"
        print(f"| {one['minutes']:.1f} | {one['recipe']} | {one['epochs']} | {figures} |")
    if asked.out:
        where = place(load_recipe(asked.recipes[0]), asked.device).device
        result = {"complete": complete, "rows": rows, "best": best, "machine": manifest.describe(where)}
        asked.out.write_text(json.dumps(result, indent=1) + "\n")
    sys.exit(0 if complete else 3)  # 3: call again, some are missing


if __name__ == "__main__":
    main()
