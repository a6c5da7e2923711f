"""Mish (Misra 2019) from one logistic function, with its slope taken in the same pass.

PyTorch's kernel computes x * tanh(log(1 + exp(x))) from three transcendental functions, and anew for the gradient,
each of which takes many instructions on a CPU. With s = sigmoid(x) and d = (1 - s)^2, tanh(log(1 + exp(x)))
is (1 - d) / (1 + d), and the slope needs nothing but x, s and d.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Mish(nn.Module):
    """x * tanh(softplus(x)), elementwise: PyTorch's own on accelerators, the quicker form on CPUs."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps any shape to the same."""
        if x.device.type != "cpu" or torch.compiler.is_compiling() or not x.is_floating_point():
            return F.mish(x)
        if torch.is_grad_enabled() and x.requires_grad:
            y: Tensor = _Mish.apply(x)
            return y
        wide = x.float() if x.itemsize < 4 else x
        return _parts(wide)[0].mul_(wide).to(x.dtype)


def _parts(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """tanh(softplus(x)), and s and d of the slope."""
    s = torch.sigmoid(x)
    d = torch.rsub(s, 1).square_()
    t = torch.rsub(d, 1).div_(d + 1)
    return t, s, d


class _Mish(torch.autograd.Function):
    """Keeps the slope alone: one tensor, where PyTorch keeps the input, and a backward pass of one product."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        wide = x.float() if x.itemsize < 4 else x  # 1 - s cancels in 16 bits
        t, s, d = _parts(wide)
        # The slope is t + 4 x s d / (1 + d)^2.
        s.mul_(wide).mul_(d)
        ctx.save_for_backward(torch.addcdiv(t, s, d.add_(1).square_(), value=4).to(x.dtype))
        return t.mul_(wide).to(x.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (slope,) = ctx.saved_tensors
        before: Tensor = gradient * slope
        return before
