"""A process that has PyTorch and the images in memory and forks one trial after another, which start at once so.

It reads lines with the path of a request, and writes one with the trial's process and, after its end, one with its
exit code. `Worker` is its other end.
"""

import contextlib
import importlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from typing import IO, Any, Self

FORKS = hasattr(os, "fork")


def main() -> None:
    """Serves until its input ends."""
    importlib.import_module("torchvision")  # so that trials need not
    trial = importlib.import_module("lowres.doctor.proof.trial")

    loaded: dict[str, Any] = {}
    parent = os.getppid()
    answers = sys.stdout
    for line in sys.stdin:
        request = Path(line.strip())
        _load(loaded, json.loads(request.read_text(encoding="utf-8")))
        child = os.fork()
        if not child:
            _become(request.parent)
            code = 0
            try:
                trial.main(str(request), loaded)
            except BaseException:  # told by the last line of its output
                traceback.print_exc()
                code = 1
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        print(f"pid {child}", file=answers, flush=True)
        print(f"exit {_ended(child, parent)}", file=answers, flush=True)


def _ended(child: int, parent: int) -> int:
    """Waits for a trial; its exit code. Where whoever asked for it was killed, it is ended, too."""
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if os.getppid() != parent:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        time.sleep(0.02)


def _become(folder: Path) -> None:
    """A session of its own, without the input, and with the output in a file."""
    os.setsid()
    output = os.open(folder / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nothing), (1, output), (2, output)):
        os.dup2(source, target)


def _load(loaded: dict[str, Any], request: dict[str, Any]) -> None:
    """Reads data sets that the program names, once for all trials."""
    from lowres.data import load_dataset
    from lowres.doctor.serving import plain_splits
    from lowres.errors import UserError

    text = request["source"]
    for name, word in (("cifar100", "CIFAR100"), ("cifar10", "CIFAR10")):
        if word in text.replace("CIFAR100", "" if word == "CIFAR10" else word) and request["data_dir"]:
            with contextlib.suppress(UserError):
                if name not in loaded:
                    loaded[name] = plain_splits(load_dataset(name, Path(request["data_dir"])))


class Lost(Exception):
    """A trial's process ended without a result; the message says how."""


class Worker:
    """Runs trials, one at a time, each in a process of its own with one thread."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="lowres-proof-", ignore_cleanup_errors=True)
        self._server: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str] = queue.Queue()
        self._trial: int | None = None
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ignored: object) -> None:
        self.stop()
        self._folder.cleanup()

    def run(self, request: dict[str, Any], limit: float) -> dict[str, Any]:
        """A trial's result.

        Args:
            request: See `trial.main`.
            limit: Seconds by the clock after which it is ended, with those that its process takes to start.

        Raises:
            Lost: There is no result.
        """
        self._count += 1
        folder = Path(self._folder.name) / str(self._count)
        folder.mkdir()
        file = folder / "request.json"
        file.write_text(json.dumps(request), encoding="utf-8")
        try:
            how = self._forked(file, limit) if FORKS else self._started(file, limit)
            result = folder / "result.json"
            if result.is_file():
                return dict(json.loads(result.read_text(encoding="utf-8")))
            output = folder / "output"
            said = output.read_text(encoding="utf-8", errors="replace").strip() if output.is_file() else ""
            last = (said.splitlines() or [""])[-1]
            raise Lost(f"{how}: {last}" if last and how.startswith("its process ended") else how)
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # a program may save its network after every epoch

    def stop(self) -> None:
        """Ends the trial that is under way, and the server."""
        self._end_trial()
        self._end_server()

    def _end_server(self) -> None:
        server, self._server = self._server, None  # two threads may stop it
        if server is not None:
            server.kill()
            server.wait()
            for pipe in (server.stdin, server.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()

    def _forked(self, file: Path, limit: float) -> str:
        server = self._ready()
        assert server.stdin is not None
        try:
            server.stdin.write(f"{file}\n")
            server.stdin.flush()
        except (OSError, ValueError):
            self.stop()
            return "its process could not be started"
        deadline = time.monotonic() + limit
        while True:
            try:
                line = self._lines.get(timeout=max(0.1, deadline - time.monotonic()))
            except queue.Empty:
                began = self._trial is not None
                self.stop()
                return f"no result after {limit:.0f} s" + ("" if began else ": its process did not start")
            word, _, value = line.partition(" ")
            if word == "pid":
                self._trial = int(value)
            elif word == "exit":
                self._end_trial()  # processes that it left behind
                return f"its process ended with {value.strip()}"
            else:
                self.stop()
                return "its process was ended"

    def _ready(self) -> subprocess.Popen[str]:
        if self._server is None or self._server.poll() is not None:
            self._end_server()  # one that is dead has pipes all the same
            self._lines = queue.Queue()
            self._server = subprocess.Popen(
                [sys.executable, "-c", "from lowres.doctor.proof.nursery import main; main()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                text=True,
            )
            assert self._server.stdout is not None
            threading.Thread(target=_listen, args=(self._server.stdout, self._lines), daemon=True).start()
        return self._server

    def _started(self, file: Path, limit: float) -> str:
        with (file.parent / "output").open("wb") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", "lowres.doctor.proof.trial", str(file)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(),
            )
            try:
                child.wait(limit)
            except subprocess.TimeoutExpired:
                return f"no result after {limit:.0f} s"
            finally:
                child.kill()
                child.wait()
        return f"its process ended with {child.returncode}"

    def _end_trial(self) -> None:
        if self._trial is not None and hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._trial, signal.SIGKILL)
        self._trial = None


def _listen(pipe: IO[str], lines: "queue.Queue[str]") -> None:
    with contextlib.suppress(ValueError, OSError):
        for line in pipe:
            lines.put(line)
    lines.put("closed")


def _environment() -> dict[str, str]:
    own = {"PYTHONDONTWRITEBYTECODE": "1", "MPLBACKEND": "Agg", "WANDB_MODE": "disabled"}
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return os.environ | own | threads | {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
