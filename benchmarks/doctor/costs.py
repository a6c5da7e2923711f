"""Measures what the bench's faults cost: each single-fault program against its clean base, seed by seed, cut short.

    LOWRES_DATA_DIR=FOLDER python benchmarks/doctor/costs.py --out benchmarks/results/doctor-costs.json
    LOWRES_DATA_DIR=FOLDER python benchmarks/doctor/costs.py --fixed --out benchmarks/results/doctor-costs.json

Programs train as trials of `lowres doctor --prove` do: their own loops, on fewer images and for fewer epochs, with
equal draws wherever they are equal, and figures on test images. A fault of the number of epochs keeps its share of
them. With `--fixed`, the doctor's fixed program is a third, which tells how much of the cost its fixes bring back.

`--narrow 8` gives networks an eighth of their width, and leaves out those that cannot be narrowed. A program whose code
is the clean one's has its trials.

The bench's programs are measured, each operator once before any comes again, so that a measurement that is ended early
has most of them. With `--once`, each operator is put into one program, in the plain style and on the base that trains
fastest, so that most share their clean trials; faults that cost little before a network overfits come last. What was
stopped goes on: trials are kept in the work folder, and programs that stand in the JSON file are not measured again.
Programs that need weights from ImageNet are left out. What the report expects has to be what checks expect: without
`--fixed`, the doctor's table of measured costs is moved away for the time.
"""

import argparse
import ast
import dataclasses
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean
from typing import Any

import expected
import torch
from bases import SCRATCH, clean
from narrow import narrowed
from operators import FAULTS
from programs import Program, single_faults, write
from run import ask, fingerprint, place_of
from source import NoMatch

from lowres.doctor.costs import TABLE
from lowres.doctor.proof import jobs
from lowres.doctor.proof.jobs import Crew, Result, shelf
from lowres.doctor.proof.shortening import shorten
from lowres.doctor.proof.verdicts import REGULARISING, SCHEDULES
from lowres.doctor.source import read
from lowres.files import write_text
from lowres.ladder.statistics import describe
from lowres.runs import manifest

TRAINING_IMAGES = 45_000
QUICKEST = ("resnet9", "vgg", "vit", "resnet18", "mobilenet")
"""Bases, that whose narrow network trains fastest first."""
WIDE = (("network-of-the-zoo", "resnet18"),)
"""Faults, and the bases, where a network as wide as it is takes the place of the program's."""
PART = 20
"""Programs that are examined, then trained, together."""


def request(
    file: Path, text: str, arguments: argparse.Namespace, epochs: int, seed: int, whole: int = TRAINING_IMAGES
) -> dict[str, Any]:
    """What a trial is asked; `text` is its source, shortened already, `whole` its images."""
    return {
        "script": str(file),
        "source": text,
        "arguments": [],
        "home": str(file.parent),
        "data_dir": str(arguments.data_dir.resolve()),
        "seed": seed,
        "images": arguments.images,
        "test": arguments.test,
        "whole": whole,
        "batch": arguments.batch,
        "stop": epochs + 1,  # it ends by itself; this is for loops that do not follow
        "seconds": arguments.seconds,
        "memory": arguments.memory,
        "threads": 1,
    }


def texts(program: Program, folder: Path, arguments: argparse.Namespace) -> dict[str, tuple[Path, str, int]]:
    """The clean, the faulty and, if asked for, the fixed program: file, shortened source, epochs.

    A program whose code is the clean one's is the clean one, so that one trial serves both.
    """
    base = clean(program.source.base, program.source.style.name)
    whole = int(base.value("epochs"))
    clean_file = folder / f"clean-{program.source.base}-{program.source.style.name}{program.source.style.suffix}"
    faulty_file = folder / str(program.entry()["file"])
    made = {"clean": (clean_file, read(clean_file).text), "faulty": (faulty_file, read(faulty_file).text)}
    if arguments.fixed and (mended := examined(faulty_file, arguments)["fixed"]):
        made["fixed"] = (faulty_file, mended)
    found: dict[str, tuple[Path, str, int]] = {}
    for name, (file, text) in made.items():
        own = int(dataclasses.replace(program.source, text=text).value("epochs"))
        epochs = max(1, round(arguments.epochs * min(1.0, own / whole)))
        short = shorten(narrowed(text, program.source.base, arguments.narrow), own, epochs).text
        same = name != "clean" and _code(short) == _code(found["clean"][1])
        found[name] = found["clean"] if same else (file, short, epochs)
    return found


def examined(file: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """What the doctor says of a program and makes of it, as the bench asks it, and as it was asked before.

    Returns:
        `findings`, each its code and its cost, as the report has them; and `fixed`, the program after `--fix`, ""
        where the doctor could not see the whole of it.
    """
    work, data_dir = arguments.work.expanduser().resolve(), arguments.data_dir.resolve()
    asked = argparse.Namespace(work=work, data_dir=data_dir, tool_path=None, seconds=None, timeout=600.0)
    answer = ask("doctor", file.resolve(), asked, place_of("doctor", file, work))
    blind = answer.get("trouble") or answer.get("problem") or (answer.get("blind") and "it was not seen to its end")
    if blind:
        print(f"{file.name} could not be examined: {blind}", file=sys.stderr)
    found = [(one["code"], one["cost"]) for one in answer["findings"]]
    return {"findings": found, "fixed": "" if blind else answer["fixed"]}


def _code(text: str) -> str:
    """A program without its comments and blanks."""
    return ast.dump(ast.parse(text))


@dataclasses.dataclass(frozen=True)
class Asked:
    """The trials of a program: what the doctor says of it, and what each is asked, by variant and seed."""

    program: Program
    findings: Sequence[tuple[str, float]]
    requests: Mapping[tuple[str, int], dict[str, Any]]


def asked(program: Program, folder: Path, arguments: argparse.Namespace) -> Asked:
    """The trials that a program needs."""
    findings = examined(folder / str(program.entry()["file"]), arguments)["findings"]
    variants = texts(program, folder, arguments).items()
    requests = {
        (name, seed): request(file, text, arguments, epochs, seed)
        for seed in range(arguments.seeds)
        for name, (file, text, epochs) in variants
    }
    return Asked(program, findings, requests)


def train(
    every: Sequence[Asked], crew: Crew, seconds: float, tell: Callable[[Asked, dict[tuple[str, int], Result]], None]
) -> None:
    """Runs all trials, equal ones once; tells each program's results as soon as they are complete."""
    keyed = [{job: jobs.fingerprint(wish) for job, wish in one.requests.items()} for one in every]
    requests = {wanted[job]: one.requests[job] for one, wanted in zip(every, keyed, strict=True) for job in wanted}
    keys, results, waiting = list(requests), dict[str, Result](), list(zip(every, keyed, strict=True))

    def heard(place: int, result: Result) -> None:
        results[keys[place]] = result
        for one, wanted in list(waiting):
            if all(key in results for key in wanted.values()):
                waiting.remove((one, wanted))
                tell(one, {job: results[key] for job, key in wanted.items()})

    end = time.monotonic() + seconds * len(requests)
    crew.run(list(requests.values()), [1.0] * len(requests), end, end, heard)


def row_of(asked: Asked, results: Mapping[tuple[str, int], Result]) -> dict[str, Any]:
    """A fault's cost: clean minus faulty, in points, a seed each; what the doctor's fixes leave of it.

    `code` is that of the costliest finding which names the fault, "" if none does, and `expected` what it is said to
    cost there.
    """
    program = asked.program
    (fault,) = program.faults
    right = expected.accepted("doctor")({"kind": fault.kind, "also": fault.also})
    code, cost = max((one for one in asked.findings if one[0] in right), key=lambda one: one[1], default=("", None))
    row: dict[str, Any] = {"operator": fault.name, "kind": fault.kind, "tier": fault.tier, "code": code}
    row |= {"base": program.source.base, "style": program.source.style.name}
    row |= {"held_to_cost": fault.cost, "expected": cost}
    row["trouble"] = next((one["problem"] for one in results.values() if one["problem"]), "")
    figures = {job: one["figure"] for job, one in results.items() if one["figure"] is not None}
    clean_figures = {seed: figure for (name, seed), figure in figures.items() if name == "clean"}
    if clean_figures:
        row["clean"] = round(fmean(clean_figures.values()), 2)
    for name, key in (("faulty", "cost"), ("fixed", "left")):
        seeds = [seed for seed in clean_figures if (name, seed) in figures]
        values = [round(clean_figures[seed] - figures[name, seed], 3) for seed in seeds]
        if values:
            sample = describe(values)
            row[key] = {"mean": round(sample.mean, 3), "sd": sample.deviation and round(sample.deviation, 3)}
            row[key] |= {"n": sample.count, "points": values}
    return row


def chosen(names: Sequence[str], bases: Sequence[str]) -> list[Program]:
    """Single faults on these bases whose names contain one of these; each operator once, then each again, ..."""
    every = [one for one in single_faults() if one.source.base in bases]
    every.sort(key=lambda one: QUICKEST.index(one.source.base))
    turns: Counter[str] = Counter()
    found: list[tuple[int, Program]] = []
    for one in every:
        if not names or any(part in one.name for part in names):
            found.append((turns[one.faults[0].name], one))
            turns[one.faults[0].name] += 1
    return [one for _, one in sorted(found, key=lambda turn: turn[0])]


def once(names: Sequence[str], bases: Sequence[str]) -> list[Program]:
    """Each operator whose name contains one of these, on one of these bases."""
    found: list[Program] = []
    for fault in FAULTS.values():
        places = [(base, style) for base in QUICKEST if base in bases for style in fault.styles]
        if names and not any(part in fault.name for part in names):
            continue
        for base, style in (one for one in places if one[0] in fault.bases):
            try:
                program = Program(f"{fault.name}-{base}-{style}", "single", fault.apply(clean(base, style)), (fault,))
            except NoMatch:
                continue
            found.append(program)
            break
    return sorted(found, key=lambda one: one.faults[0].kind in (*REGULARISING, *SCHEDULES))


def main() -> None:
    """Measures, prints a line a program, writes after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("LOWRES_DATA_DIR", "data")))
    parser.add_argument("--work", type=Path, default=Path.home() / ".cache" / "lowres" / "doctor-costs")
    parser.add_argument("--bases", nargs="+", choices=SCRATCH, default=["resnet9"])
    parser.add_argument("--names", nargs="+", default=[], help="only programs whose names contain one of these")
    parser.add_argument("--images", type=int, default=2000, help="to train on")
    parser.add_argument("--epochs", type=int, default=3, help="of the clean program")
    parser.add_argument("--test", type=int, default=1000, help="images to evaluate on")
    parser.add_argument("--batch", type=int, default=0, help="at most so many images a step; 0: as they are")
    parser.add_argument("--narrow", type=int, default=1, metavar="N", help="networks of one Nth of their width")
    parser.add_argument("--once", action="store_true", help="each operator in one program, not those of the bench")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--seconds", type=float, default=1800.0, help="that a trial may take")
    parser.add_argument("--memory", type=float, default=12.0, help="GB that a trial may take")
    parser.add_argument("--fixed", action="store_true", help="train the doctor's fixed programs, too")
    parser.add_argument("--out", type=Path, help="the JSON file")
    arguments = parser.parse_args()
    programs = (once if arguments.once else chosen)(arguments.names, arguments.bases)
    programs = [one for one in programs if arguments.narrow == 1 or (one.faults[0].name, one.source.base) not in WIDE]
    if not programs:
        sys.exit(f"no single fault on {', '.join(arguments.bases)} has such a name")
    if TABLE.exists() and not arguments.fixed:
        sys.exit(f"move {TABLE} away: what is calibrated already cannot be compared with what is measured")
    folder = arguments.work.expanduser() / "programs"
    pairs = {(one.source.base, one.source.style.name) for one in programs}
    bases = [Program(f"clean-{base}-{style}", "clean", clean(base, style)) for base, style in sorted(pairs)]
    write(folder, [*programs, *bases])
    rows = rows_there(arguments.out, head(arguments)) if arguments.out else []
    known = {(row["operator"], row["base"], row["style"]) for row in rows}
    left = [one for one in programs if (one.faults[0].name, one.source.base, one.source.style.name) not in known]
    kept, _ = shelf(arguments.work / "trials")
    crew = Crew(arguments.workers, kept)

    def tell(one: Asked, results: dict[tuple[str, int], Result]) -> None:
        row = row_of(one, results)
        rows.append(row)
        said = row["trouble"] or json.dumps({key: row.get(key) for key in ("cost", "left")})
        print(f"{len(rows)}/{len(programs)} {one.program.name}: {said}", file=sys.stderr, flush=True)
        if arguments.out:
            write_rows(arguments.out, rows, arguments)

    try:
        for start in range(0, len(left), PART):
            part = left[start : start + PART]
            with ThreadPoolExecutor(arguments.workers) as pool:  # each examines in a process of its own
                list(pool.map(lambda one: examined(folder / one.entry()["file"], arguments), part))
            train([asked(one, folder, arguments) for one in part], crew, arguments.seconds, tell)
    finally:
        crew.close()


def head(arguments: argparse.Namespace) -> dict[str, Any]:
    """What all rows share; the doctor's sources, since another doctor may fix otherwise."""
    size = {
        name: getattr(arguments, name) for name in ("images", "epochs", "test", "batch", "narrow", "seeds", "fixed")
    }
    return {"size": size, "sources": fingerprint("doctor")[:24], "machine": manifest.describe(torch.device("cpu"))}


def rows_there(path: Path, begins: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a file that was measured alike, on this machine or one like it."""
    if not path.exists():
        return []
    document = json.loads(path.read_text(encoding="utf-8"))
    if any(document.get(name) != begins[name] for name in ("size", "sources")):
        sys.exit(f"{path} was measured otherwise: name another file, or move it away")
    return list(document["operators"])


def write_rows(path: Path, rows: Sequence[dict[str, Any]], arguments: argparse.Namespace) -> None:
    """The table with what it was measured on, a line a program."""
    write_lines(path, head(arguments), "operators", rows)


def write_lines(path: Path, begins: dict[str, Any], name: str, rows: Sequence[dict[str, Any]]) -> None:
    """A JSON object with a list in the end that has a line a row."""
    text, body = json.dumps(begins, indent=1), ",\n  ".join(map(json.dumps, rows))
    write_text(path, f'{text[:-2]},\n "{name}": [\n  {body}\n ]\n}}\n')


if __name__ == "__main__":
    main()
