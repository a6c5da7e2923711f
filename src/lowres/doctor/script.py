"""Examines a script: starts it in a child process under observation and reads the child's report."""

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lowres.doctor.report import Report
from lowres.doctor.source import read
from lowres.errors import UserError

GRACE = 180.0
"""Seconds by the clock that imports and probes have beyond the program's own time."""

MOST_THREADS = 8
"""With more, so few images a batch only wait for each other."""


def examine_script(
    script: Path,
    arguments: Sequence[str] = (),
    *,
    data_dir: Path | None = None,
    seconds: float = 60.0,
    memory: float = 12.0,
    sheet: Path | None = None,
) -> Report:
    """Examines a script or a notebook, unmodified.

    It runs in a process of its own, cut short to a few batches an epoch: no worker processes, no network, no
    keyboard, writes to a scratch folder. What it does there it may do; this is no protection against a program that
    means harm.

    Args:
        script: The file.
        arguments: What stands behind its name on its command line.
        data_dir: Where data sets lie; None for LOWRES_DATA_DIR, then the folder that the script names.
        seconds: Of the processor, that the program itself may take (by the clock three times as many); what it did
            until then is examined.
        memory: GB that it may take.
        sheet: A PNG to write, of what the network sees.

    Raises:
        UserError: The file is not there or is no Python, or there is no time or memory for it.

    Returns:
        The report. Where the program itself failed, its `problem` says how.
    """
    for name, value, least in (("seconds", seconds, 1.0), ("memory", memory, 1.0)):
        if not least <= value < math.inf:
            raise UserError(f"--{name} is {value:g}, but must be at least {least:g}")
    read(script)
    if data_dir is None and os.environ.get("LOWRES_DATA_DIR"):
        data_dir = Path(os.environ["LOWRES_DATA_DIR"])
    if data_dir is not None and not data_dir.expanduser().exists():
        raise UserError(f"--data-dir {data_dir} does not exist")
    request: dict[str, object] = {
        "script": str(script),
        "target": str(script),
        "home": str(Path.cwd()),
        "arguments": list(arguments),
        "data_dir": str(data_dir.expanduser().resolve()) if data_dir else None,
        "seconds": seconds,
        "memory": memory,
        "threads": _threads(),
        "sheet": str(sheet.expanduser().resolve()) if sheet else None,
    }
    report = _observe(request | {"images": 16})
    if report.traceback and " raises " in report.problem:
        # A program may rely on whole batches; then it gets them.
        whole = _observe(request | {"images": 0})
        report = report if whole.traceback or (report.findings and not whole.seen) else whole
    return report


def _threads() -> int:
    """As many as there are cores for this process; of many, few: batches are small."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if asked.isdecimal():
        return max(1, int(asked))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MOST_THREADS, cores)


def _observe(request: dict[str, object]) -> Report:
    with tempfile.TemporaryDirectory(prefix="lowres-doctor-", ignore_cleanup_errors=True) as folder:
        file = Path(folder) / "request.json"
        file.write_text(json.dumps(request), encoding="utf-8")
        limit = 3 * float(str(request["seconds"])) + GRACE
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "MPLBACKEND": "Agg", "WANDB_MODE": "disabled"}
        environment |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
        with (Path(folder) / "output").open("wb") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", "lowres.doctor.child", str(file)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
            try:
                child.wait(limit)
            except subprocess.TimeoutExpired:
                return _failed(request, f"takes too long: nothing of it was to be seen after {limit:.0f} s")
            finally:
                _end(child)
        report = Path(folder) / "report.json"
        if report.is_file():
            return Report.from_json(json.loads(report.read_text(encoding="utf-8")))
        said = (Path(folder) / "output").read_text(encoding="utf-8", errors="replace").strip()
        last = (said.splitlines() or ["it said nothing"])[-1]
        return _failed(request, f"brought its process down (exit {child.returncode}): {last}", said[-4000:])


def _failed(request: dict[str, object], how: str, traceback: str = "") -> Report:
    problem = f"{request['target']} {how}"
    return Report(str(request["target"]), problem, (), problem=problem, traceback=traceback)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ends the child and the processes that it started."""
    try:
        if hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
    except (ProcessLookupError, PermissionError):
        pass
    child.wait()
