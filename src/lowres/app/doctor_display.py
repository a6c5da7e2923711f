"""How a proof's progress is shown, on standard error: a bar on a terminal, a line a trial elsewhere."""

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from lowres.app.ladder_display import duration
from lowres.doctor.proof.jobs import Standing


class ProofDisplay:
    """Tells a person how a proof goes: trials of the present stage, the budget that is left, each figure.

    Args:
        console: Where to print; by default stderr, with a bar only if that is a terminal.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, force_terminal=sys.stderr.isatty())
        self._stage = ""
        self._bar: Progress | None = None
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}", markup=False),
            )
            self._bar = Progress(*columns, console=self._console, auto_refresh=False, transient=True)
            self._task = self._bar.add_task("", total=None, note="")

    def __call__(self, standing: Standing) -> None:
        """Shows where the proof stands."""
        if standing.line:
            where = f"[{standing.done}/{standing.total}] {standing.line}"
            self._console.print(Text(where), soft_wrap=True, highlight=False)
        elif standing.stage != self._stage and self._bar is None:
            words = f"{standing.stage}: {standing.total} trials; {duration(standing.left)} of the budget left"
            self._console.print(Text(words), soft_wrap=True, highlight=False)
        self._stage = standing.stage
        if self._bar is not None:
            note = f"{duration(standing.left)} left"
            self._bar.update(
                self._task, description=standing.stage, completed=standing.done, total=standing.total, note=note
            )
            self._bar.refresh()

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
