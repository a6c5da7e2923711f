"""Muon for convolution kernels: momentum, orthogonalised, as a step of stated length relative to the kernel.

After Jordan 2024, "Muon: an optimizer for the hidden layers of neural networks", and the CIFAR-10 speed records
that use it with kernels of fixed norm.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

# Quintic Newton-Schulz iteration of Jordan 2024: chosen for a steep slope at zero, so that a few rounds push
# every singular value near 1, if not onto it.
_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalise(matrices: Tensor, rounds: int = 3) -> Tensor:
    """Brings the singular values of each matrix near 1 and keeps its singular vectors.

    Args:
        matrices: float, (K, m, n): K matrices of one shape.
        rounds: Newton-Schulz iterations.

    Returns:
        float, (K, m, n). Singular values that were not vanishing end near 1, roughly within 0.5 and 1.3.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x: Tensor = matrices.mT if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_min(1e-12)
    for _ in range(rounds):
        gram = x @ x.mT
        x = _A * x + torch.baddbmm(_B * gram, gram, gram, alpha=_C) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Orthogonalised Nesterov momentum on kernels whose norms stay what they are.

    A step turns the kernel by about `lr` radians: it adds `lr` times the kernel's norm times the orthogonalised
    momentum of unit norm, then restores the norm. Under batch norm the norm of a kernel changes nothing but
    the effective step, so fixing it takes the place of weight decay.

    Args:
        params: Parameters of two or more dimensions, output channels first.
        lr: Step relative to the kernel's norm.
        momentum: Decay of the gradient's running sum, in [0, 1).
        rounds: Newton-Schulz iterations.
    """

    def __init__(self, params: Iterable[Tensor], lr: float = 0.03, momentum: float = 0.9, rounds: int = 3) -> None:
        params = list(params)
        if any(p.ndim < 2 for p in params):
            raise ValueError("Muon takes kernels: parameters of two or more dimensions")
        super().__init__(params, {"lr": lr, "momentum": momentum, "rounds": rounds})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Makes one step; `closure`, if given, computes the loss anew."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            # Kernels of one shape go through the iteration together: a few large products, not many small.
            stacks: dict[torch.Size, list[Tensor]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    stacks.setdefault(p.shape, []).append(p)
            for kernels in stacks.values():
                self._step_stack(kernels, group)
        return loss

    def _step_stack(self, kernels: list[Tensor], group: dict[str, Any]) -> None:
        momentum = group["momentum"]
        for p in kernels:
            if "momentum_buffer" not in self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        buffers = [self.state[p]["momentum_buffer"] for p in kernels]
        gradients = [p.grad for p in kernels if p.grad is not None]
        torch._foreach_mul_(buffers, momentum)
        torch._foreach_add_(buffers, gradients)
        ahead = torch._foreach_add(gradients, buffers, alpha=momentum)
        update = orthogonalise(torch.stack([u.flatten(1) for u in ahead]), group["rounds"])
        weights = torch.stack([p.flatten(1) for p in kernels])
        norm = weights.norm(dim=(1, 2), keepdim=True)
        update *= group["lr"] * norm / update.norm(dim=(1, 2), keepdim=True).clamp_min(1e-12)
        weights -= update
        weights *= norm / weights.norm(dim=(1, 2), keepdim=True).clamp_min(1e-12)
        for p, w in zip(kernels, weights, strict=True):
            p.copy_(w.view_as(p))
