import dataclasses
import json
import multiprocessing
import random
import shutil
import sys
import time

import filelock
import pytest
import torch

from lowres.data import Batches, stratified_split
from lowres.errors import UserError
from lowres.ladder import Ladder, Rung, climb, folder_of, load_ladder, plan
from lowres.ladder import runner as runner_module
from lowres.ladder.cells import cells_of
from lowres.models import create_model
from lowres.recipes import fingerprint


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

    monkeypatch.setattr(runner_module, "train", refuse)


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
    assert [p.done for p in told] == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6]
    assert [p.accuracy is None for p in told] == [True, False] * 6
    assert all(p.total == 6 and p.left >= 0 for p in told)
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

    monkeypatch.setattr(runner_module.time, "sleep", finish)
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


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a fork server")
def test_a_ladder_killed_and_started_again_ends_with_the_same_table(climbed, mini, tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lowres.ladder", "lowres.observers", "scipy.special", "sklearn.datasets"])
    out = tmp_path / "killed"
    process = context.Process(target=climb, args=(mini,), kwargs={"out": out, "device": "cpu"})
    process.start()
    while not list(out.glob("cells/*/*/checkpoint.pt")):
        assert process.exitcode is None
        time.sleep(0.05)
    process.join(random.Random(0).uniform(0.5, 1.5))
    assert process.is_alive()
    process.kill()
    process.join()
    assert plan(mini, range(3), out).missing
    assert climb(mini, out=out, device="cpu").to_json() == climbed[1].to_json()
    for name in ("table.md", "table.csv", "results.json", "ladder.png"):
        ours, theirs = folder_of(mini, out) / name, folder_of(mini, climbed[0]) / name
        assert ours.read_bytes() == theirs.read_bytes()
