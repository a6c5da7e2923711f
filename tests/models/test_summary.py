import pytest
import torch
from torch import nn

from lowres.errors import UserError
from lowres.models import create_model, list_models, summarise

SIDE = 88  # pixels: more than any field tested here, so that the border cuts nothing off


def row(summary, name):
    (found,) = [row for row in summary.rows if row.name == name]
    return found


def test_resnet20_by_hand():
    summary = summarise(create_model("resnet20"))
    stem = 3 * 16 * 9 * 32**2
    stages = sum(
        (inputs * outputs + 5 * outputs**2) * 9 * size**2
        for inputs, outputs, size in [(16, 16, 32), (16, 32, 16), (32, 64, 8)]
    )
    assert summary.parameters == 269_722
    assert summary.multiply_adds == stem + stages + 64 * 10 == 40_551_040
    conv = row(summary, "stages.1.0.branch.conv1")
    assert (conv.kind, conv.output, conv.parameters) == ("Conv2d 3x3 /2", (32, 16, 16), 4608)
    assert row(summary, "head.linear").output == (10,)


def test_groups_count():
    summary = summarise(create_model("xresnext29_16x2d"))
    conv = row(summary, "stages.0.0.branch.conv2")
    assert conv.kind == "Conv2d 3x3, 16 groups"
    assert conv.multiply_adds == 32 * 2 * 9 * 32**2


@pytest.mark.parametrize("name", [*list_models("*20"), *list_models("*29*"), "resnet110"])
def test_rows_add_up(name):
    model = create_model(name, seed=0)
    summary = summarise(model)
    assert sum(row.parameters for row in summary.rows) == summary.parameters
    assert sum(row.multiply_adds for row in summary.rows) == summary.multiply_adds
    assert all(row.receptive_field > 0 for row in summary.rows)


def test_receptive_field_of_resnet20_by_formula():
    stem, stage1 = 3, 6 * 2
    stage2 = 2 + 5 * 4  # the first convolution still steps by one pixel, the others by two
    stage3 = 4 + 5 * 8
    side = stem + stage1 + stage2 + stage3
    summary = summarise(create_model("resnet20"))
    assert row(summary, "stages.2.2.branch.conv2").receptive_field == side == 81
    assert row(summary, "head.linear").receptive_field == side + 7 * 4


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("resnet20", "stages.2.2.branch.conv2"),
        ("resnet20", "stages.1.0.shortcut"),
        ("xresnet29", "stages.0.0.shortcut.conv"),
        ("xresnet29", "stages.2.1.branch.conv3"),
    ],
)
def test_receptive_field_is_the_support_of_the_gradient(name, layer):
    model = create_model(name, seed=0).double().eval()
    for parameter in model.parameters():
        parameter.data.abs_()  # positive all along, so that no path is cut by a ReLU or cancelled by another
    kept = {}
    model.get_submodule(layer).register_forward_hook(lambda _, __, output: kept.update(output=output))
    image = torch.ones(1, 3, SIDE, SIDE, dtype=torch.double, requires_grad=True)
    model(image)
    centre = kept["output"].shape[-1] // 2
    (gradient,) = torch.autograd.grad(kept["output"][0, :, centre, centre].sum(), image)
    side = gradient[0].sum(0).any(0).sum().item()
    assert row(summarise(model, SIDE), layer).receptive_field == side


def test_names_and_order_of_somebody_elses_network(elsewhere):
    summary = summarise(elsewhere(3, "A"))
    assert [row.name for row in summary.rows[:2]] == ["conv1", "bn1"]
    assert summary.multiply_adds == 40_551_040
    assert row(summary, "layer3.2.conv2").receptive_field == 81


def test_pooling_dilation_and_flattening():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, dilation=2), nn.MaxPool2d(2), nn.AvgPool2d(3, 1), nn.Flatten(), nn.Linear(576, 2)
    )
    assert [row.receptive_field for row in summarise(model).rows] == [5, 6, 10, 32, 32]


def test_a_network_is_left_as_it_was():
    model = create_model("resnet20", seed=0)
    model(torch.randn(2, 3, 32, 32))
    model.stages[1].eval()
    modes = [module.training for module in model.modules()]
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    summarise(model)
    with pytest.raises(UserError, match="does not take 4x32x32 images"):
        summarise(model, channels=4)
    assert modes == [module.training for module in model.modules()]
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_a_compiled_network_has_the_same_table():
    model = create_model("semxresnet20", seed=0)
    assert summarise(torch.compile(model, backend="eager")) == summarise(model)
