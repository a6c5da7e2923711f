"""`lowres doctor`: what is wrong with a training, ranked by the points it costs; and the training mended."""

import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.text import Text

from lowres.app.command import check_writable, console, parse, print_json
from lowres.app.doctor_display import ProofDisplay
from lowres.doctor import Report, examine_target, explain
from lowres.doctor.as_recipe import prescribe
from lowres.doctor.patching.mend import Outcome
from lowres.doctor.patching.mended_file import diff_path, mended_path, write_mended, write_over
from lowres.doctor.proof.advice import advised
from lowres.doctor.proof.jobs import shelf
from lowres.doctor.proof.prove import prove_script
from lowres.doctor.proof.verdicts import Proof
from lowres.doctor.proof.waterfall import show_proof, write_picture
from lowres.doctor.sarif import write_sarif
from lowres.doctor.source import read
from lowres.doctor.terminal import show
from lowres.doctor.web import write_html
from lowres.errors import UserError
from lowres.files import json_text
from lowres.ladder.duration import seconds_of
from lowres.recipes import to_dict

ALL = "all"
CODES = re.compile(r"[A-Za-z]{2}\d{3}(,[A-Za-z]{2}\d{3})*,?")


@dataclass(frozen=True)
class Doctor:
    """Examines a training, a network or a log: what is wrong, ranked by the points of accuracy that it costs.

        lowres doctor train.py --data-dir data
        lowres doctor train.py -- --epochs 20
        lowres doctor train.py --fix
        lowres doctor train.py --fix=LR103,DA201
        lowres doctor train.py --prove --budget 10m
        lowres doctor train.py --recipe
        lowres doctor torchvision:resnet50 --image-size 32
        lowres doctor history.csv
        lowres doctor --explain LR103

    Attributes:
        target: A script or notebook; torchvision:NAME, timm:NAME or MODULE:CALLABLE for a network alone; a
            .csv or .jsonl for a log alone.
        data_dir: Where data sets lie; by default the folder that LOWRES_DATA_DIR names, then the script's own.
        image_size: Side of the images in pixels, for a network alone.
        classes: Outputs of a network alone.
        explain: Say what a code means and how it is found, such as LR103.
        fix: Write the script with its faults mended, beside it as train.fixed.py: those of the codes, or all.
        recipe: Write the training, mended, as a recipe for `lowres train`, beside the script as train.recipe.json.
        out: Where that goes instead.
        prove: Run the script with and without each fix, cut short, paired; a fix that does not pay is withdrawn.
        budget: Time for that, such as 90s, 10m or 1h30m.
        work: Folder that keeps its runs, so that an interrupted proof goes on; by default the user's cache.
        picture: Write a PNG of the proof: from the script's figure to the mended one.
        sheet: Write a PNG of what the network sees.
        json: Print JSON.
        sarif: Write SARIF, which code hosts show beside the lines.
        html: Write a page; needs the extra [report].
        seconds: Of the processor, that the script itself may take; what it did until then is examined.
        memory: GB that it may take.
    """

    target: tyro.conf.Positional[str] = ""
    data_dir: Path | None = None
    image_size: int = 32
    classes: int = 10
    explain: str = ""
    fix: str = ""
    recipe: bool = False
    out: Path | None = None
    prove: bool = False
    budget: str = "10m"
    work: Path | None = None
    picture: Path | None = None
    sheet: Path | None = None
    json: bool = False
    sarif: Path | None = None
    html: Path | None = None
    seconds: float = 60.0
    memory: float = 12.0


def run(words: Sequence[str]) -> int:
    """Examines; see `Doctor`. What stands behind `--` belongs to the script."""
    words = list(words)
    at = words.index("--") if "--" in words else len(words)
    asked = parse(Doctor, _with_codes(words[:at]), "doctor")
    if asked.explain:
        console().print(explain(asked.explain))
        return 0
    path = _written(asked)
    _check_proof(asked)
    _check_files(asked)
    examined = read(_script(asked)).text if path is not None and asked.fix else ""
    report = examine_target(
        asked.target,
        words[at + 1 :],
        data_dir=asked.data_dir,
        image_size=asked.image_size,
        classes=asked.classes,
        sheet=asked.sheet,
        seconds=asked.seconds,
        memory=asked.memory,
    )
    proof, refused = None, ""
    if asked.prove and not report.problem:
        try:
            proof = _prove(report, asked, words[at + 1 :])
            report = advised(report, proof)
        except UserError as error:  # the report stands, and is not thrown away
            refused = str(error)
    _write(report, asked)
    if proof is not None and not asked.json:
        show_proof(proof, console())
    if refused:
        print(f"lowres: not proved: {refused}", file=sys.stderr)
    made, unwritten = dict[str, Any](), None
    try:
        if path is not None:
            made = _prescribe(report, path, asked) if asked.recipe else _mend(report, path, asked, examined)
    except UserError as error:  # report and proof stand
        unwritten = error
    if asked.json:
        print_json(report.to_json() | made)
    if unwritten is not None:
        raise unwritten
    return 2 if refused and report.code else report.code


def _check_files(asked: Doctor) -> None:
    files = {"--sheet": asked.sheet, "--sarif": asked.sarif, "--html": asked.html, "--picture": asked.picture}
    for option, path in files.items():
        check_writable(option, path)
    if asked.sheet is not None and _script(asked).suffix not in (".py", ".ipynb"):
        raise UserError(f"--sheet shows what a script's network sees, and {asked.target!r} is no script or notebook")


def _check_proof(asked: Doctor) -> None:
    if not asked.prove:
        for name, value in (("--work", asked.work), ("--picture", asked.picture)):
            if value is not None:
                raise UserError(f"{name} goes with --prove")
        return
    if _script(asked).suffix not in (".py", ".ipynb"):
        raise UserError(f"--prove runs a script or a notebook, and {asked.target!r} is none")
    seconds_of(asked.budget)
    shelf(asked.work)


def _prove(report: Report, asked: Doctor, arguments: Sequence[str]) -> Proof:
    try:
        with ProofDisplay() as display:
            proof = prove_script(
                report,
                _script(asked),
                arguments,
                data_dir=asked.data_dir,
                budget=asked.budget,
                work=asked.work,
                memory=asked.memory,
                tell=display,
            )
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted: the same command goes on; every finished run is kept") from None
    if asked.picture is not None:
        write_picture(asked.picture.expanduser(), proof)
    return proof


def _with_codes(words: Sequence[str]) -> list[str]:
    """The words with a bare `--fix` written out: what follows it belongs to it only if it is codes."""
    made: list[str] = []
    for i, word in enumerate(words):
        following = words[i + 1] if i + 1 < len(words) else ""
        bare = word == "--fix" and following != ALL and not CODES.fullmatch(following)
        made.append(f"--fix={ALL}" if bare else word)
    return made


def _script(asked: Doctor) -> Path:
    return Path(asked.target).expanduser()


def _written(asked: Doctor) -> Path | None:
    """The file that is asked for; None where none is."""
    option = "--fix" if asked.fix else "--recipe"
    if asked.fix and asked.recipe:
        raise UserError("--fix mends the script and --recipe replaces it: choose one")
    if not asked.fix and not asked.recipe:
        if asked.out is not None:
            raise UserError("--out names the file that --fix or --recipe writes: give one of them")
        return None
    if _script(asked).suffix not in (".py", ".ipynb") or not _script(asked).is_file():
        raise UserError(f"{option} takes a script or a notebook, and {asked.target!r} is none")
    return mended_path(_script(asked), asked.out, "" if asked.fix else ".recipe.json")


def _write(report: Report, asked: Doctor) -> None:
    if asked.sarif is not None:
        write_sarif(asked.sarif.expanduser(), report)
    if asked.html is not None:
        write_html(asked.html.expanduser(), report)
    if asked.json:
        return
    show(report, console())
    if asked.sheet is not None and asked.sheet.exists():
        console().print(f"\nwhat the network sees: {asked.sheet}")


def _mend(report: Report, path: Path, asked: Doctor, examined: str) -> dict[str, Any]:
    """Writes the mended script and says so; or gives what JSON says of it."""
    codes = [] if asked.fix == ALL else asked.fix.split(",")
    mended = write_mended(_script(asked), report.findings, path, codes, examined)
    fixes = [one.to_json() for one in mended.outcomes]
    if asked.json:
        return {"fixed": {"file": str(path) if mended.applied else None, "fixes": fixes}}
    screen = console()
    screen.print()
    for one in mended.outcomes:
        _show_outcome(one, screen)
    count = len(mended.applied)
    if count:
        screen.print(f"{count} fix{'es' if count != 1 else ''} applied: {path} (changes: {diff_path(path)})")
        _tell_kept(mended.kept, screen)
    else:
        screen.print("no fix could be applied: nothing was written" if mended.outcomes else "nothing to fix")
    return {}


def _prescribe(report: Report, path: Path, asked: Doctor) -> dict[str, Any]:
    """Writes the recipe and says what it could not carry over; or gives what JSON says of it."""
    made = prescribe(report, _script(asked).stem)
    kept = write_over(path, json_text(to_dict(made.recipe)).encode())
    if asked.json:
        return {"recipe": {"file": str(path), "lines": list(made.lines)}}
    screen = console()
    screen.print()
    for line in made.lines:
        screen.print(Text(f"recipe: {line}", style="yellow"))
    screen.print(f"{path} trains {made.recipe.model}; the next step: lowres train {shlex.quote(str(path))}")
    _tell_kept(kept, screen)
    return {}


def _tell_kept(kept: Path | None, screen: Console) -> None:
    if kept is not None:
        screen.print(f"what was there before is kept: {kept}")


def _show_outcome(one: Outcome, screen: Console) -> None:
    if one.applied:
        screen.print(Text(f"fixed {one.code}: {one.title}", style="green"))
        return
    screen.print(Text(f"not fixed {one.code}: {one.title} ({one.why})", style="yellow"))
    for line in one.by_hand.splitlines():
        screen.print(Text(f"    {line}", style="dim"))
