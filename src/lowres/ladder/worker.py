"""A worker of `lowres.ladder.pool`: trains the cells that it is told on standard input, and reports on standard output.

Lines of JSON: first the errand, then a cell a line. It ends with its standard input, so that it does not outlive who
started it.
"""

import json
import os
import queue
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn


def main() -> int:
    """Works until there is nothing more to be told."""
    told: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(told,), daemon=True).start()
    # What libraries print must not come between the reports: standard output leads to standard error from here on.
    reports = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _work(told, reports)
    except KeyboardInterrupt:
        return 130
    return 0


def _work(told: "queue.SimpleQueue[dict[str, Any]]", reports: Any) -> None:
    first = told.get()
    if first["cores"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, first["cores"])  # before PyTorch counts them

    import torch

    from lowres import recipes
    from lowres.ladder.cells import Cell
    from lowres.ladder.crew import Busy, EpochOver, Errand, Failed, Report, train_cell
    from lowres.training.allocator import keep_memory

    keep_memory()
    torch.set_num_threads(first["threads"])
    data_dir = first["data_dir"]
    errand = Errand(Path(first["out"]), None if data_dir is None else Path(data_dir), first["device"])

    def report(said: Report) -> None:
        match said:
            case EpochOver(_, epoch, seconds):
                values: dict[str, Any] = {"epoch": epoch, "seconds": seconds}
            case Failed(_, reason, code):
                values = {"failed": reason, "code": code}
            case Busy():
                values = {"busy": True}
            case _:
                values = {"done": True}
        reports.write(json.dumps(values) + "\n")
        reports.flush()

    while True:
        asked = told.get()
        cell = Cell(asked["rung"], asked["seed"], recipes.from_dict(asked["recipe"]))
        report(train_cell(errand, cell, report))


def _read(told: "queue.SimpleQueue[dict[str, Any]]") -> None:
    for line in sys.stdin:
        told.put(json.loads(line))
    os._exit(0)  # who started it is gone, perhaps killed: what is kept is whole, and its locks fall


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
