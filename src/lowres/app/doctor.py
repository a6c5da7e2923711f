"""`lowres doctor`: what is wrong with a training, ranked by the points it costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from lowres.app.command import console, parse, print_json
from lowres.doctor import Report, examine_target, explain
from lowres.doctor.sarif import write_sarif
from lowres.doctor.terminal import show
from lowres.doctor.web import write_html


@dataclass(frozen=True)
class Doctor:
    """Examines a training, a network or a log: what is wrong, ranked by the points of accuracy that it costs.

        lowres doctor train.py --data-dir data
        lowres doctor train.py -- --epochs 20
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
    asked = parse(Doctor, words[:at], "doctor")
    if asked.explain:
        console().print(explain(asked.explain))
        return 0
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
    _write(report, asked)
    return report.code


def _write(report: Report, asked: Doctor) -> None:
    if asked.sarif is not None:
        write_sarif(asked.sarif.expanduser(), report)
    if asked.html is not None:
        write_html(asked.html.expanduser(), report)
    if asked.json:
        print_json(report.to_json())
    else:
        show(report, console())
        if asked.sheet is not None and asked.sheet.exists():
            console().print(f"\nwhat the network sees: {asked.sheet}")
