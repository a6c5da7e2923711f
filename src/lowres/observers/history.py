"""A run's history on disk: one JSON line for each finished epoch, `history.jsonl` in the run folder.

Written by an observer while the run goes on, read back by curves, reports and comparisons. A run that was
killed and resumed has the same lines as one that was left alone, timings apart.
"""

import dataclasses
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lowres.errors import UserError
from lowres.files import atomic
from lowres.training.events import EpochDone, Event, Started


class History:
    """Observer that appends each finished epoch to a file, on the disk before it returns.

    When a run starts after k finished epochs, lines of later epochs are dropped, and so is a last line that a
    kill or a full disk tore: the run trains those epochs again and writes them again. For that to leave no
    gap, the loop tells of an epoch before it saves the checkpoint that counts it.

    Args:
        path: The file, as a rule `history.jsonl` in the run folder. Its folder is created.

    Example:
        >>> history = History(Path("runs/mine/history.jsonl"))  # doctest: +SKIP
        >>> train(recipe, observers=[history])  # doctest: +SKIP
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, event: Event) -> None:
        """Takes notice of starts and of finished epochs.

        Raises:
            UserError: A resumed run's file holds an unreadable line other than a torn last one.
        """
        match event:
            case Started():
                _keep(self.path, event.epoch)
            case EpochDone():
                _append(self.path, event)


def read_history(path: Path) -> list[EpochDone]:
    """Reads a run's history, also that of a run still going or killed while it wrote.

    Args:
        path: A `history.jsonl`.

    Returns:
        The finished epochs in the order of the file. A torn last line is left out.

    Raises:
        UserError: There is no such file, or a line is no epoch; the message has its number.
    """
    return [epoch for _, epoch in _whole_lines(path)]


def _append(path: Path, epoch: EpochDone) -> None:
    with path.open("ab") as file:
        file.write(_line(epoch))
        file.flush()
        os.fsync(file.fileno())


def _keep(path: Path, epochs: int) -> None:
    """Cuts the file back to the whole lines of the first `epochs` epochs; makes it if it is missing."""
    before = path.read_bytes() if path.exists() else None
    kept = b"" if before is None else b"".join(line + b"\n" for line, e in _whole_lines(path) if e.epoch <= epochs)
    if kept != before:
        with atomic(path) as temporary:
            temporary.write_bytes(kept)


def _whole_lines(path: Path) -> Iterator[tuple[bytes, EpochDone]]:
    """Each line, without its end, and the epoch it holds."""
    try:
        *complete, last = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        raise UserError(f"no history at {path}: give the history.jsonl of a run that has begun") from None
    except OSError as error:
        raise UserError(f"cannot read the history {path}: {error.strerror}") from None
    for number, line in enumerate([*complete, last], start=1):
        if not line.strip():
            continue
        try:
            yield line, _parse(line)
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            # A line that lacks its end was being written at a kill. A part of a JSON object is never JSON, so
            # a line that lacks nothing but its end is read like any other.
            if number == len(complete) + 1:
                return
            problem = f"no {error} in it" if isinstance(error, KeyError) else "not an epoch of a run"
            raise UserError(f"{path}, line {number}: {problem}; delete the line to read the others") from None


def _line(epoch: EpochDone) -> bytes:
    # JSON has no nan and no infinity, yet a run that diverges has both: they are written as strings.
    values = {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in dataclasses.asdict(epoch).items()
    }
    return json.dumps(values, allow_nan=False).encode() + b"\n"


def _parse(line: bytes) -> EpochDone:
    """The epoch of one line. Names it does not know are passed over, so that later versions can add some."""
    values = json.loads(line.decode())
    return EpochDone(**{field.name: _value(field, values) for field in dataclasses.fields(EpochDone)})


def _value(field: "dataclasses.Field[Any]", values: dict[str, Any]) -> Any:
    required = field.default is dataclasses.MISSING
    value = values[field.name] if required else values.get(field.name, field.default)
    if field.type in (int, str):
        if type(value) is not field.type:
            raise TypeError
        return value
    if value is None and field.type is not float:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    return float(value)
