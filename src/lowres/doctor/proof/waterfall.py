"""A proof as a waterfall: from the program's figure to the mended one, as text and as a picture."""

from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lowres.doctor.proof.verdicts import Proof, Step, Word
from lowres.files import atomic

WIDTH, NARROWEST = 32, 8
"""Of the bars, in characters."""
BESIDE = 90
"""Columns that the rest of the table takes where nothing is folded."""
COLOURS: dict[Word, str] = {
    "pays": "green",
    "withdrawn": "red",
    "undecided": "yellow",
    "too early": "yellow",
    "kept": "yellow",
}


def show_proof(proof: Proof, screen: Console) -> None:
    """Prints a proof."""
    screen.print(f"\nproved by {proof.trials} paired short runs in {proof.seconds / 60:.1f} min: {proof.proxy.words}\n")
    table = Table(box=None, pad_edge=False)
    for name in ("fix", "gain", "", "expected", "verdict"):
        justify: Literal["left", "right"] = "right" if name in ("gain", "expected") else "left"
        table.add_column(name, justify=justify, no_wrap=name not in ("fix", "verdict"), overflow="fold")
    (low, high), width = _span(proof), max(NARROWEST, min(WIDTH, screen.width - BESIDE))
    table.add_row(
        "as it is", f"{proof.base.mean:.1f} %", Text(_bar(low, proof.base.mean, low, high, width), "dim"), "", ""
    )
    level = proof.base.mean
    for step in proof.steps:
        gain = step.gain.mean if step.gain else 0.0
        bar = Text(_bar(level, level + gain, low, high, width), COLOURS[step.word])
        on = f", {step.proxy.words}" if step.proxy != proof.proxy else ""
        table.add_row(f"{step.code} {step.title}", gain_of(step), bar, f"{step.expected:.3g}", step.verdict + on)
        level += gain
    if proof.mended is not None:
        name = "mended" if not proof.withdrawn else f"mended, without {' '.join(proof.withdrawn)}"
        table.add_row(
            name, f"{proof.mended.mean:.1f} %", Text(_bar(low, proof.mended.mean, low, high, width), "bold"), "", ""
        )
    screen.print(table)
    if proof.total is not None:
        fixes = "all fixes" if not proof.withdrawn else "the fixes that are left"
        screen.print(f"\n{fixes} together: {_with_interval(proof.total.mean, _half(proof.total))} points")
    if proof.own is not None:
        screen.print(f"the script's own figure in these runs: {proof.own:.1f} %")
    for one in proof.unproved:
        screen.print(Text(f"not tried: {one.code} {one.title} ({one.why})", style="yellow"))
        for line in one.by_hand.splitlines():
            screen.print(Text(f"    {line}", style="dim"))
    screen.print("\nwhat these runs cannot tell:")
    for line in proof.limits:
        screen.print(Text(f"- {line}", style="dim"))


def gain_of(step: Step) -> str:
    """Points with the half of their interval; "" where nothing was measured."""
    return _with_interval(step.gain.mean, _half(step.gain)) if step.gain is not None else ""


def _with_interval(mean: float, half: float | None) -> str:
    return f"{mean:+.1f}" + (f" ± {half:.1f}" if half is not None else "")


def _half(sample: object) -> float | None:
    low, high = getattr(sample, "low", None), getattr(sample, "high", None)
    return None if low is None or high is None else (high - low) / 2


def _span(proof: Proof) -> tuple[float, float]:
    """The least and the greatest figure in it."""
    levels = [proof.base.mean]
    for step in proof.steps:
        levels.append(levels[-1] + (step.gain.mean if step.gain else 0.0))
    levels += [proof.mended.mean] if proof.mended is not None else []
    low, high = min(levels), max(levels)
    room = 0.15 * max(high - low, 1.0)
    return max(0.0, low - room), high + 1e-9


def _bar(start: float, end: float, low: float, high: float, width: int) -> str:
    """A bar from one figure to another; at least a stroke."""
    left, right = (round((one - low) / (high - low) * width) for one in sorted((start, end)))
    return " " * left + ("█" * (right - left) or "▏")


def write_picture(path: Path, proof: Proof) -> None:
    """Draws the waterfall as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = ["as it is", *(one.code for one in proof.steps)] + (["mended"] if proof.mended is not None else [])
    figure = Figure(figsize=(1.6 + 1.1 * len(names), 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    low = _span(proof)[0]
    axes.bar(0, proof.base.mean, color="0.6")
    level = proof.base.mean
    for i, step in enumerate(proof.steps, start=1):
        gain = step.gain.mean if step.gain else 0.0
        colour = {"green": "tab:green", "red": "tab:red", "yellow": "tab:olive"}[COLOURS[step.word]]
        axes.bar(i, gain, bottom=level, color=colour, yerr=_half(step.gain), capsize=4, ecolor="0.3")
        half = _half(step.gain) or 0.0
        above, low = max(level, level + gain + half), min(low, level + gain - half)
        axes.annotate(gain_of(step), (i, above), (0, 3), textcoords="offset points", ha="center", fontsize=8)
        level += gain
    if proof.mended is not None:
        axes.bar(len(names) - 1, proof.mended.mean, color="tab:blue")
    axes.set_xticks(range(len(names)), names)
    axes.set_ylim(bottom=max(0.0, low))
    axes.set_ylabel("test accuracy, %")
    axes.set_title(f"after {proof.proxy.words}", fontsize=10)
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
