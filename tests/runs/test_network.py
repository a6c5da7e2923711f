"""ImageNet networks through runs: trained, resumed, evaluated, exported, from a file of weights."""

import dataclasses

import pytest
import torch
from safetensors.torch import load_file

from lowres.data import Augmentation, load_dataset
from lowres.errors import UserError
from lowres.models import imagenet
from lowres.models.surgery import Upsampled
from lowres.recipes import Optimizer, Recipe, Schedule
from lowres.runs import evaluate, load_run, train
from lowres.runs.brief import brief, of_classes, part
from lowres.runs.build import build
from lowres.runs.network import recipe_network
from lowres.training.device import Placement, place
from lowres.training.events import EpochDone, Started

SMALL = Recipe(
    name="surgery",
    model="torchvision:squeezenet1_1",
    data="digits",
    image_size=8,
    augmentation=Augmentation(crop=0, flip="none"),
    optimizer=Optimizer(lr=0.01),
    schedule=Schedule("constant"),
    epochs=2,
    batch_size=400,
    precision="fp32",
    adapt=True,
)


def stop(event):
    if isinstance(event, EpochDone) and event.epoch == 1:
        raise KeyboardInterrupt


def test_an_adapted_network_resumes_and_is_used_from_its_folder(tmp_path):
    told = []
    whole = train(SMALL, out=tmp_path / "a", device="cpu", observers=[told.append])
    notes = next(event.notes for event in told if isinstance(event, Started))
    assert any("features.0: Conv2d 3x3 /2 -> Conv2d 3x3" in note for note in notes)
    with pytest.raises(KeyboardInterrupt):
        train(SMALL, out=tmp_path / "b", device="cpu", observers=[stop])
    folder = next((tmp_path / "b").iterdir())
    train(resume=folder, device="cpu")
    first, second = (load_file(run / "model.safetensors") for run in (whole.folder, folder))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert evaluate(folder, device="cpu").accuracy == load_run(folder).result["accuracy"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """The unadapted network's weights, in a file."""
    file = tmp_path_factory.mktemp("weights") / "mine.pth"
    torch.save(imagenet.build("torchvision:squeezenet1_1", seed=7, classes=5).state_dict(), file)
    return file


def test_weights_survive_and_adapted_ones_load_back(weights, tmp_path):
    recipe = dataclasses.replace(SMALL, weights=str(weights))
    source = torch.load(weights, weights_only=True)
    network = recipe_network(recipe, classes=10, channels=1)
    assert torch.equal(network.features[3].squeeze.weight, source["features.3.squeeze.weight"])
    torch.save(network.state_dict(), tmp_path / "adapted.pth")
    again = recipe_network(dataclasses.replace(recipe, weights=str(tmp_path / "adapted.pth")), classes=10, channels=1)
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in again.state_dict().items())


def test_upsampled_networks_enlarge_on_the_way(weights):
    recipe = dataclasses.replace(SMALL, adapt=False, upsample=48, weights=str(weights))
    network = recipe_network(recipe, classes=10, channels=3).eval()
    assert isinstance(network, Upsampled)
    seen = []
    network.network.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0].shape))
    assert network(torch.randn(2, 3, 16, 16)).shape == (2, 10)
    assert seen == [(2, 3, 48, 48)]


def test_a_probe_trains_the_head_alone_on_features_computed_once():
    recipe = dataclasses.replace(SMALL, model="torchvision:shufflenet_v2_x0_5", probe=True, optimizer=Optimizer(lr=0.1))
    dataset = part(load_dataset("digits", None, image_size=8), 800, 100)
    built = build(recipe, dataset, place(recipe, "cpu"))
    model = built.learner.model
    assert [name for name, p in model.named_parameters() if p.requires_grad] == ["fc.weight", "fc.bias"]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    result, trained = brief(recipe, dataset, device="cpu")
    changed = {name for name, tensor in trained.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"fc.weight", "fc.bias"}  # no statistics either: the rest is in evaluation mode
    assert result["history"][-1]["accuracy"] == pytest.approx(result["accuracy"])
    refused = dataclasses.replace(SMALL, probe=True)
    with pytest.raises(UserError, match="ends in a linear layer"):
        build(refused, dataset, place(refused, "cpu"))


def test_the_head_learns_first_and_the_first_layer_slowest():
    recipe = dataclasses.replace(SMALL, first_rate=0.1, head_epochs=1, epochs=1)
    dataset = part(load_dataset("digits", None, image_size=8), 400, 100)
    built = build(recipe, dataset, place(recipe, "cpu"))
    (optimizer,) = built.learner.optimizers
    rates = [group["peak"] for group in optimizer.param_groups]
    assert rates[0] == pytest.approx(0.01)
    assert min(rates) == pytest.approx(0.001)
    slowest = {id(p) for group in optimizer.param_groups if group["peak"] == min(rates) for p in group["params"]}
    assert id(built.learner.model.features[0].weight) in slowest
    before = {name: tensor.clone() for name, tensor in built.learner.model.state_dict().items()}
    _, trained = brief(recipe, dataset, device="cpu")
    changed = {name for name, tensor in trained.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"classifier.1.weight", "classifier.1.bias"}


def test_bf16_is_left_where_a_stride_meets_one_pixel():
    dataset = part(load_dataset("digits", None, image_size=8), 400, 100)
    bf16 = Placement(torch.device("cpu"), "bf16", channels_last=True)
    recipe = dataclasses.replace(SMALL, model="torchvision:resnet18")
    assert build(recipe, dataset, bf16).placement.precision == "bf16"
    as_it_is = build(dataclasses.replace(recipe, adapt=False), dataset, bf16).placement
    assert as_it_is.precision == "fp32"
    assert "one pixel" in as_it_is.notes[-1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "resnet20", "adapt": True}, "made for small images"),
        ({"model_options": {"shortcut": "B"}}, "takes no model_options"),
        ({"weights": "nowhere.pth"}, "no file nowhere.pth"),
    ],
)
def test_recipes_that_name_what_cannot_be(change, words):
    with pytest.raises(UserError, match=words):
        recipe_network(dataclasses.replace(SMALL, **change), classes=10, channels=1)


@pytest.mark.parametrize(
    "change",
    [{"upsample": 32}, {"pretrained": True, "weights": "a"}, {"probe": True, "head_epochs": 1}, {"first_rate": 0.0}],
)
def test_recipes_that_contradict_themselves(change):
    with pytest.raises(UserError):
        dataclasses.replace(SMALL, **change)


def test_parts_and_classes():
    dataset = load_dataset("digits", None, image_size=8)
    some = of_classes(dataset, [7, 2])
    assert some.classes == (dataset.classes[7], dataset.classes[2])
    assert set(some.train.labels.tolist()) == {0, 1}
    small = part(some, 50, 20)
    assert (len(small.train), len(small.test)) == (50, 20)
    with pytest.raises(UserError, match="asked for"):
        part(some, 10**6, 0)
    with pytest.raises(UserError, match="-5 images"):
        part(some, -5, 0)


def test_a_resumed_probe_learns_from_the_same_features(tmp_path):
    model = "torchvision:shufflenet_v2_x0_5"
    file = tmp_path / "backbone.pth"
    torch.save(imagenet.build(model, seed=5).state_dict(), file)
    recipe = dataclasses.replace(SMALL, model=model, probe=True, weights=str(file), optimizer=Optimizer(lr=0.1))
    whole = train(recipe, out=tmp_path / "whole", device="cpu")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, out=tmp_path / "cut", device="cpu", observers=[stop])
    (path,) = (tmp_path / "cut").iterdir()
    resumed = train(resume=path, device="cpu")
    assert (resumed.folder / "model.safetensors").read_bytes() == (whole.folder / "model.safetensors").read_bytes()
    assert [e.accuracy for e in resumed.history()] == [e.accuracy for e in whole.history()]


def test_a_short_training_is_not_taken_for_one_on_other_images(tmp_path):
    digits = load_dataset("digits", None, image_size=8)
    recipe = dataclasses.replace(SMALL, epochs=1)
    low, high = (part(of_classes(digits, labels), 400, 100) for labels in (range(5), range(5, 10)))
    first, _ = brief(recipe, low, device="cpu", kept=tmp_path / "kept.json")
    again, network = brief(recipe, low, device="cpu", kept=tmp_path / "kept.json")
    assert network is None
    assert again == first
    _, network = brief(recipe, high, device="cpu", kept=tmp_path / "kept.json")
    assert network is not None


def test_a_short_training_is_not_taken_for_one_that_began_with_other_weights(tmp_path):
    digits = part(load_dataset("digits", None, image_size=8), 400, 100)
    recipe, file, kept = dataclasses.replace(SMALL, epochs=1), tmp_path / "weights.pth", tmp_path / "kept.json"
    _, network = brief(recipe, digits, device="cpu")
    torch.save(network.state_dict(), file)
    recipe = dataclasses.replace(recipe, weights=str(file))
    for trained in (True, False):
        assert (brief(recipe, digits, device="cpu", kept=kept)[1] is not None) == trained
    torch.save({name: tensor * 0.9 for name, tensor in network.state_dict().items()}, file)
    assert brief(recipe, digits, device="cpu", kept=kept)[1] is not None
