"""The training that a report describes, as a recipe: what is recognised, what the findings change, what is lost."""

import pytest
import torch
from torch import nn

from lowres.data import Augmentation
from lowres.doctor.as_recipe import prescribe
from lowres.doctor.findings import Edit, Finding, Fix
from lowres.doctor.namesake import namesake
from lowres.doctor.report import Report
from lowres.doctor.seen import structure
from lowres.doctor.shapes import shape_of
from lowres.errors import UserError
from lowres.models import create_model
from lowres.recipes import Schedule, from_dict, to_dict
from lowres.training.schedules import factor


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule("constant"),
        Schedule("cosine"),
        Schedule("cosine", warmup=0.1, warmup_start=0.0),
        Schedule("cosine", final=0.01),
        Schedule("triangle", warmup=0.25),
        Schedule("triangle", final=0.1),
        Schedule("multistep"),
        Schedule("multistep", milestones=(0.3, 0.6, 0.8), gamma=0.2),
    ],
)
@pytest.mark.parametrize("points", [30, 400])
def test_schedules_are_recognised(schedule, points):
    curve = [0.2 * factor(schedule, i, points) for i in range(points)]
    found = shape_of(curve)
    assert found is not None
    assert found.name == schedule.name
    again = [0.2 * factor(found, i, points) for i in range(points)]
    assert sum(abs(a - b) for a, b in zip(curve, again, strict=True)) / points < 0.2 * 0.04


def test_other_schedules_are_not_taken_for_known_ones():
    assert shape_of([0.1 * 0.9 ** (i / 4) for i in range(400)]) is None
    assert shape_of([0.1, 0.01, 0.1, 0.01] * 50) is None
    assert shape_of([0.0]) is None


def described(model, **changes):
    parameters = sum(one.numel() for one in model.parameters())
    pooled = any(isinstance(one, nn.MaxPool2d) for one in model.modules())
    return {"class": type(model).__name__, "parameters": parameters, "pooled": pooled} | structure(model) | changes


@pytest.mark.parametrize(
    ("name", "options"),
    [("resnet20", {}), ("resnet20", {"shortcut": "B"}), ("mxresnet20", {}), ("semxresnet20", {}), ("xresnet29", {})],
)
def test_networks_of_ours_are_recognised(name, options):
    with torch.device("meta"):
        model = create_model(name, classes=100, seed=0, **options)
    found = namesake(described(model), 100)
    assert (found.model, found.options) == (name, options)


def test_a_library_s_networks_are_recognised_whatever_their_stem_and_head():
    from torchvision.models import resnet18

    with torch.device("meta"):
        model = resnet18()
        assert not namesake(described(model), 10).small
        model.conv1, model.maxpool, model.fc = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity(), nn.Linear(512, 10)
    found = namesake(described(model, library=""), 10)
    assert (found.model, found.small) == ("torchvision:resnet18", True)
    assert namesake(described(model, library="timm.models.resnet", architecture="resnet18d"), 10).model == (
        "timm:resnet18d"
    )


def test_networks_with_the_same_convolutions_are_told_apart():
    from torchvision.models import VisionTransformer, vgg11_bn

    with torch.device("meta"):
        assert namesake(described(vgg11_bn(num_classes=100)), 10).model == "torchvision:vgg11_bn"
        small = VisionTransformer(32, 4, num_layers=2, num_heads=2, hidden_dim=64, mlp_dim=128)
    with pytest.raises(UserError, match="no recipe: VisionTransformer with"):
        namesake(described(small), 10)


def test_what_lowres_cannot_build_is_refused():
    with pytest.raises(
        UserError, match="no recipe: Sequential with 224 parameters is no network that lowres can build"
    ):
        namesake(described(nn.Sequential(nn.Conv2d(3, 8, 3))), 10)
    with pytest.raises(UserError, match="no network that lowres can build"):
        namesake(described(nn.Linear(3, 2)), 2)


def finding(code, fix=None, **evidence):
    return Finding(code, f"finding {code}", "warning", 1.0, evidence, None, fix, "", "C01")


def report(*findings, **changes):
    with torch.device("meta"):
        model = create_model("resnet20", seed=0)
    seen = {
        "network": described(model) | {"image_size": 32, "first_map": [32, 32], "pretrained": None},
        "train": {
            "data": "CIFAR10", "images": 45_000, "of": 50_000, "batch_size": 64, "root": None,
            "transforms": ["Compose", "RandomCrop", "RandomHorizontalFlip", "ToTensor", "Normalize"],
            "crop": 2, "padding": "reflect", "flip": True, "jitter": 0.0,
            "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25],
        },
        "optimizer": {
            "class": "SGD", "lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4, "nesterov": True, "spared": True,
        },
        "rates": {"peak": 0.1, "schedule": {"name": "multistep", "milestones": [0.4, 0.8], "gamma": 0.2}},
        "loss": {"label_smoothing": 0.1},
        "clip": 1.0,
        "classes": 10,
        "epochs": 40,
    }  # fmt: skip
    for name, value in changes.items():
        seen[name] = seen[name] | value if isinstance(value, dict) else value
    return Report("train.py", "", findings, seen=seen)


def test_a_sound_training_is_carried_over():
    made = prescribe(report(), "train")
    recipe = made.recipe
    assert made.lines == ()
    assert from_dict(to_dict(recipe)) == recipe
    assert (recipe.model, recipe.data, recipe.epochs, recipe.batch_size, recipe.held_out) == (
        "resnet20", "cifar10", 40, 64, 5000,
    )  # fmt: skip
    assert recipe.augmentation == Augmentation(crop=2, padding="reflect")
    assert (recipe.optimizer.nesterov, recipe.optimizer.weight_decay, recipe.optimizer.decay) == (True, 5e-4, "kernels")
    assert recipe.schedule == Schedule("multistep", milestones=(0.4, 0.8), gamma=0.2)
    assert (recipe.label_smoothing, recipe.clip, recipe.mean) == (0.1, 1.0, (0.5, 0.5, 0.5))


def test_findings_change_it_and_are_named():
    made = prescribe(
        report(
            finding("TR502", proposed={"momentum": 0.9}),
            finding("TR501", proposed={"weight_decay": 1e-3}),
            finding("LR101", proposed={"lr": 0.025}),
            finding("AR107", Fix("x", edits=(Edit("keyword", 1, 0, 1, 5, "0.1", "momentum"),))),
            finding("LR103"),
            finding("DA201"),
            finding("TR531", full_recipe=60),
            finding("ZZ999"),
            optimizer={"momentum": 0.0, "weight_decay": 0.0},
            train={"crop": None, "flip": False},
        ),
        "train",
    )
    one = made.recipe
    assert (one.optimizer.lr, one.optimizer.momentum, one.optimizer.weight_decay) == (0.025, 0.9, 1e-3)
    assert (one.schedule, one.augmentation, one.epochs) == (Schedule("cosine"), Augmentation(), 60)
    said = "\n".join(made.lines)
    for word in ("momentum 0.9", "lr 0.025", "(LR103)", "(DA201)", "60 instead of 40", "ZZ999, finding ZZ999"):
        assert word in said


ADAM = {"class": "Adam", "lr": 0.1, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0, "momentum": 0.0}


def test_another_optimizer_batch_and_smoothing_are_carried_over():
    sgd = {"optimizer": "SGD", "lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4}
    made = prescribe(
        report(
            finding("TR503", proposed={"optimizer": "AdamW", "weight_decay": 0.05}),
            finding("LR101", proposed=sgd),
            optimizer=ADAM,
        ),
        "train",
    )
    one = made.recipe.optimizer
    assert (one.name, one.lr, one.weight_decay) == ("adamw", 0.1, 0.05)  # the costliest comes first
    made = prescribe(
        report(
            finding("LR102", proposed={"lr": 3.0}), finding("LR101", proposed=sgd), finding("LR111"), optimizer=ADAM
        ),
        "train",
    )
    one = made.recipe.optimizer
    assert (one.name, one.lr, one.momentum, one.weight_decay) == ("sgd", 0.05, 0.9, 5e-4)
    assert made.lines[0] == "optimizer: SGD instead of Adam, as the findings say"
    assert made.recipe.schedule.name == "multistep"
    assert made.lines[-1] == "LR111, finding LR111: has no place in a recipe"
    made = prescribe(
        report(finding("LR111", proposed={"batch_size": 128}), finding("TR505", proposed={"label_smoothing": 0.05})),
        "train",
    )
    assert (made.recipe.batch_size, made.recipe.label_smoothing) == (128, 0.05)
    assert made.lines == (
        "batch size: 128 instead of 64, as the findings say",
        "label smoothing: 0.05 instead of 0.1, as the findings say",
    )


def test_what_a_recipe_cannot_say_is_said():
    made = prescribe(
        report(
            optimizer={"class": "RMSprop"},
            rates={"schedule": None},
            train={"transforms": ["TrivialAugmentWide", "ToTensor"]},
            epochs=None,
        ),
        "train",
    )
    said = "\n".join(made.lines)
    for word in (
        "instead of RMSprop",
        "none that a recipe knows",
        "TrivialAugmentWide has no place",
        "could not be seen",
    ):
        assert word in said
    adam = {"class": "Adam", "betas": [0.9, 0.98], "eps": 1e-8}
    made = prescribe(report(optimizer=adam), "train")
    assert (made.recipe.optimizer.name, made.recipe.optimizer.betas) == ("adamw", (0.9, 0.98))
    assert "AdamW instead of Adam" in made.lines[0]


@pytest.mark.parametrize(
    ("first_map", "findings", "expected"),
    [
        ([32, 32], ("AR101",), (True, 0)),
        ([64, 64], (), (True, 0)),
        ([224, 224], (), (False, 224)),
        ([32, 32], (), (False, 0)),
    ],
)
def test_imagenet_networks_are_adapted_or_images_enlarged(first_map, findings, expected):
    from torchvision.models import resnet18

    with torch.device("meta"):
        network = described(resnet18()) | {"first_map": first_map, "image_size": first_map[0], "pretrained": "W"}
    recipe = prescribe(report(*map(finding, findings), network=network), "train").recipe
    assert (recipe.adapt, recipe.upsample, recipe.image_size) == (*expected, 32)
    assert (recipe.pretrained, recipe.normalise, recipe.mean) == (True, "auto", None)


def test_what_is_no_recipe_is_refused():
    with pytest.raises(UserError, match="and this is MNIST"):
        prescribe(report(train={"data": "MNIST"}), "train")
    with pytest.raises(UserError, match="no recipe: it broke"):
        prescribe(Report("train.py", "", (), problem="it broke"), "train")
    with pytest.raises(UserError, match="were not all seen"):
        prescribe(Report("train.py", "", ()), "train")
    folder = report(train={"data": "ImageFolder", "root": "/data/birds/train"})
    assert prescribe(folder, "train").recipe.data == "folder:/data/birds"
