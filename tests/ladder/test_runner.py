import dataclasses
import json
import multiprocessing
import random
import shutil
import sys
import time
import types
import typing

import filelock
import pytest
import torch

from lowres.data import Batches, content_checksum, load_dataset, stratified_split
from lowres.errors import UserError
from lowres.files import write_json
from lowres.ladder import CellsFailed, Ladder, Rung, Unkept, climb, folder_of, load_ladder, plan
from lowres.ladder import crew as crew_module
from lowres.ladder import foreman as foreman_module
from lowres.ladder import runner as runner_module
from lowres.ladder.cells import cells_of
from lowres.ladder.crew import Failed
from lowres.ladder.here import Here
from lowres.models import create_model
from lowres.recipes import fingerprint, to_dict
from lowres.runs.network import weights_checksum


@pytest.fixture(scope="module")
def climbed(mini, tmp_path_factory):
    """The folder of a climbed ladder of two rungs and three seeds, its table, and what it told."""
    out = tmp_path_factory.mktemp("ladders")
    told = []
    table = climb(mini, out=out, device="cpu", tell=told.append)
    return out, table, told


@pytest.fixture
def copied(climbed, tmp_path):
    """A copy of that folder, to spoil."""
    return shutil.copytree(climbed[0], tmp_path / "ladders")


@pytest.fixture
def no_training(monkeypatch):
    def refuse(*arguments, **options):
        pytest.fail("nothing is to be trained")

    monkeypatch.setattr(crew_module, "train", refuse)


def test_the_table_holds_the_results_of_the_cells(climbed, mini):
    out, table, _ = climbed
    found = plan(mini, range(3), out)
    assert found.missing == []
    assert [(cell.rung, cell.seed) for cell in found.cells[:3]] == [("plain", 0), ("+ smoothing", 0), ("plain", 1)]
    for index, cell in enumerate(found.cells):
        run = found.done[index]
        (row,) = [row for row in table.rows if row.rung == cell.rung]
        assert row.accuracies[cell.seed] == run.result["accuracy"]
        assert fingerprint(run.recipe) == cell.fingerprint
        assert run.recipe.seed == cell.seed
        assert run.folder.parent.name == cell.name
    names = {path.name for path in folder_of(mini, out).iterdir()}
    assert names == {"results.json", "table.md", "table.csv", "ladder.png"}


def test_seeds_are_paired():
    """One seed gives two rungs the same initial weights where shapes agree, the same split and the same order."""
    cells = cells_of(load_ladder("seresnet20"), [0, 1])
    assert [cell.seed for cell in cells] == [0] * 8 + [1] * 8
    mish, squeezed, again = (
        create_model(cell.recipe.model, seed=cell.recipe.seed).state_dict() for cell in (cells[2], cells[3], cells[11])
    )
    shared = [name for name in mish if mish[name].is_floating_point() and mish[name].ndim > 1]
    assert len(shared) > 20
    assert all(torch.equal(mish[name], squeezed[name]) for name in shared)
    assert not any(torch.equal(mish[name], again[name]) for name in shared)
    labels = torch.arange(1000) % 10
    splits = [stratified_split(labels, 100, cell.recipe.seed) for cell in (cells[0], cells[7], cells[8])]
    assert torch.equal(splits[0][1], splits[1][1])
    assert not torch.equal(splits[0][1], splits[2][1])
    images = torch.arange(1000, dtype=torch.uint8).reshape(1000, 1, 1, 1).expand(-1, -1, 8, 8)
    orders = [
        torch.cat([y for _, y in Batches(images, torch.arange(1000), 100, seed=cell.recipe.seed)])
        for cell in (cells[0], cells[7], cells[8])
    ]
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])


def test_progress_is_told_after_every_epoch_and_every_cell(climbed):
    told = climbed[2]
    assert [p.state for p in told] == ["begun", "epoch", "finished"] * 6
    assert [p.done for p in told] == [done for i in range(6) for done in (i, i, i + 1)]
    assert [p.epoch for p in told] == [0, 1, 1] * 6
    assert [p.accuracy is None for p in told] == [True, True, False] * 6
    assert {p.total for p in told} == {6}
    assert all(p.left >= 0 for p in told[1:])
    assert told[-1].left == 0


def test_what_has_finished_is_not_trained_again(copied, climbed, mini, no_training):
    again = climb(mini, out=copied, device="cpu")
    assert again.to_json() == climbed[1].to_json()
    fewer = climb(mini, seeds=[2, 0], out=copied, device="cpu")
    assert fewer.rows[0].accuracies == {s: a for s, a in climbed[1].rows[0].accuracies.items() if s != 1}


def test_ladders_share_equal_cells(copied, climbed, mini, base, no_training):
    other = Ladder("other", mini.recipes()[1], (Rung("smooth"), Rung("not", {"label_smoothing": 0.0})))
    table = climb(other, out=copied, device="cpu")
    assert table.rows[0].accuracies == climbed[1].rows[1].accuracies
    assert table.rows[1].comparison.gain.mean == pytest.approx(-climbed[1].rows[1].comparison.gain.mean)


def test_a_cell_that_another_process_trains_is_left_to_it(copied, climbed, mini, no_training, monkeypatch):
    folder = copied / "cells" / plan(mini, range(3), copied).cells[2].name
    shutil.rmtree(folder)
    folder.mkdir()
    other = filelock.FileLock(folder / ".lock")
    other.acquire()

    def finish(seconds):
        (made,) = (climbed[0] / "cells" / folder.name).glob("*/recipe.json")
        shutil.copytree(made.parent, folder / made.parent.name)
        other.release()

    monkeypatch.setattr(foreman_module.time, "sleep", finish)
    assert climb(mini, out=copied, device="cpu").to_json() == climbed[1].to_json()


def test_a_missing_cell_is_trained_to_the_same_result(copied, climbed, mini):
    cell = plan(mini, range(3), copied).cells[3]
    shutil.rmtree(copied / "cells" / cell.name)
    assert [c.name for c in plan(mini, range(3), copied).missing] == [cell.name]
    assert climb(mini, out=copied, device="cpu").to_json() == climbed[1].to_json()


def test_results_of_another_recipe_in_a_cell_are_refused(copied, mini):
    run = plan(mini, range(3), copied).done[0].folder
    path = run / "recipe.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"clip": 3.0}))
    with pytest.raises(UserError, match=r"results of another recipe: clip is 3.0 there, 0.0 here"):
        climb(mini, out=copied, device="cpu")


def test_results_whose_hash_is_another_are_refused(copied, mini):
    path = plan(mini, range(3), copied).done[0].folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"recipe_sha256": "0" * 64}))
    with pytest.raises(UserError, match="their hashes differ"):
        climb(mini, out=copied, device="cpu")


def test_another_recipe_under_the_same_name_is_refused(copied, mini, base, no_training):
    changed = Ladder("mini", dataclasses.replace(base, clip=3.0), mini.rungs)
    with pytest.raises(UserError, match=r"another recipe for rung 'plain': clip is 0.0 there, 3.0 here"):
        climb(changed, out=copied, device="cpu")


def test_a_rung_that_cannot_be_trained_is_told_before_anything_is(base, tmp_path, no_training):
    high = Ladder("high", base, (Rung("plain"), Rung("odd", {"model_options.shortcut": "C"})))
    with pytest.raises(UserError, match=r"ladder 'high', rung 'odd': .*shortcut"):
        climb(high, out=tmp_path, device="cpu")


def test_results_of_other_machines_merge(climbed, mini, tmp_path, no_training):
    out, table, _ = climbed
    assert climb(mini, out=tmp_path / "here", device="cpu", merge=[out]).to_json() == table.to_json()
    assert climb(mini, out=tmp_path / "here", device="cpu", merge=[out]).to_json() == table.to_json()
    assert list((tmp_path / "here" / "cells").glob(".*")) == []


def test_what_does_not_belong_is_not_merged(climbed, copied, mini, tmp_path, no_training):
    longer = mini.resized(epochs=2)
    with pytest.raises(UserError, match=r"no finished cell of this ladder: .* has epochs 1, the ladder 2"):
        climb(longer, out=tmp_path / "here", merge=[climbed[0]])
    with pytest.raises(UserError, match="there is no such folder"):
        climb(mini, out=tmp_path / "here", merge=[tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no finished run in it"):
        climb(mini, out=tmp_path / "here", merge=[tmp_path / "empty"])
    path = plan(mini, range(3), copied).done[0].folder / "recipe.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"clip": 3.0}))
    with pytest.raises(UserError, match="their hashes differ"):
        climb(mini, out=tmp_path / "here", merge=[copied])


@pytest.mark.parametrize(("seeds", "says"), [([], "at least one"), ([1, 1], "each once"), (0, "at least one")])
def test_seeds_that_are_none_are_refused(mini, tmp_path, seeds, says):
    with pytest.raises(UserError, match=says):
        climb(mini, seeds=seeds, out=tmp_path)


def test_results_of_other_images_are_refused(copied, climbed, mini, tmp_path, no_training):
    """Cells say what images they saw; those from before they did are taken on trust."""
    runs = plan(mini, range(3), copied).done
    checksum = content_checksum(load_dataset("digits", image_size=8))
    assert {run.manifest["data"]["content"] for run in runs.values()} == {checksum}
    _edit_data(runs[1], lambda data: data.pop("content"))
    assert climb(mini, out=copied, device="cpu").to_json() == climbed[1].to_json()
    _edit_data(runs[2], lambda data: data.update(content="sha256:" + "0" * 64))
    with pytest.raises(UserError, match=r"was trained on other images called 'digits' than .*000000000000 there"):
        climb(mini, out=copied, device="cpu")
    for index in (0, 3, 4, 5):
        _edit_data(runs[index], lambda data: data.update(content="sha256:" + "0" * 64))
    climb(mini, out=copied, device="cpu")  # all alike, and nothing to train: nothing to compare with
    with pytest.raises(UserError, match=r"other images called 'digits' than the data that are loaded now"):
        climb(mini, seeds=4, out=copied, device="cpu")
    here = shutil.copytree(climbed[0], tmp_path / "here")
    shutil.rmtree(here / "cells" / plan(mini, range(3), here).cells[0].name)
    before = sorted(here.rglob("*"))
    with pytest.raises(UserError, match="other images"):
        climb(mini, out=here, merge=[copied], device="cpu")
    assert sorted(here.rglob("*")) == before


def test_results_that_began_with_other_weights_are_refused(done, mini, tmp_path):
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"the first")
    ladder = dataclasses.replace(mini, base=dataclasses.replace(mini.base, weights=str(weights)))
    climb(ladder, out=tmp_path)
    (tmp_path / "there").mkdir()
    shutil.copytree(tmp_path / "cells", tmp_path / "there" / "cells")
    for run in plan(ladder, range(3), tmp_path / "there").done.values():
        (run.folder / "model.safetensors").touch()
    assert climb(ladder, out=tmp_path).rows[0].accuracies == {0: 90.0, 1: 90.0, 2: 90.0}
    weights.write_bytes(b"the second")
    with pytest.raises(UserError, match=r"began with other weights called .* than there are now \([0-9a-f]{12} there"):
        climb(ladder, out=tmp_path)
    with pytest.raises(UserError, match="began with other weights"):
        climb(ladder, out=tmp_path / "here", merge=[tmp_path / "there"])
    assert not list((tmp_path / "here").rglob("recipe.json"))
    weights.unlink()  # all alike, and nothing to train: nothing to compare with
    assert climb(ladder, out=tmp_path).rows[0].accuracies == {0: 90.0, 1: 90.0, 2: 90.0}


def _edit_data(run, change):
    path = run.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest["data"])
    path.write_text(json.dumps(manifest))


class Done(Here):
    """A crew that trains nothing: the accuracy of a cell is what a function says, or it fails."""

    accuracy = staticmethod(lambda rung, seed: 90.0)
    epoch = staticmethod(lambda rung: 10.0)  # seconds that it says it took
    trained: typing.ClassVar = []
    hands = 1

    def work(self, take, tell):
        while (cell := take()) is not None:
            self.trained.append((cell.rung, cell.seed))
            found = self.accuracy(cell.rung, cell.seed)
            if isinstance(found, Failed):
                tell(dataclasses.replace(found, cell=cell))
                continue
            folder = self._errand.out / "cells" / cell.name / "run"
            folder.mkdir(parents=True)
            write_json(folder / "recipe.json", to_dict(cell.recipe))
            result = {"accuracy": found, "seconds": self.epoch(cell.rung) * cell.recipe.epochs}
            begun = {"weights_content": checksum} if (checksum := weights_checksum(cell.recipe)) else {}
            write_json(folder / "manifest.json", {"result": result, "outcome": "finished", **begun})
            tell(crew_module.Done(cell))


@pytest.fixture
def done(monkeypatch):
    """What the crew that trains nothing was given; its accuracies are set by `done.accuracy(function)`."""
    monkeypatch.setattr(runner_module, "Here", Done)
    monkeypatch.setattr(Done, "trained", [])
    monkeypatch.setattr(runner_module, "_try_out", lambda ladder, errand, away: {})
    return types.SimpleNamespace(
        trained=lambda: Done.trained,
        accuracy=lambda function: monkeypatch.setattr(Done, "accuracy", staticmethod(function)),
    )


def test_seeds_are_added_until_all_is_decided(done, mini, tmp_path):
    draw = {
        (rung.name, seed): random.Random(f"{rung.name}{seed}").gauss(0, 0.2)
        for rung in mini.rungs
        for seed in range(99)
    }
    done.accuracy(lambda rung, seed: 90.0 + draw[rung, seed] + (0.4 if rung == "+ smoothing" else 0.0))
    table = climb(mini, out=tmp_path, until_decided=True, budget="1h")
    compared = table.rows[1].comparison
    assert compared.word == "pays"
    assert compared.looks > 1
    assert compared.gain.count == len(table.rows[0].accuracies) in (5, 8, 12, 18)
    assert done.trained()[:6] == [(rung.name, seed) for seed in range(3) for rung in mini.rungs]
    trained = len(done.trained())
    assert climb(mini, out=tmp_path, until_decided=True, budget="1h").to_json() == table.to_json()
    assert len(done.trained()) == trained
    shutil.rmtree(next((tmp_path / "cells").glob("*-s4")))
    assert climb(mini, out=tmp_path, until_decided=True, budget="1h").to_json() == table.to_json()
    assert len(done.trained()) == trained + 1


def test_looks_that_were_taken_stay_taken(done, mini, tmp_path):
    done.accuracy(lambda rung, seed: 90.0 + random.Random(f"{rung}{seed}").gauss(0, 0.2) + 0.4 * (rung != "plain"))
    before = climb(mini, out=tmp_path, until_decided=True, budget="1h")
    after = climb(mini, seeds=5, out=tmp_path, until_decided=True, budget="1h")
    assert (before.first_look, after.first_look) == (3, 3)
    assert after.rows[1].comparison.p_holm == before.rows[1].comparison.p_holm


def test_seeds_that_were_added_stay_when_a_number_of_them_is_asked_for(done, mini, tmp_path):
    done.accuracy(lambda rung, seed: 90.0 + random.Random(f"{rung}{seed}").gauss(0, 0.2) + 0.4 * (rung != "plain"))
    before = climb(mini, out=tmp_path, until_decided=True, budget="1h")
    trained = len(done.trained())
    after = climb(mini, seeds=3, out=tmp_path)
    assert len(done.trained()) == trained
    assert after.to_json() == before.to_json()
    assert after.rows[1].comparison.looks > 1


def test_a_rung_too_dear_for_the_budget_does_not_keep_others_from_their_looks(done, mini, tmp_path, monkeypatch):
    monkeypatch.setattr(Done, "epoch", staticmethod(lambda rung: 1e6 if rung == "dear" else 10.0))
    done.accuracy(lambda rung, seed: 90.0 + random.Random(f"{rung}{seed}").gauss(0, 0.2) + 0.4 * (rung != "plain"))
    ladder = dataclasses.replace(mini, rungs=(*mini.rungs, Rung("dear", {"clip": 5.0})))
    table = climb(ladder, out=tmp_path, until_decided=True, budget="1h")
    assert table.rows[1].comparison.word == "pays"
    assert table.rows[1].comparison.looks > 1
    assert len(table.rows[2].accuracies) == 1


def test_seeds_that_another_machine_added_merge(done, mini, tmp_path):
    done.accuracy(lambda rung, seed: 90.0 + random.Random(f"{rung}{seed}").gauss(0, 0.2) + 0.4 * (rung != "plain"))
    there = climb(mini, out=tmp_path / "there", until_decided=True, budget="1h")
    assert len(there.rows[0].accuracies) > 3
    for path in (tmp_path / "there").glob("cells/*/run"):
        (path / "model.safetensors").touch()
    trained = len(done.trained())
    here = climb(mini, out=tmp_path / "here", until_decided=True, budget="1h", merge=[tmp_path / "there"])
    assert here.to_json() == there.to_json()
    assert len(done.trained()) == trained


def test_no_cell_is_begun_that_would_not_be_done_within_the_budget(done, mini, tmp_path):
    table = climb(mini, out=tmp_path, until_decided=True, budget=5)
    # The first is begun, since nobody knows how long it takes: 10 s.
    assert done.trained() == [("plain", 0)]
    assert "5 of 6 cells are missing" in table.caption


def test_a_cell_that_fails_leaves_the_others_and_their_table(done, mini, tmp_path):
    done.accuracy(lambda rung, seed: Failed(None, "it diverged", 1) if (rung, seed) == ("plain", 1) else 90.0 + seed)
    with pytest.raises(CellsFailed, match="rung 'plain', seed 1 failed: it diverged") as caught:
        climb(mini, out=tmp_path)
    assert caught.value.code == 1
    assert len(done.trained()) == 6
    assert caught.value.table.rows[0].accuracies == {0: 90.0, 2: 92.0}
    assert (folder_of(mini, tmp_path) / "results.json").exists()
    done.accuracy(lambda rung, seed: Failed(None, "no such file", 2))
    with pytest.raises(CellsFailed, match="no such file") as caught:
        climb(mini, out=tmp_path)
    assert (caught.value.code, len(done.trained())) == (2, 7)
    with pytest.raises(CellsFailed):  # what cannot be had is not asked for again and again
        climb(mini, out=tmp_path, until_decided=True, budget="1h")


def test_a_table_that_is_open_elsewhere_is_told_and_the_results_are_kept(done, mini, tmp_path):
    (folder_of(mini, tmp_path) / "table.csv").mkdir(parents=True)  # nothing can be renamed to it
    with pytest.raises(Unkept, match=r"table\.csv: .*the same command writes the table") as caught:
        climb(mini, out=tmp_path)
    assert [len(row.accuracies) for row in caught.value.table.rows] == [3, 3]
    assert json.loads((folder_of(mini, tmp_path) / "results.json").read_text(encoding="utf-8"))["seeds"] == [0, 1, 2]
    done.accuracy(lambda rung, seed: Failed(None, "it diverged", 1))
    with pytest.raises(CellsFailed) as caught:
        climb(mini, seeds=4, out=tmp_path)
    assert isinstance(caught.value.__cause__, Unkept)


@pytest.mark.slow
def test_a_cell_that_diverges_fails_alone(base, tmp_path):
    wild = Ladder("wild", base, (Rung("plain"), Rung("wild", {"optimizer.lr": 1e30})))
    with pytest.raises(CellsFailed, match="rung 'wild', seed 0 failed: training diverged") as caught:
        climb(wild, seeds=1, out=tmp_path, device="cpu")
    assert caught.value.code == 1
    assert [len(row.accuracies) for row in caught.value.table.rows] == [1, 0]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"until_decided": True}, "belong together"),
        ({"budget": "2h"}, "belong together"),
        ({"until_decided": True, "budget": "2 hours"}, "not of the form"),
        ({"until_decided": True, "budget": "2h", "seeds": [3, 4, 5]}, "needs their number"),
        ({"address": "x:1"}, "give --on ray"),
        ({"gpus": 0.5}, "give --on ray"),
        ({"workers": 0}, "--workers is 0"),
        ({"workers": 10_000}, "--workers is 10000, but this process has"),
    ],
)
def test_options_that_contradict_each_other_are_refused(mini, tmp_path, monkeypatch, options, says):
    monkeypatch.setattr(runner_module, "_try_out", lambda ladder, errand, away: {})
    with pytest.raises(UserError, match=says):
        climb(mini, out=tmp_path, device="cpu", **options)


def test_a_file_in_the_place_of_the_results_is_told_once_and_before(mini, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=r"cannot keep a ladder in .*cells: .*file is a file; name another folder"):
        climb(mini, out=tmp_path / "file" / "cells", device="cpu", tell=pytest.fail)


def test_a_fault_of_ours_leaves_the_other_cells(mini, tmp_path, monkeypatch, capsys):
    def train(*arguments, **options):
        raise ValueError("a fault")

    monkeypatch.setattr(crew_module, "train", train)
    found = crew_module.train_cell(crew_module.Errand(tmp_path, device="cpu"), cells_of(mini, [0])[0], pytest.fail)
    assert (found.reason, found.code) == ("ValueError: a fault", 1)
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a fork server")
def test_a_ladder_killed_five_times_ends_with_the_same_table(climbed, mini, tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lowres.ladder", "lowres.observers", "scipy.special", "sklearn.datasets"])
    out = tmp_path / "killed"
    random_moment = random.Random(time.time_ns())
    cell = sum(run.result["seconds"] for run in plan(mini, range(3), climbed[0]).done.values()) / 6

    def kept():
        return {path: path.stat().st_mtime_ns for path in out.glob("cells/*/*/*.pt") if path.exists()}

    for _ in range(5):
        before = kept()
        process = context.Process(target=climb, args=(mini,), kwargs={"out": out, "device": "cpu"})
        process.start()
        while kept() == before:  # until it trains
            assert process.exitcode is None
            time.sleep(0.02)
        process.join(random_moment.uniform(0.0, 0.9 * cell))
        assert process.is_alive()
        process.kill()
        process.join()
        process.close()
    assert plan(mini, range(3), out).missing
    assert climb(mini, out=out, device="cpu").to_json() == climbed[1].to_json()
    for name in ("table.md", "table.csv", "results.json", "ladder.png"):
        ours, theirs = folder_of(mini, out) / name, folder_of(mini, climbed[0]) / name
        assert ours.read_bytes() == theirs.read_bytes()
