import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lowres.errors import UserError
from lowres.models import create_model, initialise, list_models


@given(pair=st.lists(st.sampled_from(list_models("*20")), min_size=2, max_size=2), seed=st.integers(-3, 2**70))
@settings(max_examples=15, deadline=None)
def test_equal_names_and_shapes_get_equal_values_in_whatever_network(pair, seed):
    first, second = (create_model(name, seed=seed).state_dict() for name in pair)
    shared = [name for name in first.keys() & second.keys() if first[name].shape == second[name].shape]
    assert "stages.0.0.branch.conv1.weight" in shared
    assert all(torch.equal(first[name], second[name]) for name in shared)


def test_seeds_and_names_give_different_values():
    one, other = create_model("resnet20", seed=1), create_model("resnet20", seed=2)
    weight = one.stages[0][0].branch.conv1.weight
    assert not torch.equal(weight, other.stages[0][0].branch.conv1.weight)
    assert not torch.equal(weight, one.stages[0][1].branch.conv1.weight)


def test_he_normal_for_every_kernel_and_nothing_else():
    model = create_model("semxresnext29_16x2d", seed=0)
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            deviation = math.sqrt(2 / layer.weight[0].numel())
            within = 5 / math.sqrt(2 * layer.weight.numel())  # five standard errors
            assert abs(layer.weight.std().item() / deviation - 1) < within, name
    assert not model.head.linear.bias.any()
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert all((norm.weight == 1).all() and not norm.bias.any() for norm in norms)


def test_running_statistics_start_again():
    model = create_model("resnet20", seed=0)
    model(torch.randn(2, 3, 32, 32))
    initialise(model, seed=0)
    fresh = create_model("resnet20", seed=0).state_dict()
    assert all(torch.equal(tensor, fresh[name]) for name, tensor in model.state_dict().items())


def test_wrappers_and_precision_do_not_matter():
    model = create_model("xresnet20", seed=4)
    wrapped = torch.compile(create_model("xresnet20", seed=5).bfloat16(), backend="eager")
    initialise(wrapped, seed=4)
    assert torch.equal(wrapped.stem.conv.weight, model.stem.conv.weight.bfloat16())


def test_a_layer_without_a_rule_is_named():
    with pytest.raises(UserError, match="no rule to initialise 'weight' of '0' \\(PReLU\\)"):
        initialise(nn.Sequential(nn.PReLU()), seed=0)
