"""Trains a script as it is and as `--fix` leaves it, seed by seed, on the same images for as many epochs, cut short.

    LOWRES_DATA_DIR=FOLDER python benchmarks/doctor/cure.py train.py --out benchmarks/results/doctor-cure.json
    LOWRES_DATA_DIR=FOLDER python benchmarks/doctor/cure.py train.py --edit "Resize((64, 64)" "Resize((32, 32)"

Both train as trials of `lowres doctor --prove` do: their own loops, on fewer images and for fewer epochs, with equal
draws wherever they are equal, and figures on the same test images. A fix of the number of epochs is left out, since
both train for as many. `--edit` replaces a text wherever the script has it, before anything else: a resize to fewer
pixels makes a training affordable. It is written into the results.

Trials are kept in the work folder, so that what was stopped goes on.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from costs import request
from run import fingerprint

from lowres.doctor import examine_script
from lowres.doctor.proof.jobs import Crew, Result, shelf
from lowres.doctor.proof.shortening import shorten
from lowres.doctor.proof.variants import provable, variant
from lowres.doctor.source import read
from lowres.files import write_json, write_text
from lowres.ladder.statistics import Sample, describe
from lowres.runs import manifest


def main() -> None:
    """Examines, trains, writes after each training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("script", type=Path)
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("LOWRES_DATA_DIR", "data")))
    parser.add_argument("--edit", nargs=2, action="append", default=[], metavar=("OLD", "NEW"))
    parser.add_argument("--work", type=Path, default=Path.home() / ".cache" / "lowres" / "doctor-cure")
    parser.add_argument("--images", type=int, default=2000, help="to train on")
    parser.add_argument("--epochs", type=int, default=4, help="of both")
    parser.add_argument("--test", type=int, default=1000, help="images to evaluate on")
    parser.add_argument("--batch", type=int, default=0, help="at most so many images a step; 0: as the script has it")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--seconds", type=float, default=86_400.0, help="that a trial may take")
    parser.add_argument("--memory", type=float, default=12.0, help="GB that a trial may take")
    parser.add_argument("--out", type=Path, help="the JSON file")
    arguments = parser.parse_args()
    script = edited(arguments.script.resolve(), arguments.edit, arguments.work.expanduser())
    report = examine_script(script, data_dir=arguments.data_dir)
    source, whole = read(script), report.seen["epochs"]
    chosen, left = provable(source, report.findings, whole)
    texts = {"as it is": source.text, "fixed": variant(source, chosen)}
    jobs = [(name, seed) for seed in range(arguments.seeds) for name in texts]
    short = {name: shorten(text, whole, arguments.epochs).text for name, text in texts.items()}
    images = report.seen["train"]["images"]
    requests = [request(script, short[name], arguments, arguments.epochs, seed, images) for name, seed in jobs]
    head: dict[str, Any] = {
        "script": script.name,
        "edits": arguments.edit,
        "sources": fingerprint("doctor")[:24],  # a later doctor may fix otherwise
        "fixes": {one.code: one.fix.title if one.fix else one.title for one in chosen},
        "left_out": {one.code: one.why for one in left},
        "size": {name: getattr(arguments, name) for name in ("images", "epochs", "test", "batch", "seeds")},
    }
    results: dict[tuple[str, int], Result] = {}

    def heard(place: int, result: Result) -> None:
        results[jobs[place]] = result
        name, seed = jobs[place]
        said = result["problem"] or f"{result['figure']:.1f} % in {result['seconds']:.0f} s"
        print(f"{name}, seed {seed}: {said}", file=sys.stderr, flush=True)
        if arguments.out:
            write_json(arguments.out, head | measured(results) | {"machine": manifest.describe(torch.device("cpu"))})

    kept, _ = shelf(arguments.work.expanduser())
    crew = Crew(arguments.workers, kept)
    try:
        end = time.monotonic() + arguments.seconds * len(requests)
        crew.run(requests, [1.0] * len(requests), end, end, heard)
    finally:
        crew.close()
    print(json.dumps(measured(results)["gain"], indent=1))


def edited(script: Path, edits: Sequence[Sequence[str]], work: Path) -> Path:
    """The script with these texts replaced, as a file of the same name in the work folder; itself if there are none."""
    if not edits:
        return script
    text = script.read_text(encoding="utf-8")
    for old, new in edits:
        if old not in text:
            sys.exit(f"{script.name} has no {old!r}")
        text = text.replace(old, new)
    file = work / "edited" / script.name
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, text)
    return file


def measured(results: dict[tuple[str, int], Result]) -> dict[str, Any]:
    """Accuracies by seed and the paired gain."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for (name, seed), one in sorted(results.items(), key=lambda item: item[0]):
        row = {"seed": seed, "accuracy": one["figure"], "training": one.get("training"), "steps": one.get("steps")}
        rows.setdefault(name, []).append(
            row | {"seconds": round(one.get("seconds", 0.0), 1), "trouble": one["problem"]}
        )
    figures = {key: one["figure"] for key, one in results.items() if one["figure"] is not None}
    seeds = sorted(seed for name, seed in figures if name == "as it is" and ("fixed", seed) in figures)
    gains = [figures["fixed", seed] - figures["as it is", seed] for seed in seeds]
    sample: Sample | None = describe(gains) if gains else None
    return {"trainings": rows, "gain": vars(sample) if sample else None}


if __name__ == "__main__":
    main()
