"""The curves of a run, `curves.png` in its folder: accuracy, loss and learning rate over the epochs.

Drawn from the history file, so that a resumed run continues its curves, and anybody can draw them again.
"""

import contextlib
import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lowres.errors import UserError
from lowres.files import atomic
from lowres.observers.history import read_history
from lowres.training.events import EpochDone, Event, Finished, Started, Stopped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_EVALUATION = "#1b5fb4"
_BEFORE_AVERAGING = "#74a3dc"
_TRAINING = "#e0781e"
_PUBLISHED = "#4d7c3a"
_INK = "#26292e"
_MUTED = "#6b7178"
_GRID = "#e7e9ec"

_LEFT, _RIGHT = 0.07, 0.79  # of the panels, as shares of the picture's width
_HEIGHT, _DPI = 7.6, 150  # of the picture, in inches, and its pixels an inch
_LABEL_INCHES = 0.19  # between the middles of two labels
_CEILING = 1.05  # the highest a label stands, as a share of its panel's height
_FEW = 30  # so few points are marked, each

_PAUSE = 5.0  # seconds between two drawings, at the least
_SHARE = 50  # and as many times what a drawing costs: watching takes no more than 2 % of a run of short epochs


class Curves:
    """Observer that redraws a run's curves as it goes on, at most every few seconds, and always at its end.

    Args:
        history_path: The file that a `History` observer before this one writes.
        png_path: The picture, replaced as a whole each time.
        published: The accuracy that the recipe's source reports, in percent, drawn as a thin dashed line.
    """

    def __init__(self, history_path: Path, png_path: Path, published: float | None = None) -> None:
        self.history_path = history_path
        self.png_path = png_path
        self.published = published
        self._title = ""
        self._epochs: int | None = None
        self._next = 0.0

    def __call__(self, event: Event) -> None:
        """Draws where it is time to."""
        match event:
            case Started():
                self._title, self._epochs, self._next = event.name, event.epochs, 0.0
            case EpochDone() if time.monotonic() >= self._next:
                self._draw()
            case Finished() | Stopped():
                self._draw()

    def _draw(self) -> None:
        history = read_history(self.history_path) if self.history_path.exists() else []
        if not history:
            return
        import matplotlib.figure  # noqa: F401  here, so that its loading is not counted as drawing

        begun = time.monotonic()
        # A viewer that shows the picture may keep it from being replaced on Windows, a disk may be full: no reason to
        # end a run, nor to hide the one it ends for.
        with contextlib.suppress(OSError):
            draw_curves(history, self.png_path, title=self._title, epochs=self._epochs, published=self.published)
        ended = time.monotonic()
        self._next = ended + max(_PAUSE, _SHARE * (ended - begun))


def draw_curves(
    history: Sequence[EpochDone],
    path: Path,
    *,
    title: str = "",
    epochs: int | None = None,
    published: float | None = None,
) -> None:
    """Draws accuracy, loss and learning rate over the epochs, the last figures beside their curves.

    Equal histories give equal files, byte for byte, with the same matplotlib.

    Args:
        history: Finished epochs, at least one.
        path: The PNG to write, atomically; 1320 x 1140 pixels.
        title: What was trained; as a rule the recipe's name.
        epochs: How many epochs the run is to have, for the horizontal axis; None: as many as it has.
        published: An accuracy to compare with, in percent.

    Raises:
        UserError: The history is empty.

    Example:
        >>> draw_curves(read_history(Path("history.jsonl")), Path("curves.png"))  # doctest: +SKIP
    """
    if not history:
        raise UserError(f"no epoch is finished yet, so there are no curves to draw in {path}")
    # The object API: no pyplot, hence no window, no backend and no figure kept in the caller's process.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    last = history[-1].epoch
    total = max(epochs or last, last)
    figure = Figure(figsize=(8.8, _HEIGHT), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    figure.subplots_adjust(left=_LEFT, right=_RIGHT, top=0.885, bottom=0.07, hspace=0.24)
    figure.text(_LEFT, 0.95, title or "training", fontsize=15, fontweight="bold", color=_INK, parse_math=False)
    progress = f"epoch {last} of {total}" if last < total else "1 epoch" if last == 1 else f"{last} epochs"
    figure.text(_RIGHT, 0.95, progress, fontsize=11, color=_MUTED, ha="right")

    accuracy, loss, rate = figure.subplots(3, 1, sharex=True, height_ratios=(10, 7, 2.2))
    _panel(accuracy, "accuracy, %", "{:.2f} %", _accuracies(history, published), spikes="low")
    _panel(loss, "loss, nats", "{:.4f}", _losses(history), spikes="high")
    _panel(rate, "learning rate", "{:.3g}", [_Line("", _MUTED, tuple((e.epoch, e.rate) for e in history))])
    rate.set_xlim(0, total)
    rate.set_xlabel("epoch", color=_MUTED, fontsize=10)
    rate.tick_params(labelbottom=True)
    rate.xaxis.get_major_locator().set_params(integer=True)

    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=_DPI, metadata={"Software": None})


@dataclass(frozen=True)
class _Line:
    """One curve of a panel: its points (epoch, value), or a single value that holds for all epochs."""

    name: str
    colour: str
    points: tuple[tuple[int, float], ...] = ()
    constant: float | None = None

    @property
    def last(self) -> float:
        return self.points[-1][1] if self.constant is None else self.constant


def _accuracies(history: Sequence[EpochDone], published: float | None) -> list[_Line]:
    lines = _lines(
        history,
        [(e.epoch, e.train_accuracy) for e in history],
        [(e.epoch, e.accuracy) for e in history if e.accuracy is not None],
        [(e.epoch, e.average_accuracy) for e in history if e.average_accuracy is not None],
    )
    if published is not None:
        lines.append(_Line("published", _PUBLISHED, constant=published))
    return lines


def _losses(history: Sequence[EpochDone]) -> list[_Line]:
    return _lines(
        history,
        [(e.epoch, e.train_loss) for e in history],
        [(e.epoch, e.loss) for e in history if e.loss is not None],
        [(e.epoch, e.average_loss) for e in history if e.average_loss is not None],
    )


def _lines(
    history: Sequence[EpochDone],
    trained: Sequence[tuple[int, float]],
    evaluated: Sequence[tuple[int, float]],
    averaged: Sequence[tuple[int, float]],
) -> list[_Line]:
    """The curves there are; the strong one is of the weights that are kept."""
    colour = _BEFORE_AVERAGING if averaged else _EVALUATION
    lines = [
        _Line("train", _TRAINING, tuple(trained)),
        _Line(history[-1].evaluated_on, colour, tuple(evaluated)),
        _Line("averaged", _EVALUATION, tuple(averaged)),
    ]
    return [line for line in lines if line.points]


def _panel(
    axes: "Axes",
    heading: str,
    figure: str,
    lines: Sequence[_Line],
    spikes: Literal["low", "high", "none"] = "none",
) -> None:
    """Fills one panel: the curves, and to the right of them their names and last figures."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=10, labelcolor=_MUTED)
    axes.set_title(heading, loc="left", fontsize=11, color=_INK, pad=7)
    for line in lines:
        _draw_line(axes, line)
    bottom, top = _limits(lines, spikes)
    axes.set_ylim(bottom, top)

    places = [(line.last - bottom) / (top - bottom) if math.isfinite(line.last) else 1.0 for line in lines]
    gap = _LABEL_INCHES / (_HEIGHT * axes.get_position().height)
    for line, place in zip(lines, _spread(places, gap), strict=True):
        axes.text(
            1.025,
            place,
            f"{line.name} {figure.format(line.last)}".strip(),
            transform=axes.transAxes,
            va="center",
            fontsize=10.5,
            color=line.colour,
            fontweight="bold" if line.colour == _EVALUATION else "normal",
        )


def _draw_line(axes: "Axes", line: _Line) -> None:
    if line.constant is not None:
        axes.axhline(line.constant, color=line.colour, linewidth=1, linestyle=(0, (5, 4)))
        return
    epochs, values = zip(*line.points, strict=True)
    important = line.colour == _EVALUATION
    axes.plot(
        epochs,
        values,
        color=line.colour,
        linewidth=1.9 if important else 1.4,
        zorder=4 if important else 3,
        solid_joinstyle="round",
        marker="o" if len(epochs) <= _FEW else "",
        markersize=3,
    )
    axes.plot(epochs[-1:], values[-1:], "o", color=line.colour, markersize=5, clip_on=False, zorder=5)


def _limits(lines: Sequence[_Line], spikes: str) -> tuple[float, float]:
    """The range of all values but the 2 % that stick out where spikes are usual; last values never do."""
    last = [line.last for line in lines if math.isfinite(line.last)]
    ordered = sorted([value for line in lines for _, value in line.points if math.isfinite(value)] + last)
    if not ordered:
        return 0.0, 1.0
    aside = int(0.02 * len(ordered))
    bottom = min(ordered[aside if spikes == "low" else 0], *last, math.inf)
    top = max(ordered[-1 - aside if spikes == "high" else -1], *last, -math.inf)
    if spikes == "low":
        span = max(top - bottom, 10.0)
        return max(top - 1.04 * span, 0.0), top + 0.04 * span
    return 0.0, 1.05 * top or 1.0


def _spread(places: Sequence[float], gap: float) -> list[float]:
    """Moves labels apart by at least `gap`, keeping their order; within the panel if they fit."""
    order = sorted(range(len(places)), key=places.__getitem__)
    ordered = [places[i] for i in order]
    # The mean of pushing everything up and pushing everything down keeps the gaps and moves no label far.
    middle = [(a + b) / 2 for a, b in zip(_up(ordered, gap), _down(ordered, gap), strict=True)]
    inside = _down([*middle[:-1], min(middle[-1], _CEILING)], gap)
    inside = _up([max(inside[0], 0.0), *inside[1:]], gap)
    return [place for _, place in sorted(zip(order, inside, strict=True))]


def _up(ordered: Sequence[float], gap: float) -> list[float]:
    return list(itertools.accumulate(ordered, lambda below, place: max(place, below + gap)))


def _down(ordered: Sequence[float], gap: float) -> list[float]:
    return list(itertools.accumulate(reversed(ordered), lambda above, place: min(place, above - gap)))[::-1]
