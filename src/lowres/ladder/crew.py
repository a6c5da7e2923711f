"""Who trains a ladder's cells: one small protocol, kept by `Here`, `Pool` and `Cluster`.

A crew takes cells until there are none and reports what becomes of each. What to do about it (try again, tell the
user, judge) is the foreman's (`lowres.ladder.foreman`).
"""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import filelock

from lowres.errors import UserError
from lowres.ladder import cells
from lowres.ladder.cells import Cell
from lowres.runs import train
from lowres.training.events import EpochDone, Event
from lowres.training.loop import Diverged

LOCK = ".lock"
FAILED, BAD_INPUT = 1, 2  # exit codes


@dataclass(frozen=True)
class Errand:
    """What all cells of a sitting share.

    Attributes:
        out: The folder of all ladders.
        data_dir: Where the data lie, as for `lowres.train`.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
    """

    out: Path
    data_dir: Path | None = None
    device: str = "auto"


@dataclass(frozen=True)
class Begun:
    """Somebody trains the cell now."""

    cell: Cell


@dataclass(frozen=True)
class EpochOver:
    """An epoch of the cell is done and kept.

    Attributes:
        cell: Which.
        epoch: Finished epochs.
        seconds: That this one took.
    """

    cell: Cell
    epoch: int
    seconds: float


@dataclass(frozen=True)
class Done:
    """The cell has its result."""

    cell: Cell


@dataclass(frozen=True)
class Busy:
    """Another process trains the cell: its result will come."""

    cell: Cell


@dataclass(frozen=True)
class Lost:
    """Who trained the cell is gone, however that came; the last checkpoint is kept."""

    cell: Cell
    reason: str


@dataclass(frozen=True)
class Failed:
    """The cell cannot be trained, and trying again would not help.

    Attributes:
        cell: Which.
        reason: One line.
        code: 1 where the training went wrong (it diverged), 2 where the input is bad.
    """

    cell: Cell
    reason: str
    code: int


Report = Begun | EpochOver | Done | Busy | Lost | Failed
Take = Callable[[], Cell | None]
Tell = Callable[[Report], None]


class Crew(Protocol):
    """Trains cells, one or several at once.

    Attributes:
        hands: Cells it works on at once.
    """

    hands: int

    def work(self, take: Take, tell: Tell) -> None:
        """Trains what `take` gives until it gives None and nothing is under way.

        Every cell that was taken ends in `Done`, `Busy`, `Lost` or `Failed`. `take` may have cells again after one
        was lost.
        """

    def __enter__(self) -> Self:
        """Starts what it needs."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops everybody who still works; finished epochs are kept."""


def train_cell(errand: Errand, cell: Cell, tell: Tell) -> Report:
    """Trains a cell in this process, or what is left of it, unless another process does; says how that ended."""
    try:
        guard = hold(errand.out, cell)
    except filelock.Timeout:
        return Busy(cell)
    except UserError as error:
        return Failed(cell, str(error), BAD_INPUT)
    try:
        if cells.finished(errand.out, cell) is None:
            _train(errand, cell, tell)
    except Diverged as error:
        return Failed(cell, str(error), FAILED)
    except UserError as error:
        return Failed(cell, str(error), BAD_INPUT)
    except Exception as error:  # a fault of ours: it is told, and the other cells go on
        traceback.print_exc()
        return Failed(cell, f"{type(error).__name__}: {error}", FAILED)
    finally:
        guard.release()
    return Done(cell)


def hold(out: Path, cell: Cell) -> filelock.BaseFileLock:
    """The lock of a cell, taken: to be released, and it falls with the process, however that ends.

    Raises:
        filelock.Timeout: Another process has it.
        UserError: Its folder cannot be written.
    """
    place = out / cells.FOLDER / cell.name
    try:
        place.mkdir(parents=True, exist_ok=True)
        guard = filelock.FileLock(place / LOCK)
        guard.acquire(timeout=0)
    except filelock.Timeout:  # an OSError, too
        raise
    except OSError as error:
        raise UserError(f"cannot write in {place}: {error.strerror}") from None
    return guard


def _train(errand: Errand, cell: Cell, tell: Tell) -> None:
    begun = cells.begun(errand.out, cell)

    def watch(event: Event) -> None:
        if isinstance(event, EpochDone):
            tell(EpochOver(cell, event.epoch, event.seconds))

    train(
        None if begun else cell.recipe,
        resume=begun.folder if begun else None,
        data_dir=errand.data_dir,
        out=errand.out / cells.FOLDER / cell.name,
        device=errand.device,
        observers=[watch],
    )
