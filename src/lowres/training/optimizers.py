"""Optimizers of a recipe: which parameters each one has, and with what decay."""

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from lowres.models.blocks import SqueezeExcite
from lowres.recipes import Optimizer
from lowres.training.muon import Muon


def build_optimizers(model: nn.Module, spec: Optimizer) -> list[torch.optim.Optimizer]:
    """The optimizers of a recipe over a network's trainable parameters, each parameter in exactly one.

    Every parameter group carries "peak", the learning rate where the schedule's factor is 1.

    Args:
        model: The network, on its device already.
        spec: What the recipe says.

    Returns:
        One optimizer, or two where Muon has the convolution kernels.
    """
    orthogonal, decayed, free = split_parameters(model, spec)
    groups = [
        *_with_biases_apart(model, spec, decayed, spec.weight_decay),
        *_with_biases_apart(model, spec, free, 0.0),
    ]
    groups = [group for group in groups if group["params"]]
    optimizers: list[torch.optim.Optimizer] = []
    if groups and spec.name == "adamw":
        fused = _fused(torch.optim.AdamW, decayed + free)
        optimizers.append(torch.optim.AdamW(groups, lr=spec.lr, betas=spec.betas, eps=spec.eps, **fused))
    elif groups:
        fused = _fused(torch.optim.SGD, decayed + free)
        optimizers.append(torch.optim.SGD(groups, lr=spec.lr, momentum=spec.momentum, nesterov=spec.nesterov, **fused))
    if orthogonal:
        optimizers.append(Muon(orthogonal, lr=spec.muon_lr, momentum=spec.muon_momentum))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return optimizers


def split_parameters(model: nn.Module, spec: Optimizer) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Trainable parameters in three parts, in the network's order.

    Returns:
        Those Muon orthogonalises (convolution kernels but the first, which meets pixels, not features), those
        that decay, and the others.
    """
    kernels = {
        id(module.weight) for module in model.modules() if isinstance(module, nn.modules.conv._ConvNd | nn.Linear)
    }
    gates = {id(p) for module in model.modules() if isinstance(module, SqueezeExcite) for p in module.parameters()}
    convolutions = [m.weight for m in model.modules() if isinstance(m, nn.modules.conv._ConvNd)]
    hidden = {id(w) for w in convolutions[1:]} - gates if spec.name == "muon" else set()
    orthogonal: list[Tensor] = []
    decayed: list[Tensor] = []
    free: list[Tensor] = []
    for p in model.parameters():
        if not p.requires_grad:
            continue
        if id(p) in hidden:
            orthogonal.append(p)
        elif spec.decay == "all" or (id(p) in kernels and id(p) not in gates):
            decayed.append(p)
        else:
            free.append(p)
    return orthogonal, decayed, free


def _with_biases_apart(
    model: nn.Module, spec: Optimizer, parameters: list[Tensor], decay: float
) -> list[dict[str, Any]]:
    """One group, or two where the recipe gives biases a rate of their own."""
    if spec.bias_rate == 1:
        return [{"params": parameters, "weight_decay": decay}]
    named = {id(p) for name, p in model.named_parameters() if name.rpartition(".")[2] == "bias"}
    biases = [p for p in parameters if id(p) in named]
    others = [p for p in parameters if id(p) not in named]
    return [
        {"params": others, "weight_decay": decay},
        {"params": biases, "weight_decay": decay / spec.bias_rate, "lr": spec.lr * spec.bias_rate},
    ]


def set_rate(optimizers: list[torch.optim.Optimizer], factor: float) -> float:
    """Sets every group's learning rate to `factor` times its peak; returns the first group's."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * factor
    return float(optimizers[0].param_groups[0]["lr"])


def _fused(kind: type[torch.optim.Optimizer], parameters: list[Tensor]) -> dict[str, Any]:
    """The fused implementation, one pass over each tensor, where this device has it."""
    devices = {p.device.type for p in parameters}
    available = devices <= {"cpu", "cuda"} and "fused" in inspect.signature(kind.__init__).parameters
    return {"fused": True} if available else {}
