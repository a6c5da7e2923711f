"""How a ladder's progress is shown, on standard error: bars on a terminal, a line a cell elsewhere."""

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from lowres.ladder import Cell
from lowres.ladder import Progress as Standing


class Display:
    """Tells a person how a ladder goes.

    On a terminal, a bar shows the cells of the ladder with the time that is left, and one below it each cell under
    way with its epochs; what has finished stays above them as a line. Elsewhere there are the lines only.

    Args:
        quiet: Say nothing at all.
        console: Where to print; by default stderr, with bars only if that is a terminal.
    """

    def __init__(self, quiet: bool = False, console: Console | None = None) -> None:
        self._quiet = quiet
        self._console = console or Console(stderr=True, force_terminal=sys.stderr.isatty())
        self._bars: _Bars | None = None
        if not quiet and self._console.is_terminal and not self._console.is_dumb_terminal:
            self._bars = _Bars(self._console)

    def __call__(self, standing: Standing) -> None:
        """Shows where the ladder stands."""
        if self._quiet:
            return
        line = _line(standing)
        if line:
            # Text, not markup: names may hold brackets. Soft wrap: reasons are read whole.
            self._console.print(Text(line), soft_wrap=True, highlight=False)
        if self._bars:
            self._bars.show(standing)

    def __enter__(self) -> Self:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()


class _Bars:
    """One bar for the ladder, one for each cell under way."""

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        # Redrawn when something is told: no thread of its own.
        self._progress = Progress(*columns, console=console, auto_refresh=False, transient=True)
        self._ladder = self._progress.add_task("cells", total=None, note="")
        self._cells: dict[Cell, TaskID] = {}

    def show(self, standing: Standing) -> None:
        cell, left = standing.cell, standing.left
        note = "" if left is None else f"{duration(left)} left"
        self._progress.update(self._ladder, completed=standing.done, total=standing.total, note=note)
        if standing.state in ("begun", "epoch"):
            if cell not in self._cells:
                name = f"  {cell.rung}, seed {cell.seed}"
                self._cells[cell] = self._progress.add_task(name, total=cell.recipe.epochs, note="epochs")
            self._progress.update(self._cells[cell], completed=standing.epoch)
        elif cell in self._cells:
            self._progress.remove_task(self._cells.pop(cell))
        self._progress.refresh()

    def start(self) -> None:
        self._progress.start()

    def stop(self) -> None:
        self._progress.stop()


def _line(standing: Standing) -> str:
    """What stays on the screen; "" for what a bar shows well enough."""
    cell, left = standing.cell, standing.left
    where = f"[{standing.done}/{standing.total}] {cell.rung}, seed {cell.seed}: "
    match standing.state:
        case "finished":
            more = left is not None and standing.done < standing.total
            return f"{where}{standing.accuracy:.2f} %" + (f"; {duration(left or 0)} left" if more else "")
        case "lost":
            return f"{where}{standing.reason}; it goes on from its last checkpoint"
        case "failed":
            return f"{where}failed: {standing.reason}"
    return ""


def duration(seconds: float) -> str:
    """Seconds as a person says it: 41 s, 5 min, 3 h 07 min."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{max(0, round(seconds))} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
