"""Runs a program of the bench cut short, and takes its objects: model, loader, optimizer, loss, a batch.

For tools that want objects, and to see that programs run at all. Loaders give a few batches of a few images, without
workers; torchvision's CIFAR-10 reads local files; pictures are not shown. The program itself is not edited.
"""

import contextlib
import functools
import io
import os
import runpy
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from source import python_of
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import datasets

from lowres.data import load_dataset


class Enough(BaseException):
    """The program was stopped, having shown what was wanted; no `except Exception` of its own catches it."""


@dataclass
class Captured:
    """What was seen of a program.

    Attributes:
        inputs: The first images that the model got.
        labels: The labels that belong to them.
        output: What it printed.
        steps: How often an optimizer stepped.
    """

    model: nn.Module | None = None
    loader: DataLoader[Any] | None = None
    optimizer: torch.optim.Optimizer | None = None
    loss: Callable[[Tensor, Tensor], Tensor] | None = None
    inputs: Tensor | None = None
    labels: Tensor | None = None
    output: str = ""
    steps: int = 0


def run(path: Path, data: Path, *, batches: int = 2, images: int = 16, stop: bool = True) -> Captured:
    """Runs a program; `stop`: only until its loss is called, or else until its first loader has given its batches."""
    seen = Captured()
    printed = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        for patch in _patches(seen, data, batches, images, stop):
            stack.enter_context(patch)
        stack.enter_context(contextlib.chdir(folder))
        stack.enter_context(contextlib.redirect_stdout(printed))
        stack.enter_context(contextlib.suppress(Enough))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        program = Path(folder) / "program.py"
        program.write_text(python_of(path), encoding="utf-8")
        stack.enter_context(mock.patch.object(sys, "argv", [str(program)]))
        stack.enter_context(mock.patch.dict(os.environ, {"MPLBACKEND": "Agg"}))
        runpy.run_path(str(program), run_name="__main__")
    seen.output = printed.getvalue()
    return seen


@functools.cache
def _dataset(data: Path) -> Any:
    return load_dataset("cifar10", data)


def _patches(seen: Captured, data: Path, batches: int, images: int, stop: bool) -> Iterator[Any]:
    make, iterate, call = DataLoader.__init__, DataLoader.__iter__, nn.Module.__call__
    dataset = _dataset(data)

    def loader_made(self: Any, *args: Any, **options: Any) -> None:
        options.pop("num_workers", None)
        make(self, *args, **options)

    def loader_iterated(self: Any) -> Iterator[Any]:
        seen.loader = seen.loader or self
        for index, batch in enumerate(iterate(self)):
            if index == batches:
                if stop and self is seen.loader:
                    raise Enough
                return
            shortened = [part[:images] for part in batch]
            seen.labels = shortened[1] if seen.labels is None else seen.labels
            yield shortened

    def called(self: nn.Module, *args: Any, **options: Any) -> Any:
        if seen.model is None and args and isinstance(args[0], Tensor) and args[0].ndim == 4:
            seen.model, seen.inputs = self, args[0].detach().clone()
        if seen.loss is None and len(args) == 2 and isinstance(self, nn.modules.loss._Loss):
            seen.loss, seen.labels = self, args[1].detach().clone()
            if stop:
                raise Enough
        return call(self, *args, **options)

    def stepped(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        seen.optimizer = seen.optimizer or optimizer
        seen.steps += 1

    def dataset_made(self: Any, root: Any, train: bool = True, transform: Any = None, **options: Any) -> None:
        part = dataset.train if train else dataset.test
        self.root, self.train, self.transform = str(root), train, transform
        self.target_transform = options.get("target_transform")
        self.transforms = None
        self.data = np.ascontiguousarray(part.images.permute(0, 2, 3, 1).numpy())
        self.targets = part.labels.tolist()
        self.classes = list(dataset.classes)
        self.class_to_idx = {name: index for index, name in enumerate(self.classes)}

    def optimizer_made(self: Any, *args: Any, **options: Any) -> None:
        built(self, *args, **options)
        seen.optimizer = seen.optimizer or self
        self.register_step_post_hook(stepped)

    built = torch.optim.Optimizer.__init__
    yield mock.patch.object(DataLoader, "__init__", loader_made)
    yield mock.patch.object(DataLoader, "__iter__", loader_iterated)
    yield mock.patch.object(nn.Module, "__call__", called)
    yield mock.patch.object(datasets.CIFAR10, "__init__", dataset_made)
    yield mock.patch.object(torch.optim.Optimizer, "__init__", optimizer_made)


def stand_in_weights(home: Path) -> None:
    """Puts weights in torchvision's cache where there are none: right shapes, random values.

    The fine-tuning programs ask for ImageNet weights, which are not ours to pass on; what is wrong with those
    programs shows with any weights.
    """
    from torchvision import models

    weights = models.ResNet18_Weights.IMAGENET1K_V1
    path = home / "hub" / "checkpoints" / weights.url.rsplit("/", 1)[1]
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    generator_state = torch.random.get_rng_state()
    torch.manual_seed(0)
    part = path.with_suffix(f".{os.getpid()}")
    torch.save(models.resnet18(weights=None).state_dict(), part)
    part.replace(path)
    torch.random.set_rng_state(generator_state)
