import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lowres.training.muon import Muon, orthogonalise


@settings(deadline=None)
@given(rows=st.integers(1, 12), columns=st.integers(1, 12), seed=st.integers(0, 1000))
def test_singular_vectors_stay_and_singular_values_come_near_one(rows, columns, seed):
    generator = torch.Generator().manual_seed(seed)
    u, _, vt = torch.linalg.svd(torch.randn(rows, columns, generator=generator), full_matrices=False)
    values = torch.linspace(1.0, 0.5, min(rows, columns))
    found = orthogonalise((u * values @ vt)[None], rounds=5)[0]
    aligned = u.T @ found @ vt.T
    assert torch.allclose(aligned, torch.diag(aligned.diagonal()), atol=1e-3)
    assert aligned.diagonal().min() > 0.5
    assert aligned.diagonal().max() < 1.3


def test_the_direction_is_that_of_pytorchs_muon():
    torch_muon = getattr(torch.optim, "Muon", None)
    if torch_muon is None:
        pytest.skip("this PyTorch has no Muon")
    start, gradients = torch.randn(8, 24), torch.randn(3, 8, 24)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    our_optimizer = Muon([ours], lr=0.05, momentum=0.9, rounds=5)
    their_optimizer = torch_muon([theirs], lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.0, ns_steps=5)
    for gradient in gradients:
        before = ours.detach().clone()
        ours.grad = theirs.grad = gradient.clone()
        with torch.no_grad():
            theirs.copy_(before)
        our_optimizer.step()
        their_optimizer.step()
        # Theirs iterates in bf16 and scales otherwise; ours also restores the norm, which bends the step a little.
        along = ours - before
        along -= before * (along * before).sum() / before.square().sum()
        reference = theirs - before
        reference -= before * (reference * before).sum() / before.square().sum()
        assert torch.nn.functional.cosine_similarity(along.flatten(), reference.flatten(), dim=0) > 0.995


def test_the_norm_stays_and_the_step_has_the_stated_length():
    kernel = torch.nn.Parameter(torch.randn(16, 8, 3, 3))
    norm, before = kernel.norm().item(), kernel.detach().clone()
    optimizer = Muon([kernel], lr=0.03)
    kernel.grad = torch.randn_like(kernel)
    optimizer.step()
    assert kernel.norm().item() == pytest.approx(norm, rel=1e-5)
    assert (kernel - before).norm().item() == pytest.approx(0.03 * norm, rel=0.02)


def test_kernels_stepped_together_move_as_each_alone():
    kernels = [torch.randn(6, 4, 3, 3) for _ in range(3)]
    gradients = [torch.randn(6, 4, 3, 3) for _ in range(3)]
    together = [torch.nn.Parameter(k.clone()) for k in kernels]
    optimizer = Muon(together, lr=0.1)
    for kernel, gradient in zip(together, gradients, strict=True):
        kernel.grad = gradient.clone()
    optimizer.step()
    for start, gradient, moved in zip(kernels, gradients, together, strict=True):
        alone = torch.nn.Parameter(start.clone())
        alone.grad = gradient.clone()
        Muon([alone], lr=0.1).step()
        assert torch.allclose(alone, moved, atol=1e-6)


def test_a_vector_is_refused():
    with pytest.raises(ValueError, match="two or more dimensions"):
        Muon([torch.nn.Parameter(torch.zeros(3))])
