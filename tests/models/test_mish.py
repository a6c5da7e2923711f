"""Mish against PyTorch's own, in double precision."""

import pytest
import torch
import torch.nn.functional as F

from lowres.models.mish import Mish


def slope(f, x):
    x = x.clone().requires_grad_()
    f(x).sum().backward()
    return x.grad.double()


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 3e-6), (torch.bfloat16, 4e-3)]
)
def test_value_and_slope_are_those_of_pytorch_over_the_whole_range(dtype, tolerance):
    x = torch.cat([torch.linspace(-30, 30, 20_001), torch.tensor([-1e4, -200.0, 0.0, 200.0, 1e4])]).to(dtype)
    exact = F.mish(x.double())
    error = (Mish()(x).double() - exact).abs() / exact.abs().clamp(min=1)
    assert error.max() < tolerance
    assert (slope(Mish(), x) - slope(F.mish, x.double())).abs().max() < tolerance


def test_sixteen_bits_lose_nothing_but_their_last():
    x = torch.linspace(-9, 0, 20_001).bfloat16()
    theirs, exact = F.mish(x).double(), F.mish(x.double())
    assert (Mish()(x).double() - exact).abs().max() <= (theirs - exact).abs().max() * 1.01
    assert ((Mish()(x).double() - exact) / exact.clamp(max=-1e-9)).abs().max() < 0.004


def test_gradient_agrees_with_finite_differences():
    x = torch.randn(40, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(Mish(), x)


def test_evaluation_gives_the_same_bits_as_training():
    x = torch.randn(2, 16, 8, 8).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        still = Mish()(x)
    trained = Mish()(x.requires_grad_())
    assert torch.equal(still, trained)
    assert trained.is_contiguous(memory_format=torch.channels_last)


def test_keeps_one_tensor_for_the_backward_pass():
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        Mish()(torch.randn(8, requires_grad=True))
    assert len(kept) == 1
