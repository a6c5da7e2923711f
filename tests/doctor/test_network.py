"""Facts of networks, against figures that were measured elsewhere."""

import copy
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from lowres.doctor.network import look
from lowres.doctor.recognise import expected, on_classes, recognise
from lowres.doctor.single import examine_model, examine_network
from lowres.errors import UserError
from lowres.models import create_model


def images(size, count=4, channels=3):
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(0))


def test_resnet18_at_32_pixels():
    torch.manual_seed(0)
    network = look(torchvision.models.resnet18(num_classes=10), images(32))
    assert network.share_below(1) == pytest.approx(0.75, abs=0.01)
    assert network.share_below(2) == pytest.approx(0.94, abs=0.01)
    assert network.dead == pytest.approx(0.622, abs=0.005)
    assert network.last_map == (1, 1)


def test_a_stem_for_small_images_leaves_no_weight_without_gradient():
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=10)
    model.conv1, model.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
    network = look(model, images(32))
    assert (network.dead, network.share_below(2), network.last_map) == (0, 0, (4, 4))


def test_frozen_layers_are_looked_at_as_if_they_were_not():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10)
    )
    free = look(copy.deepcopy(model), images(8))
    model[0].requires_grad_(False)
    model[2].requires_grad_(False)
    assert look(model, images(8)).graph == free.graph
    assert free.activations() == 2


def test_gates_on_pooled_vectors_do_not_count():
    torch.manual_seed(0)
    network = look(torchvision.models.mobilenet_v3_small(num_classes=10), images(64))
    assert all(max(one.after) > 1 for one in network.convolutions)


@pytest.mark.parametrize(
    ("name", "kind"), [("resnet20", "ResNet-20"), ("resnet56", "ResNet-56"), ("semxresnet20", "ResNet-20")]
)
def test_networks_are_recognised_by_structure(name, kind):
    network = look(create_model(name, classes=10, seed=0), images(16))
    assert kind in recognise(network, pretrained=False).name


def test_other_kinds():
    mlp = look(nn.Sequential(nn.Flatten(), nn.Linear(192, 64), nn.ReLU(), nn.Linear(64, 10)), images(8))
    assert "perceptron" in recognise(mlp, pretrained=False).name
    assert "fine-tuned" in recognise(mlp, pretrained=True).name


def test_costs_take_their_share_of_what_is_left():
    assert expected(95, [], 10) == pytest.approx(95)
    assert expected(95, [10], 10) == pytest.approx(85)
    assert 10 < expected(95, [50, 50], 10) < expected(95, [50], 10)
    assert 76 < on_classes(95, 100) < 80


@pytest.mark.parametrize("target", ["lowres:resnet20", "torchvision:resnet18"])
def test_a_network_alone(target):
    report = examine_network(target, image_size=32)
    assert [one.code for one in report.findings] == ([] if target.startswith("lowres") else ["AR101"])
    assert report.code == (0 if target.startswith("lowres") else 1)


def test_a_network_alone_has_two_classes_at_least():
    with pytest.raises(UserError, match="--classes is 0, but must be at least 2"):
        examine_network("lowres:resnet20", classes=0)


def test_a_network_alone_leaves_the_generator(monkeypatch):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    examine_model(create_model("resnet20", classes=10, seed=0), "x", 8)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("torchvision:resnet5", "did you mean 'resnet50'"),
        ("no_such_module:build", "no module 'no_such_module'"),
        ("math:pi", "unknown callable"),
        ("math:floor", "without arguments"),
        ("builtins:dict", "gives a dict"),
        ("train.py:Net", "name a module and a function or class in it, such as train:Net"),
        (":Net", "such as mymodule:Net"),
        ("a-b:Net", "name a module"),
        ("this_ends_itself:Net", "importing this_ends_itself raises SystemExit: no arguments"),
        ("this_is_no_python:Net", "importing this_is_no_python raises SyntaxError"),
        ("this_raises:build", r"this_raises:build\(\) raises ValueError: what"),
    ],
)
def test_what_names_no_network(target, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("this_ends_itself.py").write_text("import sys\nsys.exit('no arguments')\n")
    Path("this_is_no_python.py").write_text("def\n")
    Path("this_raises.py").write_text("def build():\n    raise ValueError('what\\nso ever')\n")
    with pytest.raises(UserError, match=said):
        examine_network(target)


def test_a_size_that_does_not_fit():
    with pytest.raises(UserError, match="does not take 1-pixel images"):
        examine_model(nn.Sequential(nn.Conv2d(3, 4, 5)), "net", 1)
