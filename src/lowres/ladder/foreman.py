"""Hands a ladder's cells to a crew, tries lost ones again, keeps to the time there is, and tells how it goes."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lowres.ladder import cells
from lowres.ladder.cells import Cell
from lowres.ladder.crew import FAILED, Begun, Busy, Crew, Done, EpochOver, Failed, Lost, Report
from lowres.runs import Run

TRIES = 3  # of a cell whose worker is lost
_WAIT = 2.0  # seconds between two looks at cells that other processes train

State = Literal["begun", "epoch", "finished", "lost", "failed"]


@dataclass(frozen=True)
class Progress:
    """Where a ladder stands.

    Attributes:
        done: Finished cells.
        total: All cells that are wanted so far.
        cell: The one that something is told of.
        epoch: Its finished epochs.
        accuracy: Its last-epoch test accuracy in percent, once it has finished.
        left: Seconds that all missing cells will take yet; None before anything is known.
        state: What happened to the cell.
        reason: Why it was lost or failed, in a line; else "".
    """

    done: int
    total: int
    cell: Cell
    epoch: int
    accuracy: float | None
    left: float | None
    state: State = "epoch"
    reason: str = ""


class Foreman:
    """One sitting at a ladder: what is left, how long it takes, what went wrong.

    Args:
        out: The folder of all ladders.
        crew: Who trains.
        tell: Told whenever something has happened to a cell.
        deadline: No cell is begun that will not be done by then, of `time.monotonic`; None: there is time.
    """

    def __init__(self, out: Path, crew: Crew, tell: Callable[[Progress], None], deadline: float | None = None) -> None:
        self.failures: dict[Cell, Failed] = {}
        self.late: set[Cell] = set()  # those that would not be done in time; what takes less may still be
        self._out, self._crew, self._tell, self._deadline = out, crew, tell, deadline
        self._missing: list[Cell] = []
        self._queue: list[Cell] = []
        self._epochs: dict[Cell, int] = {}  # finished ones of cells under way
        self._losses: Counter[Cell] = Counter()
        self._seconds: dict[str, float] = {}  # an epoch takes, by recipe
        self._done = 0

    def run(self, plan: cells.Plan) -> None:
        """Trains until nothing is missing that can be had in time.

        Cells that other processes train meanwhile are left to them, and waited for.
        """
        for run in plan.done.values():
            self._learn(run)
        self._done = len(plan.done)
        self._missing = [cell for cell in plan.missing if cell not in self.failures]
        while left := [cell for cell in self._missing if cell not in self.late]:
            self._queue = list(left)
            self._crew.work(self._take, self._hear)
            if left == [cell for cell in self._missing if cell not in self.late]:
                time.sleep(_WAIT)

    def seconds(self, cell: Cell) -> float | None:
        """What a cell takes from its beginning, as far as that is known."""
        if not self._seconds:
            return None
        usual = sum(self._seconds.values()) / len(self._seconds)
        return self._seconds.get(cells.recipe_key(cell.recipe), usual) * cell.recipe.epochs

    def _take(self) -> Cell | None:
        """The next cell that is missing and fits into the time; None where there is none just now."""
        while self._queue:
            cell = self._queue.pop(0)
            if self._deadline is None or time.monotonic() + self._rest(cell) < self._deadline:
                return cell
            self.late.add(cell)
        return None

    def _rest(self, cell: Cell) -> float:
        """Seconds that the rest of a cell takes, as far as that is known."""
        before = cells.begun(self._out, cell)
        done = 0 if before is None else len(before.history())
        return (self.seconds(cell) or 0.0) * (1 - done / cell.recipe.epochs)

    def _hear(self, report: Report) -> None:
        cell = report.cell
        match report:
            case Begun():
                before = cells.begun(self._out, cell)
                self._epochs[cell] = 0 if before is None else len(before.history())
                self._say(cell, "begun")
            case EpochOver(_, epoch, seconds):
                self._epochs[cell] = epoch
                self._seconds[cells.recipe_key(cell.recipe)] = seconds
                self._say(cell, "epoch")
            case Done():
                run = cells.finished(self._out, cell)
                if run is None:  # somebody cleared the folder meanwhile
                    self._hear(Lost(cell, "its result is gone"))
                    return
                self._learn(run)
                self._leave(cell)
                self._done += 1
                self._say(cell, "finished", float(cells.result_of(run)["accuracy"]))
            case Busy():
                self._epochs.pop(cell, None)
            case Lost(_, reason):
                self._losses[cell] += 1
                if self._losses[cell] >= TRIES:
                    self._hear(Failed(cell, f"{reason}, for the {TRIES}rd time; is memory short?", FAILED))
                    return
                self._say(cell, "lost", reason=reason)
                self._epochs.pop(cell, None)
                self._queue.insert(0, cell)
            case Failed(_, reason, _):
                self.failures[cell] = report
                self._leave(cell)
                self._say(cell, "failed", reason=reason)

    def _leave(self, cell: Cell) -> None:
        self._missing.remove(cell)

    def _learn(self, run: Run) -> None:
        seconds = cells.result_of(run).get("seconds")
        if seconds:
            self._seconds[cells.recipe_key(run.recipe)] = seconds / run.recipe.epochs

    def _say(self, cell: Cell, state: State, accuracy: float | None = None, reason: str = "") -> None:
        epoch = cell.recipe.epochs if state == "finished" else self._epochs.get(cell, 0)
        if state in ("finished", "failed"):
            self._epochs.pop(cell, None)
        total = self._done + len(self._missing) + len(self.failures)
        left = self._left(self._missing)
        self._tell(Progress(self._done, total, cell, epoch, accuracy, left, state, reason))

    def _left(self, missing: Sequence[Cell]) -> float | None:
        """Seconds: the work there is over the hands there are, but no less than the longest cell."""
        each = list(self._each(missing))
        if not missing:
            return 0.0
        return max(sum(each) / min(self._crew.hands, len(each)), *each) if each else None

    def _each(self, missing: Iterable[Cell]) -> Iterable[float]:
        for cell in missing:
            whole = self.seconds(cell)
            if whole is not None:
                yield whole * (1 - self._epochs.get(cell, 0) / cell.recipe.epochs)
