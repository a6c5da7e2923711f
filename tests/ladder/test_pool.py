import json
import os
import signal
import subprocess
import sys
import time

import pytest

from lowres.ladder import Ladder, Rung, climb, plan
from lowres.ladder import cores as cores_module
from lowres.ladder import pool as pool_module
from lowres.ladder.cores import NEEDED, cores_here, free_memory, share_out, workers_here
from lowres.ladder.crew import Done, EpochOver, Errand, Failed, Lost

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="kills as POSIX does")


@pytest.fixture
def processes(monkeypatch):
    """The workers that are started, in order."""
    started, start = [], pool_module._Worker._start

    def noted(worker):
        start(worker)
        started.append(worker._process)

    monkeypatch.setattr(pool_module._Worker, "_start", noted)
    return started


@pytest.mark.slow
@POSIX
@pytest.mark.skipif(len(cores_here()) < 2, reason="needs two cores")
def test_a_pool_gives_the_bits_of_one_process_though_a_worker_is_killed(mini, tmp_path, processes, one_thread):
    climb(mini, seeds=1, out=tmp_path / "here", device="cpu")
    told = []

    def tell(standing):
        told.append((standing.state, standing.cell.rung))
        if standing.state == "begun" and len(processes) == 1:
            place = tmp_path / "pool" / "cells" / standing.cell.name
            while not list(place.glob("*/checkpoint.pt")):
                assert processes[0].poll() is None
                time.sleep(0.02)
            os.kill(processes[0].pid, signal.SIGKILL)

    climb(mini, seeds=1, out=tmp_path / "pool", device="cpu", workers=2, tell=tell)
    assert [one for one in told if one[0] == "lost"] == [("lost", "plain")]
    assert told.count(("begun", "plain")) == 2
    assert len(processes) == 3
    assert all(process.poll() is not None for process in processes)
    same_cells(tmp_path / "here", tmp_path / "pool", mini, seeds=1)
    for run in plan(mini, range(1), tmp_path / "pool").done.values():
        assert run.manifest["threads"] == 1
        assert len(list(run.folder.parent.iterdir())) <= 2  # one run folder, and the lock: it went on


def same_cells(here, there, ladder, seeds):
    ours, theirs = plan(ladder, range(seeds), here), plan(ladder, range(seeds), there)
    assert ours.missing == theirs.missing == []
    for index, run in ours.done.items():
        other = theirs.done[index]
        assert (run.folder / "model.safetensors").read_bytes() == (other.folder / "model.safetensors").read_bytes()
        timings = ("seconds", "images_per_second", "evaluation_seconds")
        results = [{k: v for k, v in one.result.items() if k not in timings} for one in (run, other)]
        assert results[0] == results[1]


@pytest.mark.slow
@POSIX
def test_an_interrupted_pool_leaves_no_process_and_goes_on(mini, tmp_path, processes):
    def interrupt(report):
        if isinstance(report, EpochOver):
            raise KeyboardInterrupt

    with pool_module.Pool(Errand(tmp_path, device="cpu"), 1) as pool:
        cells = iter(plan(mini.resized(epochs=3), range(1), tmp_path).missing)
        with pytest.raises(KeyboardInterrupt):
            pool.work(lambda: next(cells, None), interrupt)
    assert processes[0].poll() is not None
    (manifest,) = tmp_path.glob("cells/*/*/manifest.json")
    assert json.loads(manifest.read_text())["outcome"] == "interrupted"


@pytest.mark.slow
@POSIX
def test_workers_import_nothing_from_the_folder_that_they_are_started_in(mini, tmp_path, monkeypatch):
    (tmp_path / "queue.py").write_text("raise SystemExit('mine')\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    reports = []
    with pool_module.Pool(Errand(tmp_path / "out", device="cpu"), 1) as pool:
        cells = iter(plan(mini, range(1), tmp_path / "out").missing[:1])
        pool.work(lambda: next(cells, None), reports.append)
    assert isinstance(reports[-1], Done)


@pytest.mark.slow
@POSIX
def test_workers_end_with_who_started_them(tmp_path):
    """The pool is killed, and cannot tell its workers."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "lowres.ladder.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": pool_module._search_path()},
    )
    worker.stdin.close()
    assert worker.wait(20) == 0
    worker.stdout.close()


@pytest.mark.slow
def test_what_a_worker_cannot_train_is_told(base, tmp_path):
    wild = Ladder("wild", base, (Rung("wild", {"optimizer.lr": 1e30}), Rung("lost", {"weights": "nowhere.pth"})))
    told = []
    with pool_module.Pool(Errand(tmp_path, device="cpu"), 1) as pool:
        cells = iter(plan(wild, range(1), tmp_path).missing)
        pool.work(lambda: next(cells, None), told.append)
    failed = [(report.cell.rung, report.code) for report in told if isinstance(report, Failed)]
    assert failed == [("wild", 1), ("lost", 2)]
    assert "training diverged" in told[1].reason
    assert "nowhere" in told[3].reason


def test_what_a_line_means(mini, tmp_path):
    worker = pool_module._Worker(Errand(tmp_path), [0], 1, None)
    (cell, *_) = plan(mini, range(1), tmp_path).missing
    for said, expected in (
        ({"epoch": 2, "seconds": 1.5}, EpochOver(cell, 2, 1.5)),
        ({"done": True}, Done(cell)),
        ({"failed": "why", "code": 2}, Failed(cell, "why", 2)),
    ):
        worker.cell = cell
        assert worker.understand(said) == expected
        assert worker.cell == (cell if isinstance(expected, EpochOver) else None)


def test_the_end_of_a_process_that_was_replaced_is_not_that_of_the_new_one(mini, tmp_path):
    worker = pool_module._Worker(Errand(tmp_path), [0], 1, None)
    (cell, *_) = plan(mini, range(1), tmp_path).missing
    worker.cell = cell
    worker._process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    assert worker.understand({"gone": worker._process.pid + 1}) is None
    assert worker.cell == cell
    assert worker.understand({"gone": worker._process.pid}) == Lost(cell, "its worker died (exit code 3)")
    assert worker.cell is None


def test_cores_are_shared_out_evenly(monkeypatch):
    monkeypatch.setattr(cores_module, "cores_here", lambda: [0, 2, 4, 6, 8])
    monkeypatch.setattr(cores_module.torch, "get_num_threads", lambda: 5)
    assert share_out(2, "cpu") == ([[0, 2], [4, 6]], 2)
    assert share_out(5, "cpu") == ([[0], [2], [4], [6], [8]], 1)
    assert share_out(8, "cuda") == ([[]] * 8, 1)
    monkeypatch.setattr(cores_module.torch, "get_num_threads", lambda: 1)
    assert share_out(2, "cpu") == ([[0, 2], [4, 6]], 1)


def test_auto_is_a_worker_a_core_where_memory_allows(monkeypatch):
    monkeypatch.setattr(cores_module, "cores_here", lambda: list(range(8)))
    for memory, expected in ((None, 8), (100 * NEEDED, 8), (3.5 * NEEDED, 3), (0.1 * NEEDED, 1)):
        monkeypatch.setattr(cores_module, "free_memory", lambda memory=memory: memory)
        assert workers_here("cpu") == expected
    assert workers_here("cuda") == 1


@pytest.mark.parametrize(
    ("says", "expected"), [("250000 100000", 2), ("50000 100000", 1), ("max 100000", 8), ("9000000 100000", 8), ("", 8)]
)
def test_auto_leaves_a_container_its_share_of_the_processors(monkeypatch, tmp_path, says, expected):
    monkeypatch.setattr(cores_module, "cores_here", lambda: list(range(8)))
    monkeypatch.setattr(cores_module, "GROUP", tmp_path)
    monkeypatch.setattr(cores_module, "_available", lambda: None)
    if says:
        (tmp_path / "cpu.max").write_text(says + "\n")
    assert workers_here("cpu") == expected


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux says")
def test_free_memory_is_some():
    assert 1e7 < free_memory() < 1e14
