"""The crew of one: this process trains cell after cell."""

from types import TracebackType
from typing import Self

from lowres.ladder.crew import Begun, Errand, Take, Tell, train_cell


class Here:
    """Trains in this process, one cell at a time, with as many threads as PyTorch has.

    Args:
        errand: What all cells share.
    """

    hands = 1

    def __init__(self, errand: Errand) -> None:
        self._errand = errand

    def work(self, take: Take, tell: Tell) -> None:
        """Trains what `take` gives; see `Crew`."""
        while (cell := take()) is not None:
            tell(Begun(cell))
            tell(train_cell(self._errand, cell, tell))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass
