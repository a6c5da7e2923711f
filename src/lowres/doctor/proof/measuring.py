"""The figure that variants are compared by: the trained network on test images, in its own way of evaluating."""

import copy
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from lowres.doctor.network import BATCH_NORMS
from lowres.doctor.pipeline import Pipeline
from lowres.doctor.proof.draws import seed_everything
from lowres.doctor.proof.follower import Follower, Pass, scores_of
from lowres.doctor.proof.loaders import Cut, device_of, stratified
from lowres.doctor.readings import parts

SETTLED = 100
"""Steps after which running statistics, at a momentum of 0.1, follow the network closely."""
SETTLING = 256
"""Training images that they are taken of where there were fewer steps."""
SLOW = 0.05
"""Layers of a lower momentum keep their statistics: that they lag behind may be the fault in question."""


@dataclass(frozen=True)
class Measured:
    """A figure.

    Attributes:
        percent: None where there is none.
        what: "test images", or "its own evaluation" where the network could not be given test images.
        images: That were evaluated for it here.
        seconds: It took.
    """

    percent: float | None
    what: str
    images: int = 0
    seconds: float = 0.0


def measure(follower: Follower, images: int) -> Measured:
    """Evaluates the network that was trained on at most `images` test images.

    Where it evaluates in evaluation mode after few steps, running statistics are those of its last weights: over a
    whole training they would have settled, and a short one must not speak against `eval()`.
    """
    passes = follower.evaluated()
    last = passes[-1] if passes else None
    own = Measured(last.percent, "its own evaluation") if last else Measured(None, "")
    trained = follower.trained()
    settles = bool(trained) and trained[-1].training  # what trains in evaluation mode is evaluated as it was trained
    unsettled = settles and (last is None or not last.training) and follower.steps < SETTLED
    if last is not None and _official(follower, last) and last.steps == follower.steps and last.ended and not unsettled:
        return Measured(last.percent, "test images")
    network = largest(follower)
    shown = last or (trained[-1] if trained else None)
    if network is None or (shown is not None and not shown.alike):
        return own  # the program does something to its images on their way to the network
    dataset = _test_images(follower, last)
    if dataset is None:
        return own
    began = time.perf_counter()
    if unsettled:
        _settle(follower, network)
    size = len(dataset)  # type: ignore[arg-type]
    if size > images:
        dataset, size = Cut(dataset, stratified(None, size, images, 0)), images
    item = follower.trace.loaders[last.loader].item if last else None
    batch, collate = (item.batch_size, item.collate_fn) if item is not None else (None, None)
    network.train(last.training if last else False)
    right = _right(network, DataLoader(dataset, batch_size=batch or 256, collate_fn=collate))
    return Measured(100 * right / size, "test images", size, time.perf_counter() - began)


def largest(follower: Follower) -> nn.Module | None:
    """The network that gradients went through, of several that with most parameters."""
    return max(follower.networks.values(), key=lambda one: sum(p.numel() for p in one.parameters()), default=None)


def weights(follower: Follower) -> str:
    """A hash of the trained parameters' bits, whatever their names and order are; "" where there are none.

    Two programs for which it is the same trained in the same way, whatever they look like.
    """
    network = largest(follower)
    if network is None:
        return ""
    tensors = (one.detach().cpu().contiguous().view(-1).view(torch.uint8) for one in network.parameters())
    digests = sorted(hashlib.sha256(one.numpy().tobytes()).digest() for one in tensors)
    return hashlib.sha256(b"".join(digests)).hexdigest()[:24]


@torch.no_grad()
def _right(network: nn.Module, loader: DataLoader[Any]) -> int:
    device, right = device_of(network), 0
    seed_everything("evaluation")
    for batch in loader:
        images, labels = parts(batch)
        scores = scores_of(network(images.to(device))) if images is not None else None
        if scores is not None and labels is not None:
            right += int((scores.argmax(1).cpu() == labels).sum())
    return right


def _official(follower: Follower, one: Pass) -> bool:
    return Pipeline(follower.trace.loaders[one.loader].item).official_test is True


def _test_images(follower: Follower, last: Pass | None) -> Dataset[Any] | None:
    """Test images as the program evaluates: with the transforms of its evaluation."""
    seen = [one.item for one in follower.trace.loaders.values()]
    if last is not None:
        seen.insert(0, follower.trace.loaders[last.loader].item)
    pipelines = [Pipeline(one) for one in seen]
    official = next((one for one in pipelines if one.official_test), None)
    if last is not None and pipelines[0].official_test:
        return seen[0].dataset  # type: ignore[no-any-return]
    if last is None and official is not None:
        return official.loader.dataset
    base: Any = pipelines[0].base if pipelines else None
    if type(base).__name__ not in ("CIFAR10", "CIFAR100") or not _plain(seen[0].dataset, base):
        return None
    transform = base.transform if last is not None else _calm(base.transform, pipelines[0])
    options = {"transform": transform, "target_transform": base.target_transform}
    found: Dataset[Any] = type(base)(base.root, train=False, **options)
    return found


def _plain(dataset: Any, base: Any) -> bool:
    """Whether nothing but choices of images stands between a data set and its base."""
    while isinstance(dataset, torch.utils.data.Subset):
        dataset = dataset.dataset
    return dataset is base


def _calm(transform: Any, pipeline: Pipeline) -> Callable[[Any], Any] | None:
    """A transform without its random parts."""
    inner = getattr(transform, "transforms", None)
    if not isinstance(inner, list):
        return transform  # type: ignore[no-any-return]
    calm = copy.copy(transform)
    calm.transforms = [one for one in inner if type(one).__name__ not in pipeline.random_names]
    return calm  # type: ignore[no-any-return]


@torch.no_grad()
def _settle(follower: Follower, network: nn.Module) -> None:
    """Running statistics of the weights as they are, over some training images."""
    every = [one for one in network.modules() if isinstance(one, BATCH_NORMS)]
    norms = [one for one in every if (one.momentum or 1) >= SLOW and id(one) in follower.tracked]
    trained = follower.trained()
    loader = follower.trace.loaders.get(trained[-1].loader) if trained and trained[-1].alike else None
    if not norms or loader is None:
        return
    kept = [(one, one.momentum) for one in norms]
    for one in norms:
        one.reset_running_stats()
        one.momentum = None  # a plain average
    network.train()
    for one in every:
        one.train(id(one) in follower.tracked)  # frozen ones stay as they are
    seen = 0
    seed_everything("settling")
    for batch in loader.item:
        images, _ = parts(batch)
        if images is None or len(images) < 2:
            continue
        network(images.to(device_of(network)))
        seen += len(images)
        if seen >= SETTLING:
            break
    for one, momentum in kept:
        one.momentum = momentum
