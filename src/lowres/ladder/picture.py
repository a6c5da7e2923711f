"""The picture of a ladder: means with intervals beside published figures, and the waterfall of paired gains."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lowres.files import atomic
from lowres.ladder.table import Row, Table

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_MEASURED = "#1b5fb4"
_PUBLISHED = "#4d7c3a"
_INK = "#26292e"
_MUTED = "#6b7178"
_GRID = "#e7e9ec"
_VERDICTS = {"pays": "#2e8b57", "harms": "#c0392b", "no difference": "#74a3dc"}
_OPEN = "#b9bec5"  # undecided, or without a verdict
_DPI = 150
_ROW, _HEAD, _FOOT = 0.46, 1.15, 0.95  # inches
_WIDTH = 12.4


def draw_ladder(table: Table, path: Path) -> None:
    """Draws a ladder as a PNG, its first rung at the bottom.

    On the left, each rung's mean with its 95 % interval, single runs as dots, and the published figure. On the
    right, the mean paired gain of each rung from where the one below stood, with its interval and verdict.

    Args:
        table: With or without missing cells.
        path: The PNG to write, atomically.

    Example:
        >>> draw_ladder(table, Path("ladder.png"))  # doctest: +SKIP
    """
    # The object API: no pyplot, hence no window, no backend and no figure kept in the caller's process.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(table.rows)
    height = _HEAD + _FOOT + _ROW * count
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    figure.subplots_adjust(left=0.17, right=0.77, bottom=_FOOT / height, top=1 - _HEAD / height, wspace=0.08)
    name = table.ladder.name
    figure.text(0.02, 1 - 0.38 / height, name, fontsize=15, fontweight="bold", color=_INK, parse_math=False)
    accuracy, gains = figure.subplots(1, 2, sharey=True)
    _frame(accuracy, "last-epoch test accuracy, %, with 95 % interval")
    _frame(gains, "gain since the ground, points: paired steps")
    accuracy.set_yticks(
        range(count), [textwrap.fill(row.rung, 26) for row in table.rows], fontsize=10.5, color=_INK, parse_math=False
    )
    accuracy.set_ylim(-0.6, count - 0.4)
    for place, row in enumerate(table.rows):
        _draw_rung(accuracy, place, row)
    _draw_waterfall(gains, table.rows)
    if any(row.published is not None for row in table.rows):
        figure.legend(
            *_legend(),
            loc="upper right",
            ncols=2,
            frameon=False,
            fontsize=10,
            labelcolor=_MUTED,
            bbox_to_anchor=(0.77, 1),
        )
    first, _, rest = table.caption.partition("; ")
    for line, text in enumerate((first, rest)):
        y = (0.32 - 0.2 * line) / height
        figure.text(0.02, y, text, fontsize=9, color=_MUTED, parse_math=False)
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=_DPI, metadata={"Software": None})


def _frame(axes: "Axes", title: str) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    axes.grid(axis="x", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=10, labelcolor=_MUTED)
    axes.set_title(title, loc="left", fontsize=10.5, color=_INK, pad=8)


def _draw_rung(axes: "Axes", place: int, row: Row) -> None:
    if row.published is not None:
        axes.plot([row.published], [place], "D", markersize=6, markerfacecolor="white", markeredgecolor=_PUBLISHED)
    if row.sample is None:
        return
    values = list(row.accuracies.values())
    axes.plot(values, [place - 0.17] * len(values), "o", markersize=3, color=_MEASURED, alpha=0.45)
    if row.sample.low is not None and row.sample.high is not None:
        axes.plot([row.sample.low, row.sample.high], [place, place], color=_MEASURED, linewidth=2)
    axes.plot([row.sample.mean], [place], "o", markersize=6, color=_MEASURED)


def _draw_waterfall(axes: "Axes", rows: Sequence[Row]) -> None:
    """Bars from where each rung begins to where it ends; intervals stand around the end."""
    reached, joined = 0.0, True
    axes.axvline(0.0, color=_MUTED, linewidth=0.8)
    for place, row in enumerate(rows):
        compared = row.comparison
        if compared is None:
            joined = joined and place == 0
            continue
        gain = compared.gain
        label = f"{gain.mean:+.2f}  {compared.verdict.partition(' (')[0]}"
        axes.text(1.02, place, label, transform=axes.get_yaxis_transform(), va="center", fontsize=9.5, color=_INK)
        if not joined:  # where it begins is not known: a rung below was not measured
            continue
        end = reached + gain.mean
        axes.barh(place, gain.mean, left=reached, height=0.52, color=_VERDICTS.get(compared.word, _OPEN))
        axes.plot([reached, reached], [place - 1 + 0.26, place + 0.26], color=_MUTED, linewidth=0.7)
        if gain.low is not None and gain.high is not None:
            axes.plot([reached + gain.low, reached + gain.high], [place, place], color=_INK, linewidth=1.2)
        reached = end


def _legend() -> "tuple[list[Artist], list[str]]":
    from matplotlib.lines import Line2D

    published = Line2D([], [], linestyle="", marker="D", markerfacecolor="white", markeredgecolor=_PUBLISHED)
    measured = Line2D([], [], color=_MEASURED, marker="o", linewidth=2)
    return [measured, published], ["measured", "published"]
