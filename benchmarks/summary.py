"""A finished run as one JSON file for `benchmarks/results/`, and its curve as a picture for the documents.

    python benchmarks/summary.py runs/resnet20-quick-cifar10-s0 benchmarks/results/resnet20-quick-cpu.json

What names the machine's folders (the command line, the data's place) stays out; versions and hardware stay in.
"""

import argparse
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

from lowres import recipes
from lowres.runs import Run, load_run


def summarise_run(run: Run) -> dict[str, Any]:
    """What others need to believe a run's figure: recipe, result, every epoch, versions, hardware, data."""
    kept = ("lowres", "python", "versions", "platform", "device", "hardware", "threads", "cuda", "precision")
    manifest = run.manifest
    return {
        "recipe": recipes.to_dict(run.recipe),
        "recipe_sha256": recipes.fingerprint(run.recipe),
        "result": run.result,
        "history": [dataclasses.asdict(record) for record in run.history()],
        "machine": {key: manifest.get(key) for key in kept},
        "commit": (manifest.get("git") or {}).get("commit"),
        "data": {key: manifest["data"][key] for key in ("name", "training_images", "mean", "std", "warnings")},
        "started": manifest["started"],
        "ended": manifest["ended"],
    }


def main() -> None:
    """Writes the JSON and, beside it, the curve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--picture", type=Path, help="copy the run's curves.png here")
    arguments = parser.parse_args()
    run = load_run(arguments.run)
    run.weights()  # says so if the run has not finished
    arguments.out.write_text(json.dumps(summarise_run(run), indent=1) + "\n")
    if arguments.picture:
        shutil.copyfile(run.folder / "curves.png", arguments.picture)


if __name__ == "__main__":
    main()
