"""Loaders of a trial: fewer images, so many of each class as before, in the program's own order and batches."""

import inspect
import itertools
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, Sampler, Subset, SubsetRandomSampler

from lowres.doctor.pipeline import Pipeline
from lowres.doctor.proof.draws import number_of

SIMILAR = 0.6
"""A data set of at least so much of the training set's size is one to train on: a fix may split some off."""


class Cut(Subset[Any]):
    """Some images of a data set, which answers to everything else as the data set itself."""

    def __getattr__(self, name: str) -> Any:
        if name in ("dataset", "indices") or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.dataset, name)


class Shortened(Sampler[Any]):
    """The first so many of what a sampler gives."""

    def __init__(self, sampler: Any, count: int) -> None:
        self.sampler, self.count = sampler, count

    def __iter__(self) -> Iterator[Any]:
        return itertools.islice(iter(self.sampler), self.count)

    def __len__(self) -> int:
        return self.count


class Cutter:
    """Cuts the data sets of loaders as they are made.

    Args:
        seed: Of the trial; it decides which images.
        images: Of the training set.
        test: Of any other.
        whole: Size of the whole training set, by which it is told from others.
        batch: At most so many images a training batch; 0: as the program has it.
    """

    def __init__(self, seed: int, images: int, test: int, whole: int, batch: int = 0) -> None:
        self._seed, self._images, self._test, self._whole, self._batch = seed, images, test, whole, batch

    def arguments(
        self, original: Callable[..., Any], loader: Any, args: Any, kwargs: Any
    ) -> tuple[dict[str, Any], bool]:
        """What to make a loader with, instead of `args` and `kwargs`; and whether it is one to train with."""
        given: dict[str, Any] = dict(inspect.signature(original).bind(loader, *args, **kwargs).arguments)
        given.pop("self", None)
        given |= given.pop("kwargs", {})
        for name in ("num_workers", "prefetch_factor", "persistent_workers", "multiprocessing_context", "timeout"):
            given.pop(name, None)
        given.pop("pin_memory", None)
        dataset, sampler, batches = given["dataset"], given.get("sampler"), given.get("batch_sampler")
        if isinstance(dataset, IterableDataset):
            return given, True
        pipeline = Pipeline(SimpleNamespace(dataset=dataset, sampler=sampler))  # type: ignore[arg-type]
        size: int = len(sampler) if sampler is not None and hasattr(sampler, "__len__") else len(dataset)
        trains = size >= SIMILAR * self._whole and pipeline.official_test is not True
        keep = self._images if trains else self._test
        batch = int(given.get("batch_size") or 1)
        if trains and batches is None:
            given["batch_size"] = min(batch, keep, self._batch or batch)
        elif batches is None and given.get("drop_last"):
            given["batch_size"] = max(1, min(batch, keep, size))  # of so few images one batch is left at least
        if batches is not None:
            batch = int(getattr(batches, "batch_size", batch))
            given["batch_sampler"] = Shortened(batches, min(len(batches), max(1, keep // batch)))
        elif size <= keep:
            pass
        elif isinstance(sampler, SubsetRandomSampler):
            labels = pipeline.labels
            chosen = stratified(labels, size, keep, number_of(self._seed, "images", trains))
            indices = [sampler.indices[i] for i in chosen]
            given["sampler"] = SubsetRandomSampler(indices, generator=sampler.generator)
        elif sampler is not None:
            given["sampler"] = Shortened(sampler, keep)
        else:
            chosen = stratified(_labels(pipeline, size), size, keep, number_of(self._seed, "images", trains))
            given["dataset"] = Cut(dataset, chosen)
        return given, trains


def _labels(pipeline: Pipeline, size: int) -> NDArray[np.int64] | None:
    pipeline.samples = None  # nothing is fetched: positions are chosen by what is stored
    try:
        labels = pipeline.labels
    except Exception:  # whatever a data set of the user's may do
        return None
    return labels if labels is not None and len(labels) == size else None


def stratified(labels: NDArray[np.int64] | None, size: int, count: int, seed: int) -> list[int]:
    """Positions of `count` of `size` images, of each class its share, in their old order.

    >>> stratified(np.array([0, 0, 0, 0, 1, 1]), 6, 3, 0)[-1] >= 4
    True
    """
    draw = np.random.default_rng(seed)
    order = draw.permutation(size)
    if labels is not None:
        # The k-th of m images of a class stands at (k + 1/2) / m: the first `count` have each class's share.
        rank = np.empty(size)
        for label in np.unique(labels):
            own = order[labels[order] == label]
            rank[own] = (np.arange(len(own)) + draw.random()) / len(own)
        order = np.argsort(rank, kind="stable")
    return sorted(int(one) for one in order[:count])


def device_of(model: torch.nn.Module) -> torch.device:
    """Where a network is."""
    return next((one.device for one in model.parameters()), torch.device("cpu"))
