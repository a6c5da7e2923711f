import pytest
import torch
from torch import nn

from lowres.errors import UserError
from lowres.models import create_model, summarise
from lowres.models.speednet import IdentityConv2d, Stage


@pytest.mark.parametrize(
    ("name", "trained", "fixed"),
    [("speednet_s", 1_971_352, 1440), ("speednet_m", 4_604_440, 2080), ("speednet_l", 12_717_464, 3744)],
)
def test_parameters_are_exact(name, trained, fixed):
    parameters = list(create_model(name, seed=0).parameters())
    assert sum(p.numel() for p in parameters if p.requires_grad) == trained
    assert sum(p.numel() for p in parameters if not p.requires_grad) == fixed  # whitening kernel, norms' scales


def test_pooling_comes_before_all_but_the_first_convolution_of_a_stage():
    rows = summarise(create_model("speednet_s", seed=0)).rows
    sizes = [row.output[1] for row in rows if "Conv2d" in row.kind]
    assert sizes == [31, 15, 15, 7, 7, 3]


@pytest.mark.parametrize("size", [32, 16])
@pytest.mark.parametrize("name", ["speednet_s", "speednet_l"])
def test_images_become_logits(name, size):
    model = create_model(name, seed=0, classes=7, channels=1, width=0.25)
    assert model(torch.randn(2, 1, size, size)).shape == (2, 7)


def test_what_is_fixed_is_counted_for_no_parameter():
    model = create_model("speednet_s", seed=0, width=0.25)
    summary = summarise(model)
    assert summary.parameters == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert summary.parameters == sum(row.parameters for row in summary.rows)
    assert summary.parameters < sum(p.numel() for p in model.parameters())


def test_a_convolution_starts_by_passing_its_input_on():
    model = create_model("speednet_s", seed=3, width=0.25)
    layers = [layer for layer in model.modules() if isinstance(layer, IdentityConv2d)]
    assert len(layers) == 6
    for layer in layers:
        x = torch.randn(1, layer.in_channels, 5, 5)
        passed = min(layer.in_channels, layer.out_channels)
        torch.testing.assert_close(layer(x)[:, :passed], x[:, :passed])
        assert layer.weight[passed:].abs().sum() > 0 or layer.out_channels == passed


def test_norms_are_quick_and_train_their_shift_alone_unless_asked():
    quick = [layer for layer in create_model("speednet_s", seed=0).modules() if isinstance(layer, nn.BatchNorm2d)]
    assert {(n.momentum, n.weight.requires_grad, n.bias.requires_grad) for n in quick} == {(0.4, False, True)}
    model = create_model("speednet_s", seed=0, norm_momentum=0.1, norm_scale=True)
    slow = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert {(n.momentum, n.weight.requires_grad) for n in slow} == {(0.1, True)}


def test_three_convolutions_add_the_first_ones_output():
    stage = Stage(4, 8, 3, "relu", nn.BatchNorm2d)
    for norm in (m for m in stage.rest.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.zeros_(norm.weight)
    x = torch.randn(2, 4, 6, 6)
    torch.testing.assert_close(stage(x), stage.first(x))


@pytest.mark.parametrize(
    ("option", "value"), [("width", 0.0), ("norm_momentum", 0.0), ("norm_momentum", 1.5), ("activation", "gelo")]
)
def test_an_impossible_option_is_named(option, value):
    with pytest.raises(UserError, match=option):
        create_model("speednet_s", **{option: value})


def test_many_trainings_compile_once():
    """Runs of one process that differ in their seed share the compiled code: only the first pays for it."""
    compiled = []

    def backend(graph, inputs):
        compiled.append(graph)
        return graph.forward

    for seed in range(3):
        forward = torch.compile(create_model("speednet_s", seed=seed, width=0.1), backend=backend)
        forward(torch.randn(4, 3, 16, 16)).sum().backward()
    assert len(compiled) == 1
    torch.compiler.reset()
