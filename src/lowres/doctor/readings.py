"""Readings of single objects, which the recorder writes into its events."""

import copy
import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader


def parts(batch: Any) -> tuple[Tensor | None, Tensor | None]:
    """Images and labels of a batch: its first tensor of images and its last of whole numbers."""
    values = list(batch.values()) if isinstance(batch, dict) else batch
    tensors = [one for one in values if isinstance(one, Tensor)] if isinstance(values, list | tuple) else []
    images = next((one for one in tensors if one.dim() >= 2), None)
    labels = next((one for one in reversed(tensors) if one.dim() == 1 and not one.is_floating_point()), None)
    return images, labels


def first_batch(loader: DataLoader[Any]) -> Any:
    """The first batch of a copy of a stream, so that the stream itself loses none; None where it cannot be copied."""
    try:
        stream = iter(copy.deepcopy(loader.dataset))
    except Exception:  # it may hold a generator, a socket, a file
        return None
    items = list(itertools.islice(stream, loader.batch_size or 1))
    return loader.collate_fn(items if loader.batch_size else items[0]) if items else None


def describe_scores(scores: Tensor, target: Any) -> dict[str, Any]:
    """What a loss was given, in figures."""
    rows = scores.detach().float()
    known: dict[str, Any] = {"shape": tuple(scores.shape), "low": number(rows.min()), "high": number(rows.max())}
    if scores.dim() == 2 and scores.shape[1] > 1:
        known["row_sum"] = number((rows.sum(dim=1) - 1).abs().max())
        known["log_sum"] = number(torch.logsumexp(rows, dim=1).abs().max())
    if isinstance(target, Tensor):
        known["target_dtype"] = str(target.dtype).removeprefix("torch.")
        known["target_dim"] = target.dim()
    known["made_by"] = scores.grad_fn.name() if scores.grad_fn is not None else ""
    return known


def total(value: Any, options: dict[str, Any]) -> float | None:
    """The sum over a batch of a loss that is made without taking the mean; None of one that is a mean."""
    summed = options.get("reduction", "mean") != "mean" or options.get("size_average") is False
    return float(value.detach().float().sum()) if summed and isinstance(value, Tensor) else None


def dry_copy(scheduler: Any) -> Any:
    """A copy of a schedule over an optimizer of the same groups and no weights; None where it cannot be copied."""
    real = getattr(scheduler, "optimizer", None) or getattr(scheduler, "_optimizer", None)
    if not isinstance(real, Optimizer):
        return None
    dummy = torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(1))]} for _ in real.param_groups], lr=1.0)
    for group, copied in zip(real.param_groups, dummy.param_groups, strict=True):
        copied.update({name: copy.deepcopy(value) for name, value in group.items() if name != "params"})
    try:
        return copy.deepcopy(scheduler, {id(real): dummy})
    except Exception:  # a schedule that closes over what cannot be copied is not simulated
        return None


def fingerprint(module: nn.Module) -> tuple[float, ...]:
    """A figure of each parameter, equal while the parameter is."""
    return tuple(float(parameter.detach().double().sum()) for parameter in module.parameters())


def gradient_norm(optimizer: Optimizer) -> float:
    """The Euclidean norm of all gradients that an optimizer is about to use."""
    squares = [
        float(parameter.grad.detach().float().pow(2).sum())
        for group in optimizer.param_groups
        for parameter in group["params"]
        if parameter.grad is not None
    ]
    return float(sum(squares) ** 0.5)


def has_gradients(optimizer: Optimizer) -> bool:
    """Whether any of its parameters holds a gradient that is not zero."""
    grads = [parameter.grad for group in optimizer.param_groups for parameter in group["params"]]
    return any(grad is not None and bool(grad.detach().any()) for grad in grads)


def groups(optimizer: Optimizer) -> list[dict[str, Any]]:
    """Its groups' options, without the parameters."""
    return [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]


def number(value: Any) -> float | None:
    """A figure as a float; None of what is none."""
    if isinstance(value, Tensor):
        return float(value.detach()) if value.numel() == 1 else None
    return float(value) if isinstance(value, int | float) else None
