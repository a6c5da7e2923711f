import contextlib
import dataclasses
import hashlib
import json
import shutil
import tempfile
from pathlib import Path

import pytest
import torch

from lowres.data import content_checksum, load_dataset
from lowres.errors import UserError
from lowres.runs import evaluate, load_run, session, train
from lowres.training.events import EpochDone, Event, Finished, Started, Stopped


@pytest.fixture(scope="module")
def finished(small, tmp_path_factory):
    """A run of the small recipe, with what an observer saw."""
    seen: list[Event] = []
    run = train(small, out=tmp_path_factory.mktemp("runs"), device="cpu", observers=[seen.append], keep_weights=2)
    return run, seen


def stop_after(epoch: int):
    def observer(event: Event) -> None:
        if isinstance(event, EpochDone) and event.epoch == epoch:
            raise KeyboardInterrupt

    return observer


def test_a_run_leaves_every_file_of_the_design(finished):
    run, _ = finished
    names = {str(path.relative_to(run.folder)) for path in run.folder.rglob("*") if path.is_file()} - {".lock"}
    assert names == {
        "recipe.json",
        "manifest.json",
        "history.jsonl",
        "curves.png",
        "checkpoint.pt",
        "checkpoint.previous.pt",
        "model.safetensors",
        "weights/epoch-0002.safetensors",
    }


def test_observers_hear_the_whole_story(finished, small):
    run, seen = finished
    assert isinstance(seen[0], Started)
    assert (seen[0].run, seen[0].epochs, seen[0].epoch, seen[0].images) == (run.folder, 3, 0, 1337)
    epochs = [event for event in seen if isinstance(event, EpochDone)]
    assert epochs == run.history()
    assert {e.evaluated_on for e in epochs} == {"validation"}
    assert isinstance(seen[-1], Finished)
    assert seen[-1].result == json.loads(json.dumps(run.result))


def test_the_manifest_says_what_the_run_was_made_with(finished):
    run, _ = finished
    manifest = run.manifest
    assert manifest["outcome"] == "finished"
    assert manifest["versions"]["torch"].startswith(torch.__version__.partition("+")[0])
    assert manifest["data"]["training_images"] == 1337
    assert manifest["precision"] == "fp32"
    assert manifest["started"] <= manifest["ended"]


def test_the_result_is_what_evaluate_finds_in_the_weights(finished):
    run, _ = finished
    found = evaluate(run.folder)
    assert found.to_dict() == {key: run.result[key] for key in found.to_dict()}


def test_the_final_weights_are_the_averaged_ones(finished):
    run, _ = finished
    state = torch.load(run.folder / "checkpoint.pt", weights_only=True)["learner"]
    name = "stem.conv.weight"
    kept = run.model().state_dict()[name]
    assert torch.equal(kept, state["average"][f"module.{name}"])
    assert not torch.equal(kept, state["model"][name])


def test_equal_recipes_give_equal_weights_and_other_seeds_others(finished, small, tmp_path):
    run, _ = finished
    weights = (run.folder / "model.safetensors").read_bytes()
    again = train(small, out=tmp_path, device="cpu")
    assert (again.folder / "model.safetensors").read_bytes() == weights
    other = train(dataclasses.replace(small, seed=1, epochs=1), out=tmp_path, device="cpu")
    assert (other.folder / "model.safetensors").read_bytes() != weights


def test_training_leaves_pytorchs_generator_alone(small, tmp_path):
    before = torch.random.get_rng_state()
    train(dataclasses.replace(small, epochs=1), out=tmp_path, device="cpu")
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("epoch", [1, 2])
def test_an_interrupted_run_goes_on_to_the_same_weights(finished, small, tmp_path, epoch):
    seen: list[Event] = []
    with pytest.raises(KeyboardInterrupt, match="--resume"):
        train(small, out=tmp_path, device="cpu", observers=[seen.append, stop_after(epoch)])
    assert isinstance(seen[-1], Stopped)
    path = seen[-1].run
    assert path is not None
    assert load_run(path).manifest["outcome"] == "interrupted"
    resumed = train(resume=path, device="cpu")
    run, _ = finished
    assert (resumed.folder / "model.safetensors").read_bytes() == (run.folder / "model.safetensors").read_bytes()
    assert [timeless(e) for e in resumed.history()] == [timeless(e) for e in run.history()]


def timeless(event: EpochDone) -> EpochDone:
    return dataclasses.replace(event, seconds=0.0, images_per_second=0.0)


def test_a_damaged_checkpoint_costs_an_epoch_not_the_run(finished, small, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(small, out=tmp_path, device="cpu", observers=[stop_after(2)])
    (path,) = tmp_path.iterdir()
    checkpoint = path / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    seen: list[Event] = []
    resumed = train(resume=path, device="cpu", observers=[seen.append])
    assert isinstance(seen[0], Started)
    assert any("checkpoint.pt is damaged" in note for note in seen[0].notes)
    run, _ = finished
    assert (resumed.folder / "model.safetensors").read_bytes() == (run.folder / "model.safetensors").read_bytes()


def test_resuming_another_recipe_names_the_difference(small, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(small, out=tmp_path, device="cpu", observers=[stop_after(1)])
    (path,) = tmp_path.iterdir()
    other = dataclasses.replace(small, optimizer=dataclasses.replace(small.optimizer, lr=0.07))
    with pytest.raises(
        UserError, match=r"run of another recipe: optimizer.lr is 0.05 there, 0.07 here \(1 difference\)"
    ):
        train(other, resume=path)
    changed = json.loads((path / "recipe.json").read_text())
    changed["epochs"] = 5
    (path / "recipe.json").write_text(json.dumps(changed))
    with pytest.raises(UserError, match=r"belongs to another recipe than its recipe\.json"):
        train(resume=path)


def test_the_manifest_says_which_weights_a_run_began_with(finished, small, tmp_path):
    weights = Path(shutil.copy(finished[0].folder / "model.safetensors", tmp_path / "weights.safetensors"))
    checksum = f"sha256:{hashlib.sha256(weights.read_bytes()).hexdigest()}"
    recipe = dataclasses.replace(small, weights=str(weights))
    with contextlib.suppress(KeyboardInterrupt):
        train(recipe, out=tmp_path, device="cpu", observers=[stop_after(1)])
    (path,) = tmp_path.glob("*/manifest.json")
    assert json.loads(path.read_text())["weights_content"] == checksum
    weights.unlink()
    assert train(resume=path.parent, device="cpu").manifest["weights_content"] == checksum


def test_a_run_is_not_resumed_on_other_images(small, tmp_path):
    with contextlib.suppress(KeyboardInterrupt):
        train(small, out=tmp_path, device="cpu", observers=[stop_after(1)])
    (path,) = tmp_path.glob("*/manifest.json")
    manifest = json.loads(path.read_text())
    assert manifest["data"]["content"] == content_checksum(load_dataset(small.data, image_size=small.image_size))
    manifest["data"]["content"] = "sha256:" + "0" * 64
    path.write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="begun on other images called 'digits'"):
        train(resume=path.parent, device="cpu")
    assert json.loads(path.read_text()) == manifest
    del manifest["data"]["content"]  # from before manifests had it: taken on trust
    path.write_text(json.dumps(manifest))
    assert train(resume=path.parent, device="cpu").result is not None


def test_a_finished_run_is_not_resumed(finished):
    run, _ = finished
    with pytest.raises(UserError, match=r"has finished with .* nothing is left to resume"):
        train(resume=run.folder)


def test_a_loss_that_is_not_a_number_keeps_the_last_good_weights(small, tmp_path):
    wild = dataclasses.replace(
        small,
        held_out=0,
        optimizer=dataclasses.replace(small.optimizer, lr=1e30),
        schedule=dataclasses.replace(small.schedule, name="multistep", warmup=0.4, warmup_start=0.0),
    )
    wild = dataclasses.replace(
        wild, schedule=dataclasses.replace(wild.schedule, warmup_shape="constant", milestones=(0.9,))
    )
    with pytest.raises(UserError, match=r"diverged.*step 1[0-9].*epoch 2.*try a lower --optimizer.lr"):
        train(wild, out=tmp_path, device="cpu")
    (path,) = tmp_path.iterdir()
    run = load_run(path)
    assert run.manifest["outcome"] == "failed"
    assert "diverged" in run.manifest["reason"]
    kept = torch.load(path / "checkpoint.pt", weights_only=True)["learner"]
    assert kept["epoch"] == 1
    assert all(tensor.isfinite().all() for tensor in kept["model"].values())


def test_a_batch_larger_than_the_data(small, tmp_path):
    with pytest.raises(UserError, match=r"1338.*1337"):
        train(dataclasses.replace(small, batch_size=1338), out=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_constants_for_other_channels(small, tmp_path):
    with pytest.raises(UserError, match="mean has 1 and std 1 figures, but the images have 3 channels"):
        train(dataclasses.replace(small, mean=(0.5,), std=(0.5,)), out=tmp_path)


def test_a_full_disk_ends_in_one_line_and_keeps_the_last_epoch(small, tmp_path, monkeypatch):
    full = {"at": 3}

    def writing(self, data, write=Path.write_bytes):
        if "checkpoint" in self.name:
            full["at"] -= 1
            if full["at"] == 0:
                write(self, bytes(data)[:100])
                raise OSError(28, "No space left on device")
        return write(self, data)

    def making(*args, make=tempfile.mkstemp, **options):
        if full["at"] <= 0:  # and it stays full
            raise OSError(28, "No space left on device")
        return make(*args, **options)

    monkeypatch.setattr(Path, "write_bytes", writing)
    monkeypatch.setattr(tempfile, "mkstemp", making)
    with pytest.raises(UserError, match="No space left on device; the last good checkpoint is kept"):
        train(small, out=tmp_path, device="cpu")
    monkeypatch.undo()
    (path,) = tmp_path.iterdir()
    assert not [p for p in path.iterdir() if p.name.endswith(".part")]
    assert torch.load(path / "checkpoint.pt", weights_only=True)["learner"]["epoch"] == 1
    with contextlib.suppress(KeyboardInterrupt):
        assert train(resume=path, device="cpu").result is not None


def test_a_disk_that_is_full_when_weights_are_kept_ends_in_one_line(small, tmp_path, monkeypatch):
    def writing(self, data, write=Path.write_bytes):
        if "safetensors" in self.name:
            raise OSError(28, "No space left on device")
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", writing)
    with pytest.raises(UserError, match="No space left on device; the last good checkpoint is kept"):
        train(small, out=tmp_path, device="cpu", keep_weights=1)
    (path,) = tmp_path.iterdir()
    assert load_run(path).outcome == "failed"


def test_a_run_that_goes_on_elsewhere_says_where_it_began(small, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(small, out=tmp_path, device="cpu", observers=[stop_after(1)])
    (path,) = tmp_path.iterdir()
    manifest = json.loads((path / "manifest.json").read_text())
    manifest |= {"hardware": "an older one, 99 threads", "threads": 99}
    (path / "manifest.json").write_text(json.dumps(manifest))
    seen: list[Event] = []
    resumed = train(resume=path, device="cpu", observers=[seen.append])
    assert isinstance(seen[0], Started)
    assert "hardware, threads differ from the run's first part: the weights will differ, too" in seen[0].notes
    (earlier,) = resumed.manifest["earlier_sittings"]
    assert (earlier["threads"], earlier["precision"]) == (99, resumed.manifest["precision"])
    assert resumed.manifest["threads"] != 99


@pytest.mark.parametrize(
    "said",
    ["CUDA out of memory. Tried to allocate 2 GiB.\nmore", "DefaultCPUAllocator: can't allocate memory: 9 bytes"],
)
def test_too_little_memory_ends_in_one_line(small, tmp_path, said):
    def observer(event: Event) -> None:
        if isinstance(event, EpochDone):
            raise RuntimeError(said)

    with pytest.raises(UserError, match=r"^cpu has not memory enough: .*; try a larger --accumulate") as caught:
        train(small, out=tmp_path, device="cpu", observers=[observer])
    assert "\n" not in str(caught.value)
    (path,) = tmp_path.iterdir()
    assert load_run(path).outcome == "failed"


def test_a_batch_norm_over_one_value_ends_in_one_line(small, tmp_path):
    recipe = dataclasses.replace(small, model="torchvision:resnet18", accumulate=small.batch_size)
    with pytest.raises(UserError, match=r"batch norm was given one value a channel.*; try a larger --batch-size"):
        train(recipe, out=tmp_path, device="cpu")
    (path,) = tmp_path.iterdir()
    assert load_run(path).outcome == "failed"


def test_a_fault_of_the_program_is_a_failure_in_the_manifest(small, tmp_path):
    def observer(event: Event) -> None:
        if isinstance(event, EpochDone):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        train(small, out=tmp_path, device="cpu", observers=[observer])
    (path,) = tmp_path.iterdir()
    assert (load_run(path).outcome, load_run(path).manifest["reason"]) == ("failed", "KeyError: 'mine'")


def test_a_run_that_somebody_else_finishes_meanwhile_stays_finished(small, tmp_path, monkeypatch):
    with contextlib.suppress(KeyboardInterrupt):
        train(small, out=tmp_path, device="cpu", observers=[stop_after(1)])
    (path,) = tmp_path.iterdir()
    load = session.load_dataset

    def meanwhile(*arguments, **options):
        monkeypatch.setattr(session, "load_dataset", load)
        train(resume=path, device="cpu")
        return load(*arguments, **options)

    monkeypatch.setattr(session, "load_dataset", meanwhile)
    with pytest.raises(UserError, match="has finished with"):
        train(resume=path, device="cpu")
    assert load_run(path).outcome == "finished"


def test_a_run_is_resumed_with_a_recipe_that_writes_1_for_a_fraction(small, tmp_path):
    recipe = dataclasses.replace(small, clip=1, augmentation=dataclasses.replace(small.augmentation, mixup=1))
    with contextlib.suppress(KeyboardInterrupt):
        train(recipe, out=tmp_path, device="cpu", observers=[stop_after(1)])
    (path,) = tmp_path.iterdir()
    assert train(recipe, resume=path, device="cpu").outcome == "finished"


def test_too_little_memory_to_begin_with_ends_in_one_line(small, tmp_path, monkeypatch):
    def build(*arguments, **options):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB.")

    monkeypatch.setattr(session, "build", build)
    with pytest.raises(UserError, match=r"^cpu has not memory enough: CUDA out of memory.*; end what else uses it"):
        train(small, out=tmp_path, device="cpu")
    assert not list(tmp_path.iterdir())


def test_other_errors_are_not_taken_for_it(small, tmp_path):
    def observer(event: Event) -> None:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match=r"^mine$"):
        train(small, out=tmp_path, device="cpu", observers=[observer])


def test_nothing_to_train():
    with pytest.raises(UserError, match="nothing to train"):
        train()
