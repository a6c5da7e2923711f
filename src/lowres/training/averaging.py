"""The exponential moving average of a network, kept beside it in training."""

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
        pairs = list(zip(_tensors(self.module), _tensors(model), strict=True))
        drawn = [pair for pair in pairs if self.n_averaged and pair[0].is_floating_point()]
        if drawn:
            torch._foreach_lerp_([own for own, _ in drawn], [new for _, new in drawn], 1 - self.decay)
        for own, new in pairs:
            if not (self.n_averaged and own.is_floating_point()):
                own.copy_(new)
        self.n_averaged += 1


def _tensors(model: nn.Module) -> list[torch.Tensor]:
    return [*model.parameters(), *model.buffers()]


def ema(model: nn.Module, decay: float) -> Average | None:
    """An exponential moving average of a network's weights and statistics; None for a decay of 0."""
    return Average(model, decay) if decay else None
