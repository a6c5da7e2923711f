import dataclasses
import json
import os
import pickle
import shutil
from pathlib import Path

import pytest

from lowres.data import Augmentation
from lowres.recipes import Optimizer, Recipe, list_recipes, load_recipe


class TestOptions:
    @pytest.mark.parametrize("name", list_recipes())
    def test_every_recipe_can_be_trained_as_it_is_and_as_the_file_of_it(self, lowres, asked, name):
        assert lowres("train", name).code == 0
        Path("mine.json").write_text(lowres("recipes", name, "--json").out, encoding="utf-8")
        assert lowres("train", "mine.json").code == 0
        assert [recipe for recipe, _ in asked] == [load_recipe(name)] * 2

    def test_every_field_of_the_recipe_is_an_option(self, lowres, asked):
        lowres(
            *("train", "resnet20", "--epochs", "30", "--optimizer.lr", "0.05", "--seed=1", "--data", "digits"),
            *("--augmentation.cutout", "8", "--augmentation.flip", "none", "--optimizer.nesterov", "--compile"),
            *("--mean", "0.5", "0.5", "0.5", "--std", "1", "1", "1", "--channels-last", "True", "--held-out", "0"),
            *("--schedule.milestones", "0.3", "0.6", "0.9", "--optimizer.betas", "0.8", "0.9"),
        )
        ((recipe, _),) = asked
        start = load_recipe("resnet20")
        assert recipe == dataclasses.replace(
            start,
            epochs=30,
            seed=1,
            data="digits",
            held_out=0,
            compile=True,
            channels_last=True,
            mean=(0.5,) * 3,
            std=(1.0,) * 3,
            augmentation=Augmentation(flip="none", cutout=8),
            optimizer=Optimizer(lr=0.05, nesterov=True, betas=(0.8, 0.9)),
            schedule=dataclasses.replace(start.schedule, milestones=(0.3, 0.6, 0.9)),
        )

    def test_what_decides_no_weights_is_an_option_too(self, lowres, asked):
        lowres(
            *("train", "digits", "--data-dir", "there", "--out", "here", "--device", "cpu"),
            *("--keep-weights", "5", "--strict-data"),
        )
        lowres("train", "digits")
        given_ones, defaults = (options for _, options in asked)
        for options in (given_ones, defaults):
            del options["observers"]
        assert given_ones == {
            "data_dir": Path("there"),
            "out": Path("here"),
            "device": "cpu",
            "resume": None,
            "keep_weights": 5,
            "strict_data": True,
        }
        assert defaults == {
            "data_dir": None,
            "out": Path("runs"),
            "device": "auto",
            "resume": None,
            "keep_weights": 0,
            "strict_data": False,
        }

    def test_options_of_the_network_join_those_of_the_recipe(self, lowres, asked):
        lowres("train", "resnet20-cosine", "--model-options", "channels=3")
        lowres("train", "resnet20-cosine", "--model-options", "shortcut=A", "channels=3")
        assert [recipe.model_options for recipe, _ in asked] == [
            {"shortcut": "B", "channels": 3},
            {"shortcut": "A", "channels": 3},
        ]

    def test_a_run_folder_stands_for_its_recipe(self, lowres, asked, finished):
        lowres("train", finished, "--seed", "4")
        lowres("train", finished / "recipe.json", "--seed", "4")
        expected = dataclasses.replace(load_recipe("digits"), epochs=1, image_size=16, seed=4)
        assert [recipe for recipe, _ in asked] == [expected] * 2

    @pytest.mark.parametrize("words", [("--resume", "{}"), ("--resume={}",), ("--quiet", "--resume", "{}")])
    def test_a_run_to_resume_needs_no_recipe(self, lowres, asked, unfinished, words):
        done = lowres("train", *(word.format(unfinished) for word in words))
        assert (done.code, done.err) == (0, "")
        ((recipe, options),) = asked
        assert recipe == dataclasses.replace(load_recipe("digits"), epochs=3, image_size=16)
        assert options["resume"] == unfinished


class TestBadInput:
    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (("resnet-20",), "unknown recipe 'resnet-20': did you mean 'resnet20'?"),
            (("penguin",), "unknown recipe 'penguin'"),
            (("mine.json",), "no recipe file mine.json"),
            ((), "a recipe or a run to resume"),
            (("--epochs", "3"), "a recipe or a run to resume"),
            (("--resume",), "--resume"),
            (("digits", "--resume"), "--resume"),
            (("digits", "--epohcs", "3"), "unknown option '--epohcs': did you mean '--epochs'?"),
            (("digits", "--optimizer.lrr", "1"), "unknown option '--optimizer.lrr': did you mean '--optimizer.lr'?"),
            (("digits", "--lr", "1"), "unknown option '--lr': did you mean '--optimizer.lr'?"),
            (("digits", "--weight-decay", "0"), "did you mean '--optimizer.weight-decay'?"),
            (("digits", "--flip=none"), "did you mean '--augmentation.flip'?"),
            (("digits", "--epochs", "abc"), "--epochs: 'abc' is not a whole number"),
            (("digits", "--clip", "abc"), "--clip: 'abc' is not a number"),
            (("digits", "--epochs"), "Missing value for argument '--epochs'"),
            (("digits", "--optimizer.name", "foo"), "'--optimizer.name'"),
            (("digits", "--epochs", "0"), "epochs is 0, but must be at least 1"),
            (("digits", "--batch-size", "-1"), "batch_size is -1, but must be at least 1"),
            (("digits", "--augmentation.crop", "-1"), "augmentation.crop is -1"),
            (("digits", "--mean", "0.5"), "mean and std belong together"),
            (("digits", "--mean", "0.5", "--std", "1"), "3 channels"),
            (("digits", "--model", "resnet-20"), "unknown model 'resnet-20': did you mean 'resnet20'?"),
            (("resnet20", "--model", "resnet-20", "--data-dir", "nowhere"), "unknown model 'resnet-20'"),
            (("digits", "--name", ""), "name is '', but must be a word or more"),
            (("digits", "--model-options", "shortcut"), "is not of the form NAME=VALUE"),
            (("digits", "--model-options", "shortcutt=B"), "unknown option of resnet20 'shortcutt'"),
            (("digits", "--model-options", "shortcut=C"), "shortcut 'C'"),
            (("digits", "--data", "digit"), "unknown data set 'digit': did you mean 'digits'?"),
            (("digits", "--data", "folder:nowhere"), "nowhere is not a folder"),
            (("digits", "--batch-size", "1438"), "batch_size is 1438: give 1 to 1437"),
            (("digits", "--held-out", "5000"), "cannot hold out 5000 of 1437 images"),
            (("digits", "--held-out", "1437"), "some must be left to train on"),
            (("resnet18", "--data", "digits", "--weights", "nope"), "no weights file nope"),
            (("digits", "--device", "cuda:99"), "device 'cuda:99' cannot be used here"),
            (("digits", "--device", "gpu"), "device 'gpu' cannot be used here"),
            (("digits", "--device", "cpu", "--precision", "fp16"), "--precision bf16 or fp32"),
            (("digits", "--keep-weights", "-1"), "keep_weights is -1"),
            (("digits", "resnet20"), "'resnet20' is too much"),
            (("resnet20",), "no cifar10 in data (which does not exist): `lowres data fetch cifar10` gets it"),
            (("resnet20", "--data-dir", "nowhere"), "no cifar10 in nowhere (which does not exist)"),
            (("digits", "--resume", "nowhere"), "nowhere is not a run folder: there is no such folder"),
            (("--resume", "nowhere"), "nowhere is not a run folder: there is no such folder"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
    )
    def test_is_answered_in_one_line_and_leaves_nothing(self, refused, words, says):
        message = refused("train", *words)
        assert says in message
        assert len(message) < 400
        assert not Path("runs").exists()

    def test_an_option_before_the_recipe_is_understood_or_the_order_is_said(self, refused):
        assert "first" in refused("train", "--epochs", "3", "digits")

    def test_no_option_is_suggested_that_is_the_one_typed(self, refused):
        message = refused("train", "resnet20-cosine", "--model-options", "shortcut", "A")
        assert "did you mean '--model-options'?" not in message

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            ('{"epohcs": 3}', "mine.json: 'epohcs': did you mean 'epochs'?"),
            ('{"optimizer": {"lrr": 3}}', "did you mean 'optimizer.lr'?"),
            ('{"epochs": "three"}', "mine.json: epochs is 'three', but must be int"),
            ('{"epochs": 3', "mine.json is not JSON"),
            ("[]", "mine.json holds no recipe"),
        ],
    )
    def test_in_a_recipe_file_is_said_with_the_files_name(self, refused, content, says):
        Path("mine.json").write_text(content, encoding="utf-8")
        assert says in refused("train", "mine.json")

    def test_a_file_in_the_place_of_the_runs(self, refused):
        Path("runs").write_text("", encoding="utf-8")
        assert "cannot make the run folder runs/digits-digits-s0" in refused("train", "digits")

    @pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may write everywhere")
    def test_a_folder_that_cannot_be_written(self, refused):
        Path("locked").mkdir(mode=0o500)
        assert "cannot make the run folder" in refused("train", "digits", "--out", "locked")


class TestBadData:
    """Each leaves no run folder behind: data are read before one is made."""

    @pytest.fixture
    def refused(self, refused):
        yield refused
        assert not Path("runs").exists()

    @pytest.fixture
    def train(self, refused, cifar):
        return lambda: refused("train", "resnet20-quick", "--data-dir", cifar.root)

    def test_a_batch_file_cut_short(self, train, cifar):
        path = cifar.file("data_batch_3")
        path.write_bytes(path.read_bytes()[:-1])
        assert "data_batch_3.bin: 30,729 bytes found, 30,730 expected" in train()

    def test_a_batch_file_missing(self, train, cifar):
        cifar.file("data_batch_3").unlink()
        assert "lacks data_batch_3.bin" in train()

    def test_a_label_out_of_range(self, train, cifar):
        records = cifar.records(10)
        records[4, 0] = 10
        records.tofile(cifar.file("data_batch_2"))
        assert "data_batch_2.bin: label 10 at image 14, expected 0 to 9" in train()

    def test_a_pickle_that_would_run_a_program(self, train, cifar):
        class Malicious:
            def __reduce__(self):
                return os.system, ("touch marker",)

        shutil.rmtree(cifar.file("x").parent)
        for name in cifar.spec.files():
            path = cifar.root / cifar.spec.pickle_folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(pickle.dumps({b"data": Malicious(), b"padding": bytes(100_000)}))
        message = train()
        assert "data_batch_1: asks for " in message
        assert "nothing was run" in message
        assert not Path("marker").exists()

    def test_an_archive_cut_short(self, train, cifar):
        shutil.rmtree(cifar.file("x").parent)
        (cifar.root / cifar.spec.pickle_archive).write_bytes(b"\x1f\x8b\x08" + bytes(100))
        assert "the archive is cut short or damaged" in train()

    def test_more_images_in_a_batch_than_there_are(self, train):
        assert train() == "batch_size is 128: give 1 to 50, the number of images"

    def test_bytes_that_differ_where_the_official_ones_are_asked_for(self, refused, cifar):
        shutil.rmtree(cifar.file("x").parent)
        for name, (_, _, count) in cifar.spec.files().items():
            path = cifar.root / cifar.spec.pickle_folder / name
            path.parent.mkdir(exist_ok=True)
            records = cifar.records(count)
            path.write_bytes(pickle.dumps({b"data": records[:, 1:], b"labels": records[:, 0].tolist()}))
        message = refused("train", "resnet20-quick", "--data-dir", cifar.root, "--strict-data")
        assert "bytes differ from the official release" in message

    def test_an_image_of_a_folder_that_cannot_be_read(self, refused, tree):
        (tree / "train" / "cat" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\nand no more")
        message = refused("train", "digits", "--data", f"folder:{tree}")
        assert f"{tree / 'train' / 'cat' / '2.png'}: cannot be read as an image" in message

    def test_a_class_that_only_the_test_images_have(self, refused, tree):
        (tree / "train" / "dog").rename(tree / "train" / "wolf")
        assert "class 'dog' is in test but not in train" in refused("train", "digits", "--data", f"folder:{tree}")


class TestResume:
    def test_a_folder_that_is_no_run(self, refused):
        Path("empty").mkdir()
        says = "empty is not a run folder: it holds no recipe.json"
        assert refused("train", "--resume", "empty") == says
        assert refused("train", "digits", "--resume", "empty") == says

    def test_a_run_of_another_recipe(self, refused, unfinished):
        message = refused("train", "digits", "--image-size", "16", "--resume", unfinished)
        assert f"{unfinished} is a run of another recipe: epochs is 3 there, 15 here (1 difference)" in message
        message = refused("train", "--resume", unfinished, "--optimizer.lr", "0.2")
        assert "optimizer.lr is 0.05 there, 0.2 here (1 difference)" in message
        message = refused("train", "--model-options", "shortcut=B", "--resume", unfinished)
        assert "model_options.shortcut is None there, 'B' here" in message

    def test_a_run_that_has_finished(self, refused, finished):
        accuracy = json.loads((finished / "manifest.json").read_text(encoding="utf-8"))["result"]["accuracy"]
        message = refused("train", "--resume", finished)
        assert f"{finished} has finished with {accuracy:.2f} %: nothing is left to resume" in message
        assert f"`lowres evaluate {finished}`" in message

    def test_a_run_whose_recipe_was_changed_by_hand(self, refused, unfinished):
        message = refused("train", "--resume", unfinished, "--quiet")
        assert f"the checkpoint in {unfinished} belongs to another recipe than its recipe.json" in message

    def test_a_run_whose_checkpoints_are_gone_or_damaged(self, refused, unfinished):
        (unfinished / "checkpoint.pt").write_bytes(b"PK\x03\x04 no archive")
        (unfinished / "checkpoint.previous.pt").unlink()
        message = refused("train", "--resume", unfinished, "--quiet")
        assert f"cannot resume {unfinished}: checkpoint.pt is damaged" in message
        assert "checkpoint.previous.pt is missing" in message

    def test_a_run_that_was_killed_just_before_its_end_comes_to_the_same_end(self, lowres, finished, edit):
        before = json.loads((finished / "manifest.json").read_text(encoding="utf-8"))["result"]
        (finished / "model.safetensors").unlink()
        edit(finished / "manifest.json", lambda m: {k: v for k, v in m.items() if k != "result"})
        done = lowres("train", "--resume", finished, "--device", "cpu")
        assert (done.code, done.out) == (0, f"{finished}\n")
        after = json.loads((finished / "manifest.json").read_text(encoding="utf-8"))["result"]
        del before["evaluation_seconds"], after["evaluation_seconds"]
        assert {k: v for k, v in after.items() if v != before[k]} == {}
        assert (finished / "model.safetensors").exists()

    def test_a_run_whose_history_was_lost_ends_all_the_same(self, lowres, finished, edit):
        (finished / "model.safetensors").unlink()
        (finished / "history.jsonl").unlink()
        edit(finished / "manifest.json", lambda m: {k: v for k, v in m.items() if k != "result"})
        done = lowres("train", "--resume", finished, "--device", "cpu", "--quiet")
        assert done == (0, "", "")


class TestTraining:
    def test_the_folder_is_the_only_word_on_stdout(self, trained):
        folder, done = trained
        assert (done.code, done.out) == (0, f"{folder}\n")
        assert "269,722 parameters, 1,437 images" in done.err
        assert "epoch 1/1" in done.err
        assert "Finished: accuracy" in done.err
        assert "\x1b" not in done.err  # no terminal, no colours

    def test_the_run_folder_holds_what_it_should(self, trained):
        folder, done = trained
        names = {path.name for path in folder.iterdir()}
        assert names >= {"recipe.json", "manifest.json", "history.jsonl", "curves.png", "checkpoint.pt"}
        assert "model.safetensors" in names
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        assert manifest["outcome"] == "finished"
        assert f"accuracy {manifest['result']['accuracy']:.2f} %" in done.err
        assert manifest["result"]["images"] == 360
        assert manifest["result"]["parameters"] == 269_722

    def test_quiet_prints_nothing_and_an_equal_recipe_gives_equal_weights(self, lowres, trained):
        done = lowres("train", "digits", "--epochs", "1", "--image-size", "16", "--device", "cpu", "--quiet")
        assert done == (0, "", "")
        again, first = (run / "model.safetensors" for run in (Path("runs/digits-digits-s0"), trained[0]))
        assert again.read_bytes() == first.read_bytes()

    def test_a_folder_of_images_is_trained_on(self, lowres, tree):
        done = lowres(
            *("train", "digits", "--data", f"folder:{tree}", "--batch-size", "4", "--epochs", "1"),
            *("--image-size", "8", "--device", "cpu", "--quiet", "--name", "pets and/more"),
        )
        assert done == (0, "", "")
        (folder,) = Path("runs").iterdir()
        assert folder.name == "pets-and-more-tree-s0"
        recipe = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
        assert Recipe(**{"name": recipe["name"], "data": recipe["data"]}).name == "pets and/more"
        shown = lowres("predict", folder, tree / "test" / "cat" / "0.png", "--json").json
        assert set(shown[0]["probabilities"]) == {"cat", "dog"}

    def test_a_rate_that_is_too_high_is_told_with_what_to_try(self, refused):
        message = refused(
            *("train", "digits", "--epochs", "2", "--image-size", "8", "--optimizer.lr", "1e30"),
            *("--device", "cpu", "--precision", "fp32", "--quiet"),
        )
        assert "training diverged" in message
        assert "--optimizer.lr" in message
        manifest = json.loads(Path("runs/digits-digits-s0/manifest.json").read_text(encoding="utf-8"))
        assert manifest["outcome"] == "failed"
        assert "training diverged" in manifest["reason"]
