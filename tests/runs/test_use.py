import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lowres.data import load_dataset
from lowres.errors import UserError
from lowres.models import create_model
from lowres.recipes import load_recipe
from lowres.runs import evaluate, load_run, predict, train
from lowres.runs.use import find_weights
from lowres.runs.weights import Facts, read_weights, write_weights


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A network that had a few epochs of tiny digits: bad, but everything a run has is there."""
    recipe = dataclasses.replace(load_recipe("digits"), epochs=4, image_size=8, precision="fp32")
    return train(recipe, out=tmp_path_factory.mktemp("use"), device="cpu")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """Weights as another program saves them, of a network for the digits at 32 pixels."""
    path = tmp_path_factory.mktemp("foreign") / "theirs.pth"
    model = create_model("resnet20", seed=3, shortcut="B")
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in model.state_dict().items()}}, path)
    return path


def copy_with(run, path, *, tensors=lambda tensors: tensors, **metadata):
    """The run's weights with other tensors or other metadata."""
    with safe_open(run.folder / "model.safetensors", framework="pt") as file:
        before = json.loads(file.metadata()["lowres"])
    beside = json.dumps({**before, **metadata})
    save_file(tensors(load_file(run.folder / "model.safetensors")), path, {"lowres": beside})
    return path


class TestEvaluate:
    def test_gives_the_runs_own_figures_to_the_last_bit(self, run):
        found = evaluate(run.folder, device="cpu").to_dict()
        assert found == {key: run.result[key] for key in found}

    def test_the_file_of_weights_alone_is_enough(self, run, tmp_path):
        alone = shutil.copy(run.folder / "model.safetensors", tmp_path / "mine.safetensors")
        assert evaluate(alone, device="cpu").to_dict() == evaluate(str(run.folder), device="cpu").to_dict()

    def test_a_held_out_set_does_not_change_what_the_figure_is_of(self, tmp_path):
        recipe = dataclasses.replace(load_recipe("digits"), epochs=1, image_size=8, held_out=400, ema=0.9)
        run = train(recipe, out=tmp_path, device="cpu")
        found = evaluate(run.folder, device="cpu")
        assert (found.accuracy, found.loss, found.images) == (run.result["accuracy"], run.result["loss"], 360)
        assert "validation_accuracy" in run.result

    def test_another_precision_is_possible_and_nearly_the_same(self, run):
        exact = evaluate(run.folder, device="cpu", precision="fp32")
        assert exact.loss == pytest.approx(run.result["loss"], rel=0.05)

    def test_pytorchs_generator_is_left_alone(self, run):
        torch.manual_seed(5)
        expected = torch.rand(3)
        torch.manual_seed(5)
        evaluate(run.folder, device="cpu")
        assert torch.equal(torch.rand(3), expected)

    def test_classes_that_differ_are_said(self, run, tmp_path):
        for split in ("train", "test"):
            for name in ("cat", "dog"):
                (tmp_path / split / name).mkdir(parents=True)
                Image.new("RGB", (9, 9)).save(tmp_path / split / name / "0.png")
        with pytest.raises(UserError) as error:
            evaluate(run.folder, data=f"folder:{tmp_path}")
        assert str(error.value) == (
            f"{run.folder} tells 10 classes apart (0, 1, 2, ...), but folder:{tmp_path} has 2 (cat, dog)"
        )

    def test_foreign_weights(self, foreign):
        found = evaluate(foreign, data="digits", model="resnet20", model_options={"shortcut": "B"}, device="cpu")
        assert found.images == 360
        digits = load_dataset("digits")
        pixels = digits.test.images.double() / 255
        train_pixels = digits.train.images.double() / 255
        x = (pixels - train_pixels.mean((0, 2, 3), keepdim=True)) / train_pixels.std(
            (0, 2, 3), keepdim=True, correction=0
        )
        with torch.no_grad():
            logits = create_model("resnet20", seed=3, shortcut="B").eval()(x.float())
        guesses = logits.argmax(1)
        assert found.errors == int((guesses != digits.test.labels).sum())

    def test_foreign_weights_that_do_not_fit_are_refused(self, foreign):
        with pytest.raises(UserError) as error:
            evaluate(foreign, data="digits", model="resnet20", device="cpu")
        assert "\n" not in str(error.value)

    def test_options_of_a_network_need_the_network(self, run):
        with pytest.raises(UserError, match="model"):
            evaluate(run.folder, model_options={"shortcut": "B"})


def a_picture(path, mode="RGB", size=(20, 13)):
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


class TestPredict:
    def test_test_images_saved_as_files_are_classified_as_in_the_evaluation(self, run, tmp_path):
        test = load_dataset("digits", image_size=8).test.subset(range(120))
        paths = []
        for i, image in enumerate(test.images):
            paths.append(tmp_path / f"{i}.png")
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(paths[-1])
        found = predict(run.folder, paths, device="cpu")
        assert [prediction.image for prediction in found] == paths
        weights = find_weights(run.folder)
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (weights.mean, weights.std))
        with torch.no_grad():
            exact = weights.build()((test.images / 255 - mean) / std).softmax(1)
        mine = torch.tensor([[p.probabilities[name] for name in test.classes] for p in found])
        torch.testing.assert_close(mine, exact, atol=1e-3, rtol=0)
        clear = exact.topk(2).values.diff().abs().squeeze() > 0.01
        assert clear.sum() > 10
        labels = [test.classes[i] for i in exact.argmax(1)]
        assert all(p.label == label for p, label, sure in zip(found, labels, clear, strict=True) if sure)

    @pytest.mark.parametrize("size", [(1, 1), (8, 8), (5, 300), (1000, 40)])
    def test_images_of_any_size(self, run, tmp_path, size):
        (found,) = predict(run.folder, [a_picture(tmp_path / "x.png", size=size)], device="cpu")
        assert sum(found.probabilities.values()) == pytest.approx(1)
        assert set(found.probabilities) == set("0123456789")
        assert list(found.probabilities.values()) == sorted(found.probabilities.values(), reverse=True)
        assert found.label == max(found.probabilities, key=found.probabilities.get)

    @pytest.mark.parametrize(
        ("mode", "kind"), [("1", "png"), ("L", "png"), ("LA", "png"), ("P", "gif"), ("RGBA", "webp"), ("CMYK", "jpg")]
    )
    def test_images_of_any_kind(self, run, tmp_path, mode, kind):
        path = a_picture(tmp_path / f"x.{kind}", mode)
        assert len(predict(run.folder, [path], device="cpu")[0].probabilities) == 10

    def test_grey_and_colour_together_each_as_alone(self, run, tmp_path):
        paths = [a_picture(tmp_path / "colour.png"), a_picture(tmp_path / "grey.png", "L", (40, 40))]
        together = predict(str(run.folder), [str(path) for path in paths], device="cpu")
        for path, found in zip(paths, together, strict=True):
            (alone,) = predict(run.folder, [path], device="cpu")
            assert alone.image == path
            assert alone.probabilities == pytest.approx(found.probabilities, abs=0.02)

    def test_nobody_is_warned_of_pytorchs_inner_life(self, run, tmp_path):
        before = torch.is_warn_always_enabled()
        torch.set_warn_always(True)  # PyTorch warns once a process, so this would depend on the order of tests
        try:
            predict(run.folder, [a_picture(tmp_path / "x.png")], device="cpu")
        finally:
            torch.set_warn_always(before)

    def test_nothing_to_predict(self, run):
        with pytest.raises(UserError, match="name one or more image files"):
            predict(run.folder, [])

    @pytest.mark.parametrize("content", [None, b"", b"\x89PNG\r\n\x1a\n", b"no image at all"])
    def test_what_is_no_image_is_named(self, run, tmp_path, content):
        path = tmp_path / "x.png"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UserError, match=r"x\.png: cannot be read as an image"):
            predict(run.folder, [a_picture(tmp_path / "good.png"), path], device="cpu")

    def test_an_image_that_was_cut_short_is_named(self, run, tmp_path):
        path = a_picture(tmp_path / "x.jpg", "RGB", (200, 200))
        path.write_bytes(path.read_bytes()[:-2000])
        with pytest.raises(UserError, match=r"x\.jpg: cannot be read as an image"):
            predict(run.folder, [path], device="cpu")


class TestWeights:
    def test_weights_trained_in_fp16_on_a_gpu_are_of_use_on_a_cpu(self, run, tmp_path):
        """`predict` cannot be given a precision, and nobody should have to care."""
        weights = run.weights()
        facts = {field.name: getattr(weights, field.name) for field in dataclasses.fields(Facts)}
        path = tmp_path / "model.safetensors"
        write_weights(path, weights.build(), Facts(**facts | {"precision": "fp16", "channels_last": True}))
        exact = evaluate(run.folder, device="cpu", precision="fp32")
        assert evaluate(path, device="cpu").loss == pytest.approx(exact.loss, rel=1e-4)
        assert len(predict(path, [a_picture(tmp_path / "x.png")], device="cpu")) == 1

    def test_what_is_read_is_what_was_written(self, run):
        weights = run.weights()
        assert weights == read_weights(run.folder / "model.safetensors")
        assert weights.recipe == run.recipe
        assert weights.classes == tuple("0123456789")
        manifest = json.loads((run.folder / "manifest.json").read_text(encoding="utf-8"))
        assert [list(weights.mean), list(weights.std)] == [manifest["data"]["mean"], manifest["data"]["std"]]
        assert not run.model().training

    def test_an_unfinished_run_says_how_to_finish_it(self, run, tmp_path):
        folder = shutil.copytree(run.folder, tmp_path / "run")
        (folder / "model.safetensors").unlink()
        manifest = run.manifest | {"outcome": "interrupted"}
        del manifest["result"]
        (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        for use in (evaluate, lambda run: predict(run, ["x.png"]), lambda run: load_run(run).model()):
            with pytest.raises(UserError, match=f"interrupted.*lowres train --resume {folder}"):
                use(folder)

    @pytest.mark.parametrize("name", ["nowhere", "nowhere.safetensors"])
    def test_nothing_there(self, tmp_path, name):
        with pytest.raises(UserError, match=name):
            evaluate(tmp_path / name)

    def test_a_folder_that_is_no_run(self, tmp_path):
        with pytest.raises(UserError, match=r"is not a run folder: it holds no recipe\.json"):
            evaluate(tmp_path)

    @pytest.mark.parametrize("cut", [0, 5, 1000, -1, -5000])
    def test_a_file_that_was_cut_short(self, run, tmp_path, cut):
        path = tmp_path / "model.safetensors"
        path.write_bytes((run.folder / "model.safetensors").read_bytes()[:cut])
        with pytest.raises(UserError, match="is not a readable safetensors file") as error:
            evaluate(path)
        assert "\n" not in str(error.value)

    def test_weights_of_another_program_ask_for_the_network(self, tmp_path):
        save_file(create_model("resnet20", seed=0).state_dict(), tmp_path / "theirs.safetensors")
        with pytest.raises(UserError, match=r"lacks what lowres writes beside its weights.*--model and --data"):
            evaluate(tmp_path / "theirs.safetensors")

    @pytest.mark.parametrize(
        "metadata",
        [
            {"recipe": "{"},
            {"recipe": []},
            {"recipe": {"epohcs": 3}},
            {"classes": 3},
            {"mean": None},
            {"precision": "fp8"},
        ],
        ids=str,
    )
    def test_metadata_that_make_no_sense(self, run, tmp_path, metadata):
        with pytest.raises(UserError) as error:
            evaluate(copy_with(run, tmp_path / "odd.safetensors", **metadata), device="cpu")
        assert "odd.safetensors" in str(error.value)
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize(
        "tensors",
        [
            lambda tensors: {name: tensor for name, tensor in tensors.items() if name != "stem.conv.weight"},
            lambda tensors: {**tensors, "one.too.many": torch.zeros(1)},
            lambda tensors: {name: tensor.flatten() for name, tensor in tensors.items()},
        ],
        ids=["one lacks", "one too many", "other shapes"],
    )
    def test_tensors_that_do_not_fit_the_recipe(self, run, tmp_path, tensors):
        with pytest.raises(UserError) as error:
            evaluate(copy_with(run, tmp_path / "odd.safetensors", tensors=tensors), device="cpu")
        assert "odd.safetensors" in str(error.value)
        assert "\n" not in str(error.value)
