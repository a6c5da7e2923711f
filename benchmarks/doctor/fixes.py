"""What `--fix` makes of the bench's single-fault programs: the sound program again, one that trains alike, or another.

    LOWRES_DATA_DIR=FOLDER python benchmarks/doctor/fixes.py --out benchmarks/results/doctor-fixes.json

A program is the sound one again if it is that token for token; comments, blanks and the way of writing do not count.
Of one that is not, the lines in which it differs are kept, and both are trained for three epochs on a few images, with
equal draws. If they end with the same weights, bit for bit, and their evaluations with the same figures, they train
alike. Whether one that does not is as good, only a longer training tells: `costs.py --fixed`. Programs that need
weights from ImageNet are left out. What was stopped goes on from the file.
"""

import argparse
import ast
import difflib
import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from bases import SCRATCH, clean
from costs import chosen, examined, request, write_lines
from programs import Program, write
from run import fingerprint

from lowres.doctor.proof.jobs import Crew, Result, shelf
from lowres.doctor.proof.shortening import shorten
from lowres.doctor.source import read
from lowres.runs import manifest

EPOCHS, SECONDS = 3, 900.0  # warm-ups and milestones need some epochs to stand in
RUN = {"images": 40, "test": 100, "batch": 16}
"""Of the run of two programs: the last batch is smaller than the others, so that it matters whether it is dropped."""


def main() -> None:
    """Mends, compares, runs, writes after each part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("LOWRES_DATA_DIR", "data")))
    parser.add_argument("--work", type=Path, default=Path.home() / ".cache" / "lowres" / "doctor-costs")
    parser.add_argument("--bases", nargs="+", choices=SCRATCH, default=list(SCRATCH))
    parser.add_argument("--names", nargs="+", default=[], help="only programs whose names contain one of these")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--out", type=Path, help="the JSON file")
    arguments = parser.parse_args()
    for name, value in (RUN | {"seconds": SECONDS, "memory": 12.0}).items():
        setattr(arguments, name, value)
    programs = chosen(arguments.names, arguments.bases)
    folder = arguments.work.expanduser() / "programs"
    pairs = sorted({(one.source.base, one.source.style.name) for one in programs})
    write(
        folder, [*programs, *(Program(f"clean-{base}-{style}", "clean", clean(base, style)) for base, style in pairs)]
    )
    rows = rows_there(arguments.out) if arguments.out else {}
    left = [one for one in programs if one.name not in rows]
    kept, _ = shelf(arguments.work / "trials")
    crew = Crew(arguments.workers, kept)
    try:
        for start in range(0, len(left), 2 * arguments.workers):
            part = left[start : start + 2 * arguments.workers]
            with ThreadPoolExecutor(arguments.workers) as pool:  # each examines in a process of its own
                list(pool.map(lambda one: examined(folder / one.entry()["file"], arguments), part))
            rows |= {one.name: row_of(one, folder, crew, arguments) for one in part}
            for one in part:
                row = rows[one.name]
                said = row["trouble"] or said_of(row)
                print(f"{len(rows)}/{len(programs)} {one.name}: {said}", file=sys.stderr, flush=True)
            if arguments.out:
                write_rows(arguments.out, list(rows.values()))
    finally:
        crew.close()
    print(json.dumps(counted(list(rows.values()))))


def row_of(program: Program, folder: Path, crew: Crew, arguments: argparse.Namespace) -> dict[str, Any]:
    """What became of a program."""
    base, style = program.source.base, program.source.style
    file = folder / str(program.entry()["file"])
    sound = folder / f"clean-{base}-{style.name}{style.suffix}"
    text = examined(file, arguments)["fixed"]
    (fault,) = program.faults
    row: dict[str, Any] = {"program": program.name, "operator": fault.name, "kind": fault.kind, "tier": fault.tier}
    row |= {"sound": False, "alike": False, "differs": [], "trouble": ""}
    if not text:
        return row | {"trouble": "the doctor could not see the whole program"}
    compared = difflib.unified_diff(written(read(sound).text), written(text), n=0, lineterm="")
    lines = [line for line in compared if line[:2] not in ("--", "++", "@@")]
    if not lines:
        return row | {"sound": True, "alike": True}
    own = int(clean(base, "plain").value("epochs"))
    first, second = trained([(file, text), (sound, read(sound).text)], own, crew, arguments)
    trouble = str(first["problem"]).replace(str(file), file.name)
    if second["problem"]:
        raise RuntimeError(f"the sound program does not run: {second['problem']}")
    return row | {"differs": lines, "trouble": trouble, "alike": not trouble and same(first, second)}


def written(text: str) -> list[str]:
    """A program's lines in one way of writing, without comments."""
    return ast.unparse(ast.parse(text)).splitlines()


def trained(
    programs: Sequence[tuple[Path, str]], own: int, crew: Crew, arguments: argparse.Namespace
) -> tuple[Result, ...]:
    """What came of programs, cut short from `own` epochs."""
    asked = [request(file, shorten(text, own, EPOCHS).text, arguments, EPOCHS, 0) for file, text in programs]
    end = time.monotonic() + SECONDS
    found = crew.run(asked, [1.0] * len(asked), end, end, lambda place, result: None)
    return tuple(found.get(place, {"problem": "it was not run"}) for place in range(len(asked)))


def same(first: Result, second: Result) -> bool:
    """Whether two trainings ended with the same weights, and their evaluations with the same figures."""
    return all(first[name] == second[name] for name in ("weights", "steps", "figure", "own"))


def said_of(row: dict[str, Any]) -> str:
    """A row in words."""
    return "the sound program" if row["sound"] else "trains alike" if row["alike"] else "another program"


def counted(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """How many are what."""
    return {
        "programs": len(rows),
        "sound_again": sum(row["sound"] for row in rows),
        "train_alike": sum(row["alike"] and not row["sound"] for row in rows),
        "others": sum(not row["alike"] for row in rows),
        "fail": sum(bool(row["trouble"]) for row in rows),
    }


def rows_there(path: Path) -> dict[str, dict[str, Any]]:
    """The rows of a file that the same doctor wrote, by program."""
    if not path.exists():
        return {}
    document = json.loads(path.read_text(encoding="utf-8"))
    if document["sources"] != fingerprint("doctor")[:24]:
        sys.exit(f"{path} is of another doctor: name another file, or move it away")
    return {row["program"]: row for row in document["rows"]}


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """The table with what it was made on, a line a program."""
    machine = manifest.describe(torch.device("cpu"))
    begins = {"sources": fingerprint("doctor")[:24], "machine": machine, "counted": counted(rows)}
    write_lines(path, begins, "rows", rows)


if __name__ == "__main__":
    main()
