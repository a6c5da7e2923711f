"""Optimizers of a recipe: which parameters each one has, and with what decay."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lowres.errors import UserError
from lowres.models.blocks import SqueezeExcite
from lowres.recipes import Optimizer
from lowres.training.muon import Muon

Pace = tuple[float, int]
"""Share of the learning rate, and the epoch from which on there is any."""


def build_optimizers(
    model: nn.Module, spec: Optimizer, pace: Mapping[int, Pace] | None = None
) -> list[torch.optim.Optimizer]:
    """The optimizers of a recipe over a network's trainable parameters, each parameter in exactly one.

    Every parameter group carries "peak", the learning rate where the schedule's factor is 1.

    Args:
        model: The network, on its device already.
        spec: What the recipe says.
        pace: Of parameters, by their `id`, that learn at a rate of their own or from a later epoch on.

    Returns:
        One optimizer, or two where Muon has the convolution kernels.
    """
    orthogonal, decayed, free = split_parameters(model, spec)
    groups: list[dict[str, Any]] = [
        *_with_biases_apart(model, spec, decayed, spec.weight_decay),
        *_with_biases_apart(model, spec, free, 0.0),
    ]
    groups = [part for group in groups if group["params"] for part in _by_pace(group, pace)]
    groups.sort(key=lambda group: -group.get("scale", 1.0))  # the first group's rate is the one that is shown
    if pace and orthogonal:
        raise UserError("muon has one rate for all depths: fine-tune with --optimizer.name sgd or adamw")
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
            group["peak"] = group["lr"] = group["lr"] * group.get("scale", 1.0)
    return optimizers


def _by_pace(group: dict[str, Any], pace: Mapping[int, Pace] | None) -> list[dict[str, Any]]:
    """A group of parameters, in parts that learn alike."""
    if not pace:
        return [group]
    parts: dict[Pace, list[Tensor]] = {}
    for parameter in group["params"]:
        parts.setdefault(pace[id(parameter)], []).append(parameter)
    return [
        {**group, "params": parameters, "scale": scale, "from_epoch": start}
        for (scale, start), parameters in parts.items()
    ]


def paces(model: nn.Module, head: str, first_rate: float, head_epochs: int) -> dict[int, Pace]:
    """How fast each parameter learns, by its `id`: the head at the full rate, the first layer at `first_rate`.

    In between, rates grow geometrically with depth (Howard 2018, "ULMFiT", section 3.2, divides by a constant from
    layer to layer), in steps of an eighth of the depth, so that groups stay few.

    Args:
        model: The network.
        head: The name of its last layer.
        first_rate: Share of the rate that the first layer has.
        head_epochs: The epoch from which all but the head learns.
    """
    layers = [
        list(layer.parameters(recurse=False))
        for name, layer in model.named_modules()
        if name != head and next(layer.parameters(recurse=False), None) is not None
    ]
    found: dict[int, Pace] = {}
    for index, parameters in enumerate(layers):
        eighth = 8 * index // max(len(layers), 1)
        for parameter in parameters:
            found.setdefault(id(parameter), (first_rate ** (1 - eighth / 8), head_epochs))
    return found | {id(p): (1.0, 0) for p in model.get_submodule(head).parameters()}


def split_parameters(model: nn.Module, spec: Optimizer) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Trainable parameters in three parts, in the network's order.

    Returns:
        Those Muon orthogonalises (convolution kernels but the first, which meets pixels, not features), those
        that decay, and the others.
    """
    kernels = {
        id(module.weight) for module in model.modules() if isinstance(module, nn.modules.conv._ConvNd | nn.Linear)
    }
    for module in model.modules():
        if isinstance(module, nn.MultiheadAttention):  # whose projections are bare matrices
            projections = (module.in_proj_weight, module.q_proj_weight, module.k_proj_weight, module.v_proj_weight)
            kernels |= {id(one) for one in projections if one is not None}
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
