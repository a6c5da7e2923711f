import math
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

import pytest

from lowres.errors import UserError
from lowres.ladder import climb, plan
from lowres.ladder import cluster as cluster_module
from lowres.ladder.cluster import Cluster
from lowres.ladder.crew import Errand
from lowres.ladder.errand import Folder, train_away
from lowres.recipes import to_dict

pytest.importorskip("ray")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kills as POSIX does")
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # Ray's own files and sockets
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_killed_ray_workers_cell_goes_on_from_its_checkpoint(mini, tmp_path, monkeypatch, one_thread):
    short = tempfile.mkdtemp(prefix="lr")  # the path of a socket must not be long
    monkeypatch.setenv("RAY_TMPDIR", short)
    crews, told = [], []

    class Watched(Cluster):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            crews.append(self)

    def tell(standing):
        told.append((standing.state, standing.cell.rung, standing.epoch))
        if told[-1] == ("epoch", "plain", 1):
            (worker,) = [task.worker for task in crews[0]._tasks.values() if task.cell == standing.cell]
            os.kill(worker[1], signal.SIGKILL)

    monkeypatch.setattr(cluster_module, "Cluster", Watched)
    longer = mini.resized(epochs=2)
    try:
        climb(longer, seeds=1, out=tmp_path / "ray", device="cpu", on="ray", workers=2, tell=tell)
    finally:
        shutil.rmtree(short, ignore_errors=True)
    climb(longer, seeds=1, out=tmp_path / "here", device="cpu")
    plain = [(state, epoch) for state, rung, epoch in told if rung == "plain"]
    assert plain[:4] == [("begun", 0), ("epoch", 1), ("lost", 1), ("begun", 1)]
    assert plain[4:] == [("epoch", 2), ("finished", 2)]  # not the first epoch again
    ours, theirs = plan(longer, range(1), tmp_path / "here"), plan(longer, range(1), tmp_path / "ray")
    assert theirs.missing == []
    for index, run in ours.done.items():
        other = theirs.done[index]
        assert (run.folder.name, run.folder.parent.name) == (other.folder.name, other.folder.parent.name)
        assert (run.folder / "model.safetensors").read_bytes() == (other.folder / "model.safetensors").read_bytes()
        assert run.result["confusion"] == other.result["confusion"]
        losses = [[record.train_loss for record in one.history()] for one in (run, other)]
        assert losses[0] == losses[1]


def test_a_cell_away_sends_its_folder_after_each_epoch(mini, tmp_path):
    cell = plan(mini.resized(epochs=2), range(1), tmp_path).missing[0]
    words = list(train_away(to_dict(cell.recipe), None, "data", "cpu", 1))
    assert [word.epoch for word in words] == [1, 2, 0]
    assert set(words[0].folder.files) >= {"recipe.json", "manifest.json", "history.jsonl", "checkpoint.pt"}
    assert "recipe.json" not in words[1].folder.files  # it has not changed
    assert "model.safetensors" in words[2].folder.files
    # What came after the first epoch is enough to go on elsewhere, to the same weights.
    for word in words[:1]:
        word.folder.unpack(tmp_path / "kept")
    begun = Folder.pack(tmp_path / "kept")
    again = list(train_away(to_dict(cell.recipe), begun, "data", "cpu", 1))
    assert [word.epoch for word in again] == [2, 0]
    assert again[-1].folder.files["model.safetensors"] == words[-1].folder.files["model.safetensors"]


def test_a_cell_that_cannot_be_trained_away_says_so(mini, tmp_path):
    cell = plan(mini.resized(data="cifar10"), range(1), tmp_path).missing[0]
    (word,) = train_away(to_dict(cell.recipe), None, str(tmp_path), "cpu", 1)
    assert word.code == 2
    assert str(tmp_path) in word.failed


def test_a_folder_keeps_the_checkpoint_before(tmp_path):
    Folder("run", {"checkpoint.pt": b"1"}).unpack(tmp_path)
    Folder("run", {"checkpoint.pt": b"2", "history.jsonl": b"x"}).unpack(tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == b"2"
    assert (tmp_path / "checkpoint.previous.pt").read_bytes() == b"1"
    assert Folder.pack(tmp_path, but={"history.jsonl": b"x"}).files == {"checkpoint.pt": b"2"}
    (tmp_path / "checkpoint.pt").unlink()
    spare = Folder.pack(tmp_path, spare=True)
    assert spare.files["checkpoint.previous.pt"] == b"1"


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("127.0.0.1:{free}", "no Ray cluster at"),
        ("ray://127.0.0.1:10001", "must be HOST:PORT"),
        ("127.0.0.1", "must be HOST:PORT"),
        ("no host:1", "must be HOST:PORT"),
    ],
)
def test_a_cluster_that_is_not_there_is_told_at_once(mini, tmp_path, address, says):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        free = unused.getsockname()[1]
    started = time.monotonic()
    with (
        pytest.raises(UserError, match=says) as error,
        Cluster(Errand(tmp_path), address.format(free=free), None, 1, 0),
    ):
        pytest.fail("there is no cluster")
    assert "\n" not in str(error.value)
    assert time.monotonic() - started < 5


def test_what_listens_but_is_no_cluster_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster_module, "_ANSWER", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with (
            pytest.raises(UserError, match="does not answer as a Ray cluster"),
            Cluster(Errand(tmp_path), address, None, 1, 0),
        ):
            pytest.fail("there is no cluster")


@pytest.mark.parametrize(
    ("asked", "data", "there"),
    [
        (None, "cifar10", "usual"),
        (None, "folder:pets", ""),
        ("mine", "folder:pets", "mine"),
        ("mine", "cifar10", "mine"),
    ],
)
def test_workers_look_for_data_where_they_were_found_here(tmp_path, monkeypatch, asked, data, there):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOWRES_DATA_DIR", "usual")
    errand = Errand(tmp_path, None if asked is None else Path(asked))
    assert cluster_module._data_dir(errand, data) == str(tmp_path / there)


@pytest.mark.parametrize(
    ("workers", "cpus", "gpus"), [(0, 1, 0.0), (None, 0, 0.0), (None, 1, -1.0), (None, 1, math.nan)]
)
def test_resources_that_are_none_are_refused(tmp_path, workers, cpus, gpus):
    with pytest.raises(UserError, match="at least"):
        Cluster(Errand(tmp_path), "", workers, cpus, gpus)


def test_without_ray_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="pip install ray"):
        Cluster(Errand(tmp_path), "", None, 1, 0)
