"""Proves a report's fixes: runs the program with and without each, as long as a budget allows.

Fixes are added one after another, the costliest first and those that work late last, so that each pair of neighbours
is a trial with and without one fix, the first and the last are the program as it is and as it should be, and the gains
add up. Each is looked at after a few seeds; what is decided gets no more of them, what is not gets more, or a longer
training.
"""

import hashlib
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
import torchvision

import lowres
from lowres.doctor.proof.case import Case, measure
from lowres.doctor.proof.jobs import Crew, Tell, shelf
from lowres.doctor.proof.rounds import concluded, planned, rounds
from lowres.doctor.proof.variants import Unproved, provable
from lowres.doctor.proof.verdicts import Proof
from lowres.doctor.report import Report
from lowres.doctor.source import read
from lowres.errors import UserError
from lowres.ladder.duration import seconds_of

FINEST = 15.0
"""Seconds, below which a budget is too small for anything."""
RESERVE = 0.1
"""Share of a budget for trials that take longer than they should, and for what is left to be measured at the end."""


def prove_script(
    report: Report,
    script: Path,
    arguments: Sequence[str] = (),
    *,
    data_dir: Path | None = None,
    budget: str | float = "10m",
    work: Path | None = None,
    memory: float = 12.0,
    workers: int | None = None,
    tell: Tell = lambda standing: None,
) -> Proof:
    """Proves the fixes of a report.

    Args:
        report: Of the script, with the same arguments.
        script: It.
        arguments: What stands behind its name on its command line.
        data_dir: Where data sets lie; None for LOWRES_DATA_DIR, then the folder that the script names.
        budget: Time, such as "10m".
        work: Where results of trials are kept, so that a proof that was interrupted goes on; None: the user's cache.
        memory: GB that a trial may take.
        workers: Trials at a time; None: two, if there are two cores.
        tell: Hears where it stands.

    Raises:
        UserError: Nothing can be proved: no fix can be made in the source, its images cannot be cut, the budget is
            too small, or a folder cannot be written.
    """
    began = time.monotonic()
    seconds = seconds_of(budget)
    source = read(script)
    seen = report.seen.get("train") or {}
    if not seen.get("images"):
        raise UserError(f"{script} trains on no DataLoader that could be made shorter, so --prove cannot try its fixes")
    epochs = report.seen.get("epochs")
    chosen, unproved = provable(source, report.findings, epochs)
    if not chosen:
        raise UserError(_nothing(script, unproved))
    if seconds < FINEST:
        raise UserError(f"--budget {budget} is too small to decide anything: it takes {FINEST:g} s to begin with")
    kept, note = shelf(work)
    if data_dir is None and os.environ.get("LOWRES_DATA_DIR"):
        data_dir = Path(os.environ["LOWRES_DATA_DIR"])
    request = {
        "script": str(script),
        "home": str(Path.cwd()),
        "data_dir": str(data_dir.expanduser().resolve()) if data_dir else None,
        "modules": _hashes(report.seen.get("modules", ())),
        "files": _states(report.seen.get("read", ())),
        "versions": [torch.__version__, torchvision.__version__, lowres.__version__],
        "whole": seen["images"],
        "seconds": seconds,
        "budget": seconds,
        "memory": memory,
        "threads": 1,
    }
    crew = Crew(workers or min(2, os.cpu_count() or 1), kept)
    case = Case(
        source,
        list(arguments),
        {one.code: one for one in chosen},
        seen["images"],
        seen.get("batch_size") or 32,
        epochs,
        request,
        began + (1 - RESERVE) * seconds,
        began + seconds,
        began,
        tell,
        crew,
        kept,
    )
    try:
        measure(case, unproved)
        order, proxy, seeds = planned(case, unproved)
        steps = rounds(case, order, proxy, seeds)
        return concluded(case, steps, unproved, [note] if note else [])
    finally:
        crew.close()


def _hashes(files: Iterable[str]) -> dict[str, str]:
    """The contents of files, as what kept results are known by."""
    found = {name: Path(name) for name in files}
    return {name: hashlib.sha256(one.read_bytes()).hexdigest() for name, one in found.items() if one.is_file()}


def _states(files: Iterable[str]) -> dict[str, list[int]]:
    """Sizes and times of files that the program reads."""
    found = {name: Path(name) for name in files}
    states = {name: one.stat() for name, one in found.items() if one.is_file()}
    return {name: [one.st_size, one.st_mtime_ns] for name, one in states.items()}


def _nothing(script: Path, unproved: Sequence[Unproved]) -> str:
    if not unproved:
        return f"{script}: no error or warning was found, so there is nothing to prove"
    by_hand = "; ".join(f"{one.code}: {one.title} ({one.why})" for one in unproved)
    return f"{script} cannot be patched, so --prove cannot try its fixes; change by hand: {by_hand}"
