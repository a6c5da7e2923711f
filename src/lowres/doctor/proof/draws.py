"""What chance decides in a trial: initial weights, and what is drawn in each pass over a loader.

Variants of a program are compared seed by seed, so whatever they share must be drawn alike in all of them. A tensor
that is filled from PyTorch's generator before training begins gets values of its own, that depend on the seed, the
way it is filled, its shape, and how many of that shape were filled so before it. Distribution and scheme stay the
program's: a network with another stem has the same weights in all other layers, an initialisation at fault stays at
fault, and weights that are loaded from a file are not touched.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowres.doctor.recorder import Recorder


def number_of(*key: Any) -> int:
    """A number below 2**63 that depends on all parts of a key."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, key)).encode()).digest()[:8], "big") >> 1


def seed_everything(*key: Any) -> None:
    """Seeds the generators of PyTorch, NumPy and Python."""
    number = number_of(*key)
    torch.manual_seed(number)
    np.random.seed(number % 2**32)  # noqa: NPY002 - the program's own generator
    random.seed(number)


class InitialDraws:
    """Gives tensors their initial values while a recorder is entered, until `finish` is called.

    Args:
        seed: Of the trial.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._turns: Counter[tuple[str, tuple[int, ...]]] = Counter()
        self._finished = False

    def finish(self) -> None:
        """From here on PyTorch's generator is used as the program asks."""
        self._finished = True

    def patch(self, recorder: Recorder) -> None:
        """Puts itself between the program and the generator."""
        for name in ("normal_", "uniform_"):
            recorder.patch(Tensor, name, self._fill(name))
        for name in ("randn", "rand"):
            recorder.patch(torch, name, self._make(name))

    def _generator(self, name: str, shape: tuple[int, ...], device: Any) -> torch.Generator:
        turn = self._turns[name, shape]
        self._turns[name, shape] += 1
        return torch.Generator(device).manual_seed(number_of(self._seed, name, shape, turn))

    def _fill(self, name: str) -> Callable[[Any], Any]:
        def patched(original: Callable[..., Any]) -> Callable[..., Any]:
            def fill(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
                if not self._finished and kwargs.get("generator") is None and tensor.device.type != "meta":
                    kwargs["generator"] = self._generator(name, tuple(tensor.shape), tensor.device)
                return original(tensor, *args, **kwargs)

            return fill

        return patched

    def _make(self, name: str) -> Callable[[Any], Any]:
        def patched(original: Callable[..., Any]) -> Callable[..., Any]:
            def make(*size: Any, **kwargs: Any) -> Any:
                if not self._finished and kwargs.get("generator") is None:
                    device = torch.device(kwargs.get("device") or "cpu")
                    kwargs["generator"] = self._generator(name, (), device)
                return original(*size, **kwargs)

            return make

        return patched
