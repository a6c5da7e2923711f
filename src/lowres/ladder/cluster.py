"""The crew of a Ray cluster: each cell is a task with its resources, wherever the cluster finds room.

After each epoch the files of the run folder travel back here, so that what a lost machine had begun goes on elsewhere
from its last checkpoint, and a cell lies in the same place whoever trained it.
"""

import contextlib
import math
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import filelock

import lowres
from lowres import recipes
from lowres.errors import UserError
from lowres.files import expanded
from lowres.ladder import cells
from lowres.ladder.cells import Cell
from lowres.ladder.cores import workers_here
from lowres.ladder.crew import (
    BAD_INPUT,
    FAILED,
    Begun,
    Busy,
    Done,
    EpochOver,
    Errand,
    Failed,
    Lost,
    Report,
    Take,
    Tell,
    hold,
)
from lowres.ladder.errand import Folder, train_away

_REACH = 3.0  # seconds to open a connection
_ANSWER = 20.0  # seconds for the cluster to let another process in
_WAIT = 1.0  # seconds between two looks at what was interrupted or lost


class Cluster:
    """Trains on a Ray cluster.

    Args:
        errand: What all cells share. Data are read on the machines of the cluster, from the same path as here.
        address: HOST:PORT of the cluster's head; "auto": the one that runs on this machine; "": one is started here,
            and stopped in the end.
        workers: Cells at once; None: as many as the cluster has room for.
        cpus: Of each cell, which computes with as many threads.
        gpus: Of each cell; parts share one.

    Raises:
        UserError: Ray is not installed.
    """

    def __init__(self, errand: Errand, address: str, workers: int | None, cpus: int, gpus: float) -> None:
        if workers is not None and workers < 1:
            raise UserError(f"--workers is {workers}, but must be at least 1, or auto")
        if cpus < 1 or not 0 <= gpus < math.inf:
            raise UserError(f"a cell cannot have {cpus} CPUs and {gpus:g} GPUs: one CPU at least, no GPU at least")
        self._errand, self._address, self._cpus, self._gpus = errand, address, cpus, gpus
        self._workers = workers
        self._ray = _import_ray()
        self._tasks: dict[Any, _Task] = {}
        self.hands = workers or 1

    def work(self, take: Take, tell: Tell) -> None:
        """Trains what `take` gives; see `Crew`."""
        while True:
            while len(self._tasks) < self.hands and (cell := take()) is not None:
                tell(self._begin(cell))
            if not self._tasks:
                return
            ready, _ = self._ray.wait(list(self._tasks), num_returns=1, timeout=_WAIT)
            for stream in ready:
                report = self._hear(stream)
                if report is not None:
                    tell(report)

    def _begin(self, cell: Cell) -> Report:
        try:
            guard = hold(self._errand.out, cell)
        except filelock.Timeout:
            return Busy(cell)
        except UserError as error:
            return Failed(cell, str(error), BAD_INPUT)
        if cells.finished(self._errand.out, cell) is not None:
            guard.release()
            return Done(cell)
        begun = cells.begun(self._errand.out, cell)
        folder = None if begun is None else Folder.pack(begun.folder, spare=True)
        options = {"num_cpus": self._cpus, "num_gpus": self._gpus, "max_retries": 0}
        remote = self._ray.remote(**options)(train_away)
        stream = remote.remote(
            recipes.to_dict(cell.recipe),
            folder,
            _data_dir(self._errand, cell.recipe.data),
            self._errand.device,
            self._cpus,
        )
        self._tasks[stream] = _Task(cell, guard, None if begun is None else begun.folder)
        return Begun(cell)

    def _hear(self, stream: Any) -> Report | None:
        """What the task says next."""
        task = self._tasks[stream]
        exceptions = self._ray.exceptions
        try:
            said = self._ray.get(next(stream))
        except StopIteration:
            return self._end(stream, Done(task.cell))
        except exceptions.RuntimeEnvSetupError as error:
            raise UserError(f"the cluster cannot set up lowres: {_line(error)}") from None
        except exceptions.RayTaskError as error:  # a fault of ours: it is told, and the other cells go on
            return self._end(stream, Failed(task.cell, _line(error.cause or error), FAILED))
        except exceptions.RayError as error:
            where = "its worker" if task.worker is None else "process {1} on {0}".format(*task.worker)
            return self._end(stream, Lost(task.cell, f"{where} is lost ({type(error).__name__})"))
        task.worker = said.worker
        if said.failed:
            return self._end(stream, Failed(task.cell, said.failed, said.code))
        try:
            task.keep(self._errand.out, said.folder)
        except OSError as error:
            self._ray.cancel(stream, force=True)
            return self._end(stream, Failed(task.cell, f"cannot keep its run: {error}", BAD_INPUT))
        return EpochOver(task.cell, said.epoch, said.seconds) if said.epoch else None

    def _end(self, stream: Any, report: Report) -> Report:
        self._tasks.pop(stream).guard.release()
        return report

    def __enter__(self) -> Self:
        ray = self._ray
        if ray.is_initialized():
            raise UserError("this process has a connection to Ray already: ray.shutdown() first")
        quiet = {"log_to_driver": False, "logging_level": "error"}
        try:
            if self._address:
                _reach(self._address)
                # The workers get this very lowres, whatever is installed there.
                package = {"py_modules": [str(Path(lowres.__file__).parent)]}
                ray.init(address=self._address, runtime_env=package, **quiet)
            else:
                count = self._workers or max(1, workers_here("cpu") // self._cpus)
                ray.init(address="local", num_cpus=count * self._cpus, include_dashboard=False, **quiet)
        except UserError:
            raise
        except Exception as error:  # Ray raises many kinds
            raise UserError(f"Ray cannot {self._attempt()}: {_line(error)}") from None
        self._size()
        return self

    def _attempt(self) -> str:
        return f"join the cluster {self._address}" if self._address else "start a cluster here"

    def _size(self) -> None:
        """How many cells the cluster has room for.

        Raises:
            UserError: For none.
        """
        there = self._ray.cluster_resources()
        room = int(there.get("CPU", 0) // self._cpus)
        if self._gpus:
            room = min(room, int(there.get("GPU", 0) / self._gpus + 1e-6))
        if room < 1:
            self._ray.shutdown()
            raise UserError(
                f"the cluster has {there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g} GPUs, but a cell asks for "
                f"{self._cpus} and {self._gpus:g}: lower --cpus and --gpus"
            )
        self.hands = min(room, self._workers or room)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream, task in self._tasks.items():
            with contextlib.suppress(Exception):  # on a cluster that is gone there is nothing to cancel
                self._ray.cancel(stream, force=True)
            task.guard.release()
        self._tasks.clear()
        self._ray.shutdown()


class _Task:
    """A cell under way, and where its files go."""

    def __init__(self, cell: Cell, guard: filelock.BaseFileLock, folder: Path | None) -> None:
        self.cell, self.guard, self._folder = cell, guard, folder
        self.worker: tuple[str, int] | None = None

    def keep(self, out: Path, folder: Folder) -> None:
        """Writes what has come, into a folder that no other run has."""
        if self._folder is None:
            place = out / cells.FOLDER / self.cell.name
            self._folder, number = place / folder.name, 1
            while self._folder.exists():
                number += 1
                self._folder = place / f"{folder.name}-{number}"
        folder.unpack(self._folder)


def _import_ray() -> Any:
    # No inquiry of ours is reported to anybody, and workers run in the environment that this program runs in.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ModuleNotFoundError:
        raise UserError("--on ray needs Ray, which is not installed: pip install ray") from None
    return ray


def _reach(address: str) -> None:
    """Lets another process join the cluster first, for where nobody answers Ray would try for minutes.

    Raises:
        UserError: None does.
    """
    if address == "auto":
        return  # Ray looks for processes on this machine, which is quick
    found = re.fullmatch(r"(?:\[(?P<v6>[0-9a-fA-F:]+)\]|(?P<host>[^:/\s]+)):(?P<port>\d{1,5})", address)
    if found is None:
        raise UserError(
            f"--address is {address!r}, but must be HOST:PORT of the cluster's head as `ray start --head` shows it, "
            "given on a machine of the cluster; or auto"
        )
    host, port = found["v6"] or found["host"], int(found["port"])
    try:
        socket.create_connection((host, port), timeout=_REACH).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"no Ray cluster at {address} ({reason}): is it up? `ray status --address {address}`") from None
    join = f"import ray; ray.init(address={address!r}, log_to_driver=False, logging_level='error')"
    try:
        done = subprocess.run(
            [sys.executable, "-c", join], capture_output=True, text=True, timeout=_ANSWER, check=False
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"what listens at {address} does not answer as a Ray cluster: is that its head?") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise UserError(f"cannot join the Ray cluster at {address}: {lines[-1]}")


def _data_dir(errand: Errand, data: str) -> str:
    """Where the data lie, said so that it holds in any folder; folders of images are named from here."""
    usual = Path() if data.startswith("folder:") else Path(os.environ.get("LOWRES_DATA_DIR") or "data")
    found = errand.data_dir or usual
    return str(expanded(found).resolve())


def _line(error: BaseException) -> str:
    """An error's own words, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else 'no reason given'}"
