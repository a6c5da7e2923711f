"""Writes the bench's programs into a folder, with a manifest that says what is wrong with each.

    python benchmarks/doctor/programs.py FOLDER

Clean programs (every base in every style), one fault each, several at once, look-alikes that are sound, and a
published training loop's faults. The same programs each time: what is drawn is drawn from a fixed seed.
"""

import argparse
import itertools
import json
import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faults_data  # noqa: F401 - registers its operators, as the next ones do
import faults_evaluation  # noqa: F401
import faults_network  # noqa: F401
import faults_training  # noqa: F401
import published
import twins_data  # noqa: F401
import twins_training  # noqa: F401
from bases import BASES, clean
from operators import FAULTS, TWINS, Fault
from source import STYLES, NoMatch, Source

SEVERAL = 30
# What would hide, undo or change the meaning of the other in one program.
APART = {
    frozenset(pair)
    for pair in (
        ("head", "loss"),
        ("rate", "optimizer"),
        ("rate", "batch"),
        ("optimizer", "batch"),
        ("optimizer", "parameters"),
        ("budget", "schedule"),
        ("cache", "train transform"),
        ("cache", "split"),
        ("split", "train transform"),
        ("split", "order"),
        ("selection", "split"),
        ("selection", "order"),
        ("labels", "order"),
        ("labels", "test set"),
        ("labels", "checkpoint"),
        ("parameters", "checkpoint"),
        ("mode", "network"),
        ("head", "network"),
        ("parameters", "network"),
        ("head", "parameters"),
        ("checkpoint", "network"),
        ("labels", "network"),
    )
}


@dataclass(frozen=True)
class Program:
    """A program of the bench: its source, and what is wrong with it."""

    name: str
    group: str
    source: Source
    faults: tuple[Fault, ...] = ()
    extra: tuple[str, ...] = ()
    twin: str = ""

    def entry(self) -> dict[str, Any]:
        """Its entry in the manifest."""
        return {
            "name": self.name,
            "file": self.name + self.source.style.suffix,
            "group": self.group,
            "base": self.source.base,
            "style": self.source.style.name,
            "twin": self.twin,
            "faults": [
                {"operator": f.name, "kind": f.kind, "also": list(f.also), "tier": f.tier, "cost": f.cost}
                for f in self.faults
            ],
            "extra": list(self.extra),
        }


def all_programs() -> list[Program]:
    """Every program, in a fixed order."""
    return [*clean_programs(), *single_faults(), *several_faults(), *look_alikes(), published_loop()]


def clean_programs() -> list[Program]:
    """Each base in each style."""
    return [Program(f"clean-{b}-{s}", "clean", clean(b, s)) for b, s in itertools.product(BASES, STYLES)]


def single_faults() -> list[Program]:
    """Each operator on one base, those of tier 1 on two; bases and styles take turns."""
    programs = []
    for index, f in enumerate(FAULTS.values()):
        places = [(b, f.styles[(index + i) % len(f.styles)]) for i, b in enumerate(f.bases)]
        if len(places) == 1:
            places.append((f.bases[0], f.styles[(index + 1) % len(f.styles)]))
        turn = index % len(places)
        for base, style in (places[turn:] + places[:turn])[: 2 if f.tier == 1 else 1]:
            programs.append(Program(f"{f.name}-{base}-{style}", "single", f.apply(clean(base, style)), (f,)))
    return programs


def several_faults() -> list[Program]:
    """Two to five faults at once, drawn so that none hides another."""
    draw = random.Random(5)
    places = itertools.cycle(itertools.product(STYLES, BASES))
    programs = []
    for index, (style, base) in zip(range(SEVERAL), places, strict=False):
        wanted = 2 + index % 4
        source, chosen = clean(base, style), []
        candidates = [f for f in FAULTS.values() if base in f.bases and style in f.styles]
        for f in draw.sample(candidates, len(candidates)):
            if len(chosen) == wanted:
                break
            if any(f.touches == c.touches or frozenset({f.touches, c.touches}) in APART for c in chosen):
                continue
            try:
                source = f.apply(source)
            except NoMatch:
                continue
            chosen.append(f)
        chosen.sort(key=lambda f: -f.cost)
        programs.append(Program(f"several-{index:02d}-{base}-{style}", "several", source, tuple(chosen)))
    return programs


def look_alikes() -> list[Program]:
    """Each look-alike on one base; bases and styles take turns."""
    programs = []
    for index, t in enumerate(TWINS.values()):
        base, style = t.bases[index % len(t.bases)], t.styles[index % len(t.styles)]
        programs.append(Program(f"alike-{t.name}-{base}-{style}", "alike", t.apply(clean(base, style)), twin=t.name))
    return programs


def published_loop() -> Program:
    """The published loop."""
    return Program(
        "published-loop", "published", published.program(), published.PUBLISHED_FAULTS, published.PUBLISHED_EXTRA
    )


def render(source: Source) -> str:
    """The file's text: Python, or for the notebook style a notebook whose cells begin at `# %%`."""
    if source.style.suffix == ".py":
        return source.text
    cells = []
    for part in re.split(r"^# %%", source.text, flags=re.MULTILINE)[1:]:
        head, _, body = part.partition("\n")
        body = body.strip("\n")
        if "[markdown]" in head:
            text = re.sub(r"^# ?", "", body, flags=re.MULTILINE)
            cells.append({"cell_type": "markdown", "metadata": {}, "source": text.splitlines(keepends=True)})
        elif body:
            cell = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
            cells.append({**cell, "source": body.splitlines(keepends=True)})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 4}
    return json.dumps(notebook, indent=1) + "\n"


def write(folder: Path, programs: list[Program]) -> Path:
    """Writes programs and manifest; gives the manifest's path."""
    folder.mkdir(parents=True, exist_ok=True)
    for program in programs:
        entry = program.entry()
        (folder / entry["file"]).write_text(render(program.source), encoding="utf-8")
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps([program.entry() for program in programs], indent=1) + "\n", encoding="utf-8")
    return manifest


def main() -> None:
    """Writes all programs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    programs = all_programs()
    print(f"{len(programs)} programs, {write(arguments.folder, programs)}")


if __name__ == "__main__":
    main()
