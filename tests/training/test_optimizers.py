import pytest
import torch
from torch import nn

from lowres.models import create_model
from lowres.recipes import Optimizer
from lowres.training.optimizers import build_optimizers, set_rate, split_parameters


@pytest.fixture(scope="module")
def gated() -> nn.Module:
    return create_model("semxresnet20", seed=0)


@pytest.mark.parametrize("name", ["sgd", "adamw", "muon"])
@pytest.mark.parametrize("decay", ["all", "kernels"])
def test_every_parameter_is_in_exactly_one_group(gated, name, decay):
    optimizers = build_optimizers(gated, Optimizer(name, decay=decay))
    held = [id(p) for o in optimizers for group in o.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in gated.parameters())


def test_kernels_alone_decay_and_no_gate_does(gated):
    _, decayed, free = split_parameters(gated, Optimizer(decay="kernels"))
    names = {id(p): name for name, p in gated.named_parameters()}
    kinds = {id(m.weight): m for m in gated.modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    assert len(decayed) == 22  # 19 convolutions, 2 projecting shortcuts, 1 classifier
    assert all(id(p) in kinds for p in decayed)
    excluded = [names[id(p)] for p in free if id(p) in kinds]
    assert len(excluded) == 18  # two linear layers in each of nine squeeze-and-excite gates


def test_the_projections_of_attention_decay():
    attention = nn.MultiheadAttention(8, 2)
    apart = nn.MultiheadAttention(8, 2, kdim=6, vdim=6)  # with a matrix for each
    _, decayed, free = split_parameters(nn.ModuleList([attention, apart]), Optimizer(decay="kernels"))
    assert sorted(p.ndim for p in decayed) == [2] * 6
    assert {p.ndim for p in free} == {1}


def test_he_decays_everything():
    model = create_model("resnet20", seed=0)
    _, decayed, free = split_parameters(model, Optimizer(decay="all"))
    assert len(decayed) == len(list(model.parameters()))
    assert free == []


def test_muon_has_the_convolutions_behind_the_stem():
    model = create_model("resnet20", seed=0)
    orthogonal, _, _ = split_parameters(model, Optimizer("muon"))
    convolutions = [m.weight for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert [id(p) for p in orthogonal] == [id(w) for w in convolutions[1:]]


def test_frozen_parameters_are_left_out():
    model = create_model("resnet20", seed=0)
    for p in model.parameters():
        p.requires_grad = False
    last = list(model.parameters())[-1]
    last.requires_grad = True
    (optimizer,) = build_optimizers(model, Optimizer())
    assert [id(p) for group in optimizer.param_groups for p in group["params"]] == [id(last)]


def test_the_rate_scales_every_group_from_its_own_peak():
    model = create_model("resnet20", seed=0)
    optimizers = build_optimizers(model, Optimizer("muon", lr=0.4, muon_lr=0.02))
    assert set_rate(optimizers, 0.25) == pytest.approx(0.1)
    assert optimizers[1].param_groups[0]["lr"] == pytest.approx(0.005)
    assert set_rate(optimizers, 1.0) == pytest.approx(0.4)


def test_sgd_is_pytorchs_with_the_recipes_numbers():
    model = nn.Linear(4, 3)
    reference = nn.Linear(4, 3)
    reference.load_state_dict(model.state_dict())
    spec = Optimizer(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)
    (ours,) = build_optimizers(model, spec)
    theirs = torch.optim.SGD(reference.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)
    x = torch.randn(5, 4)
    for _ in range(3):
        for network, optimizer in ((model, ours), (reference, theirs)):
            optimizer.zero_grad()
            network(x).square().mean().backward()
            optimizer.step()
    assert torch.allclose(model.weight, reference.weight, atol=1e-6)


def test_biases_have_a_rate_of_their_own_and_shrink_as_fast_as_all_else():
    model = create_model("speednet_s", seed=0, width=0.1)
    sgd, muon = build_optimizers(model, Optimizer("muon", lr=2.0, weight_decay=0.01, bias_rate=16.0))
    kernels, biases = sgd.param_groups
    assert [p.ndim for p in kernels["params"]] == [2]  # the head
    assert {p.ndim for p in biases["params"]} == {1}
    assert len(biases["params"]) == 7  # six norms and the stem
    assert (kernels["peak"], biases["peak"]) == (2.0, 32.0)
    assert kernels["peak"] * kernels["weight_decay"] == biases["peak"] * biases["weight_decay"]
    assert len(muon.param_groups[0]["params"]) == 6
    set_rate([sgd, muon], 0.5)
    assert (kernels["lr"], biases["lr"]) == (1.0, 16.0)
