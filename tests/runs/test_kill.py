"""Real processes, really killed: twenty runs end by SIGKILL at random moments and are resumed."""

import dataclasses
import multiprocessing
import random
import shutil
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from lowres.runs import load_run, train
from lowres.runs.folder import RECIPE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="needs a fork server"),
]


def begun(out: Path) -> Path | None:
    """The run in a folder, if it has come so far that it can be resumed."""
    runs = [path.parent for path in out.glob(f"*/{RECIPE}")]
    return next((run for run in runs if any(run.glob("checkpoint*.pt"))), None)


def killed(process: BaseProcess, moment: float) -> bool:
    """Kills a process after so many seconds; whether it was still at work then."""
    process.join(moment)
    at_work = process.is_alive()
    process.kill()
    process.join()
    return at_work


@pytest.fixture(scope="module")
def server():
    """Forks processes that have imported everything already, so that twenty deaths do not take twenty imports."""
    context = multiprocessing.get_context("forkserver")
    late = ["torch._dynamo", "matplotlib.figure", "matplotlib.backends.backend_agg"]  # which PyTorch and curves import
    context.set_forkserver_preload(["lowres.runs", "lowres.observers", "scipy.stats", "sklearn.datasets", *late])
    return context


def test_twenty_runs_killed_at_random_moments_end_with_the_weights_of_one_left_alone(server, small, tmp_path):
    small = dataclasses.replace(small, held_out=900)  # few steps: what is killed is the keeping of them

    def start(out: Path) -> BaseProcess:
        what = {"recipe": small, "out": out} if begun(out) is None else {"resume": begun(out)}
        process = server.Process(target=train, kwargs={**what, "device": "cpu"})
        process.start()
        return process

    alone = tmp_path / "alone"
    start(alone).join()  # the first pays for what is loaded once
    started = time.monotonic()
    start(tmp_path / "timed").join()
    duration = time.monotonic() - started
    (path,) = alone.iterdir()
    expected = (path / "model.safetensors").read_bytes()
    moments = random.Random(0)
    for i in range(20):
        out = tmp_path / f"run{i}"
        moment = moments.uniform(0, duration)
        while not killed(start(out), moment):  # it was faster than the clock said: again, and sooner
            shutil.rmtree(out)
            moment *= 0.7
        while begun(out) is None or load_run(begun(out)).result is None:
            killed(start(out), moments.uniform(duration / 2, 3 * duration))
        done = [p for p in out.iterdir() if (p / "model.safetensors").exists()]
        assert [(p / "model.safetensors").read_bytes() == expected for p in done] == [True]
        assert [e.epoch for e in load_run(done[0]).history()] == [1, 2, 3]
