"""Finished trainings an hour on one device: one process at a time, and several at once.

Each process trains one seed after another, as the command line does, until the time is up; a training that has not
ended then counts by its finished epochs. The start of the processes is not counted: the clock runs from the moment when
all of them have finished their first epoch.

    python benchmarks/seeds_per_hour.py resnet20-quick --at-once 1 4 8 --seconds 60
"""

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from lowres.recipes import load_recipe
from lowres.runs import manifest, train
from lowres.training.allocator import keep_memory
from lowres.training.device import place
from lowres.training.events import EpochDone, Event


def worker(asked: argparse.Namespace) -> None:
    """Trains for ever, a line on standard output for each finished epoch."""
    keep_memory()

    def tell(event: Event) -> None:
        if isinstance(event, EpochDone):
            print(time.time(), flush=True)

    recipe = load_recipe(asked.recipe)
    seed = asked.worker
    while True:
        one = dataclasses.replace(recipe, seed=seed)
        train(one, data_dir=asked.data_dir, out=asked.folder, device=asked.device, observers=[tell])
        seed += 1000


def epochs_per_second(at_once: int, asked: argparse.Namespace) -> float:
    """Of all processes together, from their slowest start on."""
    with tempfile.TemporaryDirectory() as scrap:
        words = [sys.executable, __file__, asked.recipe, "--device", asked.device, "--folder", scrap]
        words += ["--data-dir", str(asked.data_dir)] if asked.data_dir else []
        logs = [Path(scrap) / f"{number}.log" for number in range(at_once)]
        running = []
        try:
            for number, log in enumerate(logs):
                with log.open("w") as out:
                    running.append(subprocess.Popen([*words, "--worker", str(number)], stdout=out))
            while not all(log.read_text().count("\n") for log in logs):
                if any(process.poll() is not None for process in running):
                    raise SystemExit("a process ended; what it said stands above")
                time.sleep(0.2)
            began = max(float(log.read_text().split("\n")[0]) for log in logs)
            time.sleep(max(0.0, began + asked.seconds - time.time()))
            end = time.time()
            stamps = [float(line) for log in logs for line in log.read_text().split("\n")[:-1]]
        finally:
            for process in running:
                process.kill()
            for process in running:
                process.wait()
    return sum(began < stamp <= end for stamp in stamps) / (end - began)


def main() -> None:
    """Measures and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--seconds", type=float, default=60.0, help="for each number at once")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, help="write the JSON here, too")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker is not None:
        worker(asked)
    recipe = load_recipe(asked.recipe)
    rows: list[dict[str, Any]] = []
    for at_once in asked.at_once:
        rate = epochs_per_second(at_once, asked)
        rows.append({"at_once": at_once, "epochs_per_second": rate, "seeds_per_hour": 3600 * rate / recipe.epochs})
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    for one in rows:
        one["times_the_first"] = (
            one["seeds_per_hour"] / rows[0]["seeds_per_hour"] if rows[0]["seeds_per_hour"] else None
        )
    result = {"recipe": asked.recipe, "rows": rows, "machine": manifest.describe(place(recipe, asked.device).device)}
    text = json.dumps(result, indent=1)
    print(text)
    if asked.out:
        asked.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
