"""Cuts a training short without its noticing: few small batches an epoch, and epochs that pass at no cost.

Two epochs are computed for real, on a few images a batch. Then the program goes on through all its epochs with
loaders that give one batch again and again and networks that answer from memory, rightly in the first of these epochs
and wrongly in all others, so that one epoch is the best. What it does with its rate, its patience and its checkpoints
over the whole horizon is seen in a second or two. `len()` of every loader stays what it is.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, IterableDataset

from lowres.doctor.frames import Frames
from lowres.doctor.readings import fingerprint, parts
from lowres.doctor.recorder import Recorder
from lowres.doctor.trace import Event

REAL_EPOCHS = 2
TRAIN_BATCHES = 3
EVAL_BATCHES = 2
LONGEST_ACCUMULATION = 8
"""Batches that an epoch goes on for, at most, until an optimizer steps."""
SLOW_STEP = 0.8
"""Seconds of the processor; where a training step takes longer, batches and epochs become shorter still."""
LONE_STEPS = 12
"""Steps that are computed where batches come from no loader."""
FAST_SECONDS = 12.0
"""Seconds of the processor that the passing over of epochs may take."""


class Enough(BaseException):
    """Ends the user's program quietly: what is to be seen has been seen, or it takes too long."""


class Cutter(Recorder):
    """A recorder that cuts epochs short.

    Args:
        frames: Whose code it is.
        images: At most so many of a batch are computed; 0 for all of them.
    """

    def __init__(self, frames: Frames, images: int = 16) -> None:
        super().__init__(frames)
        self._images = images
        self._train_batches = TRAIN_BATCHES
        self._rounds: dict[int, int] = {}
        self._trained: set[int | None] = set()
        self._kept: dict[int, Any] = {}
        self._cached: dict[int, Any] = {}
        self._labels: Tensor | None = None
        self._lone_steps = 0
        self._clock: float | None = None
        self._fast_since = 0.0
        self._stepped = False
        self._right = False
        self._zeros: list[tuple[nn.Parameter, Tensor]] = []
        self._saved: dict[tuple[str, ...], Any] = {}

    def note(self, kind: str, **data: Any) -> Event:
        """Adds an event; learns from it which loaders train."""
        if kind == "backward":
            self._trained.add(data.get("loader"))
        return super().note(kind, **data)

    def forward(self, module: nn.Module, call: Callable[[], Any], arguments: tuple[Any, ...]) -> Any:
        """Computes; while epochs are passed over, answers from memory."""
        key = id(module)
        if self.fast:
            if time.thread_time() - self._fast_since > FAST_SECONDS:
                raise Enough("all epochs could not be passed over in time")
            images = next((one for one in arguments if isinstance(one, Tensor)), None)
            if key in self._kept and images is not None and images.dim():
                return _tied(_resized(self._kept[key], len(images), self._labels, self._right), images)
        if self._clock is None and torch.is_grad_enabled():
            self._clock = time.thread_time()
        output = call()
        if key not in self._kept:
            self._kept[key] = _mapped(output, lambda tensor: tensor.detach().clone())
        return output

    def written(self, write: Callable[[], Any], file: Any, keys: tuple[str, ...]) -> Any:
        """Writes a checkpoint; of those of the epochs that are passed over, which are all alike, one for all.

        Alike are dictionaries of the same keys; of anything else nothing is known.
        """
        if not self.fast or not keys or not isinstance(file, str | os.PathLike):
            return write()
        if keys in self._saved:
            with contextlib.suppress(OSError):  # of another name: it exists already, or is written after all
                os.link(self._saved[keys], file)
                return None
            if os.path.exists(file):  # noqa: PTH110 - what is patched
                return None
        result = write()
        self._saved[keys] = file
        return result

    def batches(self, loader: DataLoader[Any], iterate: Callable[[], Iterator[Any]]) -> Iterator[Any]:
        """A few batches, cut to a few images; while epochs are passed over, one that was seen before."""
        key = id(loader)
        self._rounds[key] = self._rounds.get(key, 0) + 1
        trains = key in self._trained
        if trains:
            self._right = self._rounds[key] == REAL_EPOCHS + 1
        if trains and self._rounds[key] > REAL_EPOCHS and not self.fast:
            self._pass_over()
        elif self.fast and self.rounds is None and not trains:
            self.fast = False  # the loop over epochs is behind us: what follows counts
        if self.fast and key in self._cached:
            self._labels = parts(self._cached[key])[1]
            yield self._cached[key]
            return
        self._stepped = False
        for number, batch in enumerate(self._drawn(loader, iterate)):
            self._cached.setdefault(key, batch)
            self._labels = parts(batch)[1]
            yield batch
            limit = self._train_batches if key in self._trained else EVAL_BATCHES
            accumulating = key in self._trained and not self._stepped and number + 1 < LONGEST_ACCUMULATION
            if number + 1 >= limit and not accumulating:
                return

    def loader_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """Without processes of its own, whatever was asked for."""
        gone = ("prefetch_factor", "persistent_workers", "multiprocessing_context", "timeout", "pin_memory")
        kept = {name: value for name, value in options.items() if name not in gone}
        return kept | {"num_workers": 0} if "num_workers" in kept else kept

    def _drawn(self, loader: DataLoader[Any], iterate: Callable[[], Iterator[Any]]) -> Iterator[Any]:
        loader.num_workers = 0  # also where it was a positional argument
        sampler = loader.batch_sampler
        if not self._images:
            yield from iterate()
        elif sampler is None or isinstance(loader.dataset, IterableDataset):
            for batch in iterate():
                yield _mapped(batch, lambda tensor: tensor[: self._images] if tensor.dim() else tensor)
        else:
            for positions in sampler:
                chosen = list(positions)[: self._images]
                many = getattr(loader.dataset, "__getitems__", None)
                items = many(chosen) if callable(many) else [loader.dataset[i] for i in chosen]
                yield loader.collate_fn(items)

    def _backward(self, original: Callable[..., Any]) -> Callable[..., Any]:
        noted = super()._backward(original)

        def backward(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
            result = noted(tensor, *args, **kwargs)
            self._give_gradients()
            return result

        return backward

    def _before_step(self, item: Optimizer, args: Any, kwargs: Any) -> None:
        super()._before_step(item, args, kwargs)
        wraps = any(isinstance(one, Optimizer) for one in vars(item).values())
        if self.fast and not wraps:  # one like SAM computes with gradients before the one within it steps
            for group in item.param_groups:
                for parameter in group["params"]:
                    parameter.grad = None  # so that the step costs nothing and changes nothing

    def _after_step(self, item: Optimizer, args: Any, kwargs: Any) -> None:
        self._give_gradients()
        self._stepped = True
        if self._clock is not None and time.thread_time() - self._clock > SLOW_STEP and self._images:
            self._train_batches, self._images = 2, min(self._images, 8)
        self._clock = None
        if self.loader is None and not self.fast:
            self._lone_steps += 1
            if self._lone_steps >= LONE_STEPS:
                self._pass_over()

    def _pass_over(self) -> None:
        for seen in self.trace.models.values():
            seen.notes["after"] = fingerprint(seen.item)
        groups = [group for seen in self.trace.optimizers.values() for group in seen.item.param_groups]
        parameters = [parameter for group in groups for parameter in group["params"]]
        for parameter in parameters:
            parameter.grad = None
        self._zeros = [(one, torch.zeros_like(one, requires_grad=False)) for one in parameters if one.requires_grad]
        self.fast, self._fast_since = True, time.thread_time()
        self._give_gradients()

    def _give_gradients(self) -> None:
        """While epochs are passed over, gradients are zero: programs, clips and scalers of the loss may read them."""
        for parameter, zero in self._zeros if self.fast else ():
            if parameter.grad is None:
                with contextlib.suppress(RuntimeError):  # it has another type or shape by now
                    parameter.grad = zero


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A tree of tensors with each changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return type(value)({name: _mapped(one, change) for name, one in value.items()})
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_mapped(one, change) for one in value))
    if isinstance(value, list | tuple):
        return type(value)(_mapped(one, change) for one in value)
    return value


def _tied(value: Any, images: Tensor) -> Any:
    """An output from memory that depends on images whose gradient the program may ask for; that is zero."""
    if not (images.requires_grad and torch.is_grad_enabled()):
        return value
    nothing = 0 * images.sum()
    return _mapped(value, lambda one: one + nothing.to(one) if one.is_floating_point() else one)


def _resized(value: Any, size: int, labels: Tensor | None, right: bool) -> Any:
    """An output from memory for `size` images; scores name the right class, or the one after it."""

    def change(tensor: Tensor) -> Tensor:
        if not tensor.dim():  # a loss
            return tensor.clone().requires_grad_(torch.is_grad_enabled()) if tensor.is_floating_point() else tensor
        rows = tensor[:1].expand(size, *tensor.shape[1:]).clone()
        if rows.dim() == 2 and labels is not None and len(labels) == size and rows.is_floating_point():
            named = (labels.to(rows.device).long() + (not right)) % rows.shape[1]
            rows = torch.full_like(rows, 1e-3).scatter_(1, named[:, None], 0.9)
        return rows.requires_grad_(torch.is_grad_enabled()) if rows.is_floating_point() else rows

    return _mapped(value, change)
