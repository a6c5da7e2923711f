import dataclasses
import io

import pytest
import torch
from rich.console import Console as RichConsole

from lowres.data import Augmentation, load_dataset
from lowres.models import Whitening
from lowres.models.whitening import whitening_kernel
from lowres.observers import Console
from lowres.recipes import load_recipe
from lowres.runs import evaluate, train
from lowres.runs.build import build
from lowres.training.device import place


@pytest.fixture(scope="module")
def recipe():
    """speed94 on the digits at 16 pixels, narrow: trains in a second or two."""
    return dataclasses.replace(
        load_recipe("speed94"),
        data="digits",
        image_size=16,
        batch_size=100,
        epochs=3,
        precision="fp32",
        augmentation=Augmentation(crop=1, flip="none"),
        model_options={"width": 0.25},
    )


@pytest.fixture(scope="module")
def told():
    return io.StringIO()


@pytest.fixture(scope="module")
def finished(recipe, told, tmp_path_factory):
    console = Console(console=RichConsole(file=told, width=300))
    return train(recipe, out=tmp_path_factory.mktemp("runs"), device="cpu", observers=[console])


def test_it_learns_in_a_few_steps(finished):
    assert finished.result["accuracy"] > 85


def test_the_result_says_that_there_was_test_time_augmentation(finished, told):
    result = finished.result
    assert result["tta"] == "mirror+shift"
    assert 0 < result["accuracy_without_tta"] < 100
    assert result["evaluation_seconds"] > 0
    assert "with test-time augmentation (mirror+shift; " in told.getvalue()


def test_only_the_finished_network_is_evaluated(finished):
    assert [record.accuracy for record in finished.history()] == [None] * 3


def test_evaluate_finds_the_same_in_the_weights(finished):
    found = evaluate(finished.folder, device="cpu")
    assert found.to_dict() == {key: finished.result[key] for key in found.to_dict()}


def test_another_recipe_says_that_there_was_none(small, tmp_path):
    run = train(dataclasses.replace(small, epochs=1), out=tmp_path, device="cpu")
    assert run.result["tta"] == "none"
    assert "accuracy_without_tta" not in run.result


def test_the_kernel_comes_from_the_training_images_and_lies_in_the_weights(recipe, finished):
    built = build(recipe, load_dataset("digits", image_size=16), place(recipe, "cpu"))
    images = built.batches.images.float() / 255
    normalised = (images - torch.tensor(built.mean).view(-1, 1, 1)) / torch.tensor(built.std).view(-1, 1, 1)
    for model in (built.learner.model, finished.model()):
        (layer,) = (layer for layer in model.modules() if isinstance(layer, Whitening))
        assert torch.equal(layer.weight, whitening_kernel(normalised))
