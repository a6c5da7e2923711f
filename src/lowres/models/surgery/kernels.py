"""Kernels and position tables made smaller, with what they learned kept as far as a stated method keeps it."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Method = Literal["crop", "resize", "new"]
"""How a kernel becomes smaller.

"crop" keeps its centre. "resize" is the least-squares solution: the small kernel whose answer to an image made
smaller (bilinear, antialiased) is nearest to the large one's answer to the image itself, over all images of
independent pixels (Beyer 2023, "FlexiViT", section 3.4, has it for patch embeddings). "new" draws it afresh, of the
old one's deviation scaled to the new fan-in.
"""

HOW = {"crop": "centre crop", "resize": "least-squares resize", "new": "drawn afresh"}


def shrink(kernel: Tensor, side: int, method: Method, generator: torch.Generator | None = None) -> Tensor:
    """A convolution's weight with smaller kernels.

    Args:
        kernel: (outputs, inputs, k, k).
        side: The new k, not above the old.
        method: See `Method`.
        generator: Of "new".

    Returns:
        (outputs, inputs, side, side), a tensor of its own.

    Example:
        >>> shrink(torch.arange(9.0).view(1, 1, 3, 3), 1, "crop")
        tensor([[[[4.]]]])
    """
    old = kernel.shape[-1]
    if method == "crop":
        start = (old - side) // 2
        return kernel[..., start : start + side, start : start + side].clone()
    if method == "new":
        deviation = float(kernel.std()) * old / side if kernel.device.type != "meta" else 1.0
        drawn = torch.randn(*kernel.shape[:2], side, side, generator=generator)
        return drawn.mul_(deviation).to(kernel)
    spread = resize_matrix(old, side).to(kernel).T
    flat = kernel.reshape(-1, old * old).T
    if kernel.device.type == "meta":
        return kernel[..., :side, :side].clone()
    solution: Tensor = torch.linalg.lstsq(spread, flat).solution
    return solution.T.reshape(*kernel.shape[:2], side, side).contiguous()


def resize_matrix(old: int, new: int) -> Tensor:
    """The matrix (new², old²) of bilinear, antialiased resizing of `old`-pixel squares; each row sums to 1."""
    basis: Tensor = torch.eye(old * old).view(old * old, 1, old, old)
    small = F.interpolate(basis, size=(new, new), mode="bilinear", antialias=True)
    return small.view(old * old, new * new).T.contiguous()


def resize_table(table: Tensor, side: int) -> Tensor:
    """A table of positions, bicubically interpolated to another side.

    Args:
        table: (positions, features), where positions are those of a square, row by row.
        side: Of the new square.

    Returns:
        (side * side, features).
    """
    positions, features = table.shape
    old = math.isqrt(positions)
    if old == side:
        return table.clone()
    grid = table.T.reshape(1, features, old, old)
    new = F.interpolate(grid, size=(side, side), mode="bicubic", antialias=side < old)
    return new.reshape(features, side * side).T.contiguous()


def other_channels(kernel: Tensor, channels: int) -> Tensor:
    """A first kernel for images of other channels: each sees the mean of the old, scaled so that grey stays grey."""
    inputs = kernel.shape[1]
    if inputs == channels:
        return kernel
    return (kernel.sum(1, keepdim=True) / channels).expand(-1, channels, -1, -1).clone()
