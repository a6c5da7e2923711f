"""Real processes, really killed: twenty runs end by SIGKILL at random moments and are resumed."""

import multiprocessing
import random
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from lowres.recipes import Recipe
from lowres.runs import load_run, train
from lowres.runs.folder import RECIPE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="needs a fork server"),
]


def work(recipe: Recipe, out: Path) -> None:
    """What each process does: goes on with the run in `out`, or begins it."""
    begun = [path for path in out.glob("*") if (path / RECIPE).exists()]
    if begun and (begun[0] / "checkpoint.pt").exists() | (begun[0] / "checkpoint.previous.pt").exists():
        train(resume=begun[0], device="cpu")
    else:
        train(recipe, out=out, device="cpu")


@pytest.fixture(scope="module")
def server():
    """Forks processes that have imported everything already, so that twenty deaths do not take twenty imports."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lowres.runs", "lowres.observers", "scipy.stats", "sklearn.datasets"])
    return context


def test_twenty_runs_killed_at_random_moments_end_with_the_weights_of_one_left_alone(server, small, tmp_path):
    def start(out: Path) -> BaseProcess:
        process = server.Process(target=work, args=(small, out))
        process.start()
        return process

    alone = tmp_path / "alone"
    start(alone).join()  # the first pays for what is loaded once
    begun = time.monotonic()
    second = start(tmp_path / "timed")
    second.join()
    duration = time.monotonic() - begun
    (path,) = alone.iterdir()
    expected = (path / "model.safetensors").read_bytes()
    moments = random.Random(0)
    killed = 0
    for i in range(20):
        out = tmp_path / f"run{i}"
        process = start(out)
        process.join(moments.uniform(0, duration))
        killed += process.is_alive()
        process.kill()
        process.join()
        while not (out.exists() and any(load_run(p).result for p in out.glob("*") if (p / RECIPE).exists())):
            process = start(out)
            process.join(moments.uniform(duration / 2, 3 * duration))
            killed += process.is_alive()
            process.kill()
            process.join()
        done = [p for p in out.iterdir() if (p / "model.safetensors").exists()]
        assert [(p / "model.safetensors").read_bytes() == expected for p in done] == [True]
        assert [e.epoch for e in load_run(done[0]).history()] == [1, 2, 3]
    assert killed >= 20
