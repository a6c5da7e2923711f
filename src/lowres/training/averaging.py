"""The exponential moving average of a network, kept beside it in training."""

import itertools
from collections.abc import Iterator

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel


class Average(AveragedModel):
    """Weights and running statistics, averaged: a copy at the first step, then drawn to each step's by a share.

    PyTorch's own counts its steps on the CPU and sends the count to a GPU at each, which waits for it.

    Args:
        model: The network.
        decay: What the average keeps of itself at a step, in (0, 1).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model, use_buffers=True)
        self.decay = decay

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Takes in a step of the network's. Counters are not averaged, but as they are there."""
        begun = bool(self.n_averaged)
        drawn: list[torch.Tensor] = []
        towards: list[torch.Tensor] = []
        for own, new in zip(_tensors(self.module), _tensors(model), strict=True):
            if begun and own.is_floating_point():
                drawn.append(own)
                towards.append(new)
            else:
                own.copy_(new)
        if drawn:
            torch._foreach_lerp_(drawn, towards, 1 - self.decay)
        self.n_averaged += 1


def _tensors(model: nn.Module) -> Iterator[torch.Tensor]:
    return itertools.chain(model.parameters(), model.buffers())


def ema(model: nn.Module, decay: float) -> Average | None:
    """An exponential moving average of a network's weights and statistics; None for a decay of 0."""
    return Average(model, decay) if decay else None
