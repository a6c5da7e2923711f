"""The crew of several processes on this machine: each trains cells of its own, on cores of its own.

Workers are new programs (`lowres.ladder.worker`), never forks, and are spoken to in lines of JSON. One that dies is
replaced; what it trained is reported lost and goes on from the last checkpoint.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import lowres
from lowres import recipes
from lowres.ladder.cells import Cell
from lowres.ladder.cores import share_out
from lowres.ladder.crew import Begun, Busy, Done, EpochOver, Errand, Failed, Lost, Report, Take, Tell

_PATIENCE = 20.0  # seconds that a worker has to end its run properly


class Pool:
    """Trains in several processes at once.

    On CPUs each is pinned to its own cores, where the system can pin, with as many threads as it has cores; on a GPU
    all share it.

    Args:
        errand: What all cells share.
        workers: How many processes.
        kind: Of device: "cpu", "cuda", "mps".

    Raises:
        UserError: There are more workers than cores, on CPUs.
    """

    def __init__(self, errand: Errand, workers: int, kind: str = "cpu") -> None:
        cores, threads = share_out(workers, kind)
        self.hands = workers
        self._heard: queue.SimpleQueue[tuple[_Worker, dict[str, Any]]] = queue.SimpleQueue()
        self._workers = [_Worker(errand, own, threads, self._heard) for own in cores]

    def work(self, take: Take, tell: Tell) -> None:
        """Trains what `take` gives; see `Crew`."""
        while True:
            for worker in self._workers:
                if worker.cell is None and (cell := take()) is not None:
                    worker.give(cell)
                    tell(Begun(cell))
            if all(worker.cell is None for worker in self._workers):
                return
            with contextlib.suppress(queue.Empty):  # with a limit, so that an interruption is heard on Windows, too
                worker, said = self._heard.get(timeout=1.0)
                report = worker.understand(said)
                if report is not None:
                    tell(report)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.dismiss()
        for worker in self._workers:
            worker.see_off()


class _Worker:
    """A process, started when it has something to do."""

    def __init__(self, errand: Errand, cores: list[int], threads: int, heard: queue.SimpleQueue[Any]) -> None:
        self.cell: Cell | None = None
        self._errand, self._cores, self._threads, self._heard = errand, cores, threads, heard
        self._process: subprocess.Popen[str] | None = None

    def give(self, cell: Cell) -> None:
        self.cell = cell
        if self._process is None or self._process.poll() is not None:
            self._start()
        self._say({"rung": cell.rung, "seed": cell.seed, "recipe": recipes.to_dict(cell.recipe)})

    def understand(self, said: dict[str, Any]) -> Report | None:
        """What a line of the worker means; None: nothing to be told."""
        cell = self.cell
        if "gone" in said:
            if self._process is None or said["gone"] != self._process.pid:
                return None  # one that was replaced before it was heard of
            self.cell = None
            code = self.see_off()
            return None if cell is None else Lost(cell, f"its worker died ({_cause(code)})")
        if cell is None:
            return None
        if "epoch" in said:
            return EpochOver(cell, said["epoch"], said["seconds"])
        self.cell = None
        if "failed" in said:
            return Failed(cell, said["failed"], said["code"])
        return Busy(cell) if "busy" in said else Done(cell)

    def dismiss(self) -> None:
        """Has it end its run as an interrupted one, if it has one; else just end."""
        if self._process is not None:
            with contextlib.suppress(OSError):
                self._process.terminate()

    def see_off(self) -> int | None:
        """Waits for its end; how it came."""
        process, self._process = self._process, None
        if process is None:
            return None
        try:
            code = process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        return code

    def _start(self) -> None:
        threads = str(self._threads)
        own = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "PYTHONPATH": _search_path()}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "lowres.ladder.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **own},
            text=True,
            encoding="utf-8",
            # Ctrl-C in a terminal reaches the whole group: the pool hears it, and tells its workers.
            start_new_session=True,
        )
        errand = self._errand
        self._say(
            {
                "out": str(errand.out.resolve()),
                "data_dir": None if errand.data_dir is None else str(errand.data_dir),
                "device": errand.device,
                "cores": self._cores,
                "threads": self._threads,
            }
        )
        threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()

    def _say(self, values: dict[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it is gone: the listener says so
            self._process.stdin.write(json.dumps(values) + "\n")
            self._process.stdin.flush()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            for line in process.stdout:
                with contextlib.suppress(ValueError):  # a line that a kill tore
                    self._heard.put((self, json.loads(line)))
        self._heard.put((self, {"gone": process.pid}))


def _search_path() -> str:
    """Where the worker finds this very lowres."""
    return os.pathsep.join(filter(None, [str(Path(lowres.__file__).parents[1]), os.environ.get("PYTHONPATH")]))


def _cause(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
