"""Initial weights, each tensor from a generator of its own, so that its values depend on its name alone."""

import contextlib
import hashlib
import math
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from lowres.errors import UserError
from lowres.models.names import plain

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
Norm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm | nn.GroupNorm | nn.LayerNorm


@runtime_checkable
class Beginning(Protocol):
    """A layer that changes the values drawn for it: part of them becomes the identity, say."""

    def begin(self) -> None:
        """Changes its own values, in place, without drawing any."""


def initialise(model: nn.Module, seed: int) -> None:
    """Sets every parameter and running statistic of a network, in place.

    Convolutions and linear layers are drawn from He's normal distribution (He 2015, "Delving deep into
    rectifiers", section 2.2: variance 2 / fan-in), biases are zero, normalisations start as the identity.
    A tensor's values depend on the seed, its qualified name and its shape, not on what else the network
    holds: networks that share layers start from the same values there, on every device.

    Args:
        model: The network.
        seed: Any integer.

    Raises:
        UserError: A layer has parameters of its own and no rule here.
    """
    for path, layer in model.named_modules():
        own = dict(layer.named_parameters(recurse=False))
        if isinstance(layer, Convolution | nn.Linear):
            name = plain(f"{path}.weight" if path else "weight")
            layer.weight.data.copy_(_he_normal(layer.weight, seed, name))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
            if isinstance(layer, Beginning):
                layer.begin()
        elif isinstance(layer, Norm):
            layer.reset_parameters()
        elif own:
            known = "convolution, linear layer and normalisation"
            raise UserError(
                f"no rule to initialise {next(iter(own))!r} of {path!r} ({type(layer).__name__}): use {known}"
            )


def _he_normal(weight: Tensor, seed: int, name: str) -> Tensor:
    """Values for a weight (outputs, inputs / groups, ...): float32 on the CPU, deviation sqrt(2 / fan-in)."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    generator = torch.Generator("cpu").manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    fan_in = math.prod(weight.shape[1:])
    return torch.randn(weight.shape, generator=generator, device="cpu").mul_(math.sqrt(2 / fan_in))


@contextlib.contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Draws new weights from a seed, PyTorch's generator left as it was; from that generator without one."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
