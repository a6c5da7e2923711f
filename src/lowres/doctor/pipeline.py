"""Facts of a loader: what lies under its data set, what its transforms do, what its batches look like.

Transforms are read where they can be, and tried: the same image is fetched several times.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, DataLoader, IterableDataset, RandomSampler, Subset

from lowres.doctor.findings import Place
from lowres.doctor.readings import first_batch, parts
from lowres.doctor.wrappers import attributes_of, length_of, wrapped_by

SAMPLES = 96
"""Images that statistics are taken of."""
RANDOM = (
    "Random", "ColorJitter", "AutoAugment", "RandAugment", "TrivialAugment", "AugMix", "ElasticTransform", "MixUp",
    "CutMix", "ScaleJitter", "GaussianNoise",
)  # fmt: skip
"""How the names of random transforms begin."""


@dataclass
class Pipeline:
    """A loader and what is known of it; figures are worked out when they are first asked for.

    Attributes:
        loader: The loader.
        place: Where it was made.
        asked: Options that it was made with.
        role: train, val or test.
        made_up: Whether its images are stand-ins.
    """

    loader: DataLoader[Any]
    place: Place | None = None
    asked: dict[str, Any] = field(default_factory=dict)
    role: str = "train"
    made_up: bool = False

    @property
    def size(self) -> int | None:
        """Images of its data set."""
        return length_of(self.loader.dataset)

    @property
    def visits(self) -> int | None:
        """Images that one pass over it gives, as sampler and `drop_last` have it."""
        count = length_of(self.loader.sampler) if not isinstance(self.loader.dataset, IterableDataset) else None
        if count is None or self.loader.batch_sampler is None:
            return count
        if self.batch_size and self.loader.drop_last:
            return count // self.batch_size * self.batch_size
        return count

    @property
    def batch_size(self) -> int | None:
        """Images of a batch."""
        size = self.loader.batch_size or getattr(self.loader.batch_sampler, "batch_size", None)
        return int(size) if size else None

    @property
    def sampler(self) -> Any:
        """What tells the order of images: its sampler, or that of the batch sampler it was made with.

        None of a batch sampler that has none: the loader's own sampler is a stand-in then, which nothing uses.
        """
        batches = getattr(self.loader, "batch_sampler", None)
        if batches is not None and self.loader.batch_size is None:
            return getattr(batches, "sampler", None)
        return self.loader.sampler

    @property
    def random_order(self) -> bool:
        """Whether its sampler draws; a batch sampler that has no sampler is taken to."""
        return "Sequential" not in type(self.sampler).__name__ or isinstance(self.sampler, RandomSampler)

    @cached_property
    def _base(self) -> tuple[Any, NDArray[np.int64] | None]:
        """The innermost data set, and which of its images are used, in order; None: all, or unknown."""
        dataset: Any = self.loader.dataset
        indices = _positions(getattr(self.sampler, "indices", None))
        for _ in range(10):
            if isinstance(dataset, IterableDataset):
                break
            if isinstance(dataset, Subset):
                own = np.asarray(list(dataset.indices), dtype=np.int64)
                indices = own if indices is None else own[indices]
                dataset = dataset.dataset
                continue
            inner = wrapped_by(dataset)
            if inner is None or isinstance(dataset, ConcatDataset) or length_of(inner) != length_of(dataset):
                break
            dataset = inner
        return dataset, indices

    @property
    def base(self) -> Any:
        """The innermost data set."""
        return self._base[0]

    @property
    def indices(self) -> NDArray[np.int64] | None:
        """The images of the innermost data set that are used; None where all are."""
        return self._base[1]

    @property
    def official_test(self) -> bool | None:
        """Whether it holds a data set's own test images; None where that cannot be told."""
        train, split = getattr(self.base, "train", None), getattr(self.base, "split", None)
        if isinstance(train, bool):
            return not train
        if isinstance(split, str):
            return split.lower().startswith("test")
        return None

    @cached_property
    def transforms(self) -> list[Any]:
        """Every transform on the way from file to tensor, the parts of compositions one by one."""
        found: list[Any] = []
        dataset = self.loader.dataset
        for _ in range(10):
            for name in ("transform", "transforms", "tfm", "augment"):
                transform = attributes_of(dataset).get(name)
                if transform is not None and type(transform).__name__ != "StandardTransform":
                    found += _flat(transform)
            inner = dataset.dataset if isinstance(dataset, Subset) else wrapped_by(dataset)
            if inner is None:
                break
            dataset = inner
        return found

    @property
    def names(self) -> list[str]:
        """The classes of its transforms."""
        return [type(one).__name__ for one in self.transforms]

    @property
    def random_names(self) -> list[str]:
        """Those of random ones."""
        return [name for name in self.names if name.startswith(RANDOM)]

    @cached_property
    def constants(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Mean and standard deviation that pixels are normalised by."""
        for one in self.transforms:
            mean, std = getattr(one, "mean", None), getattr(one, "std", None)
            if type(one).__name__ in ("Normalize", "ImageClassification") and mean is not None and std is not None:
                return _floats(mean), _floats(std)
        return None

    @cached_property
    def samples(self) -> tuple[Tensor, Tensor | None] | None:
        """Images spread evenly over the data set as the loader would give them, (N, C, H, W), and their labels."""
        if isinstance(self.loader.dataset, IterableDataset):
            images, labels = parts(first_batch(self.loader))
            return (images, labels) if images is not None else None
        positions = _spread(self.size or 0, SAMPLES)
        images, labels = parts(self.loader.collate_fn([self.loader.dataset[i] for i in positions]))
        return (images.detach().cpu(), labels) if images is not None else None

    @cached_property
    def varies(self) -> bool | None:
        """Whether an image differs from one fetch to the next; None where that cannot be tried."""
        if isinstance(self.loader.dataset, IterableDataset) or not self.size:
            return None
        for position in _spread(self.size, 6):
            draws = [_image(self.loader.dataset[position]) for _ in range(4)]
            first = draws[0]
            if first is None:
                return None
            if any(one is None or one.shape != first.shape or not torch.equal(one, first) for one in draws[1:]):
                return True
        return False

    @cached_property
    def channels(self) -> tuple[Tensor, Tensor, float, float] | None:
        """Mean and deviation of each channel, least and greatest value, of the samples."""
        if self.samples is None or self.samples[0].dim() != 4:
            return None
        images = self.samples[0].double()
        return images.mean(dim=(0, 2, 3)), images.std(dim=(0, 2, 3)), float(images.min()), float(images.max())

    @cached_property
    def labels(self) -> NDArray[np.int64] | None:
        """The label of every image, in the order of the data set, as the loader gives them."""
        raw = _labels(self.base)
        if raw is None:
            return None
        if self.indices is not None:
            raw = raw[self.indices]
        change = getattr(self.base, "target_transform", None)
        if change is not None:
            try:
                table = {value: int(change(int(value))) for value in np.unique(raw).tolist()}
            except (TypeError, ValueError):  # it makes vectors of them
                return None
            raw = np.array([table[value] for value in raw.tolist()], dtype=np.int64)
        restricted = getattr(self.sampler, "indices", None) is not None
        if not restricted and (len(raw) != self.size or not self._agree(raw)):
            return None
        return raw

    def _agree(self, labels: NDArray[np.int64]) -> bool:
        if self.samples is None or self.samples[1] is None or isinstance(self.loader.dataset, IterableDataset):
            return True
        at = _spread(self.size or 0, SAMPLES)
        return bool((labels[at] == self.samples[1].numpy()).all())

    @cached_property
    def order(self) -> float | None:
        """How mixed the classes are in its first batches: 1 as in random order, 0 where each batch has one class."""
        labels, sampler, size = self.labels, self.loader.batch_sampler, self.batch_size
        if isinstance(self.loader.dataset, IterableDataset) or getattr(self.sampler, "indices", None) is not None:
            return None  # its order is its own
        if labels is None or sampler is None or not size or len(np.unique(labels)) < 2:
            return None
        drawn = [labels[np.asarray(list(one))] for one, _ in zip(sampler, range(20), strict=False)]
        drawn = [one for one in drawn if len(one) > 1]
        if not drawn:
            return None
        generator = np.random.default_rng(0)
        random = [_entropy(generator.choice(labels, len(one))) for one in drawn]
        return float(np.mean([_entropy(one) for one in drawn]) / max(float(np.mean(random)), 1e-9))

    @cached_property
    def padding(self) -> int:
        """Images at its end that are its first ones again: those by which a wrapper is longer than what it wraps."""
        dataset = self.loader.dataset
        inner = None if isinstance(dataset, IterableDataset) else wrapped_by(dataset)
        own = length_of(inner) if inner is not None else None
        if not own or not self.size or not own < self.size < 2 * own:
            return 0
        (first, _), (again, _) = parts(dataset[0]), parts(dataset[own])
        return self.size - own if first is not None and again is not None and torch.equal(first, again) else 0

    @cached_property
    def raw(self) -> NDArray[Any] | None:
        """The stored images that are used, (N, H, W, C) or (N, C, H, W), bytes; None where they lie in files."""
        data = getattr(self.base, "data", None)
        if isinstance(data, Tensor):
            data = data.numpy()
        if not isinstance(data, np.ndarray) or data.ndim < 3 or data.dtype != np.uint8:
            return None
        return data if self.indices is None else data[self.indices]

    @cached_property
    def stored(self) -> tuple[Any, ...] | None:
        """A stand-in for each image that is used, in order, equal where the stored images are."""
        if self.raw is not None:
            return tuple(hash(image.tobytes()) for image in self.raw)
        files = getattr(self.base, "samples", None) or getattr(self.base, "imgs", None)
        if isinstance(files, list):
            chosen = files if self.indices is None else [files[i] for i in self.indices]
            return tuple(str(one[0]) for one in chosen)
        tensors = getattr(self.base, "tensors", None)
        if isinstance(tensors, tuple) and tensors and isinstance(tensors[0], Tensor):
            images = tensors[0] if self.indices is None else tensors[0][torch.from_numpy(self.indices)]
            return tuple(hash(image.numpy().tobytes()) for image in images.cpu())
        return None

    @cached_property
    def prints(self) -> frozenset[Any] | None:
        """The stand-ins, without order; of a stream those of the data set that it wraps, if it is as long."""
        inner = wrapped_by(self.base) if isinstance(self.base, IterableDataset) else None
        if inner is not None and length_of(inner) == length_of(self.base):
            return replace(self, loader=DataLoader(inner)).prints
        return frozenset(self.stored) if self.stored is not None else None


def _floats(value: Any) -> tuple[float, ...]:
    """Figures of each channel; a single one, as torchvision takes it, is that of all channels."""
    return tuple(torch.as_tensor(value, dtype=torch.float64).reshape(-1).tolist())


def _positions(value: Any) -> NDArray[np.int64] | None:
    """The positions that a sampler is restricted to."""
    if value is None or isinstance(value, str):
        return None
    try:
        return np.asarray(list(value), dtype=np.int64)
    except (TypeError, ValueError):
        return None


def _flat(transform: Any) -> Iterator[Any]:
    inner = getattr(transform, "transforms", None)
    if inner is None and isinstance(transform, nn.Sequential):
        inner = list(transform)
    if isinstance(inner, list | tuple | nn.ModuleList) and not isinstance(transform, str):
        if type(transform).__name__ not in ("Compose", "Sequential"):
            yield transform
        for one in inner:
            yield from _flat(one)
    else:
        yield transform


def _spread(size: int, count: int) -> NDArray[np.int64]:
    """Positions spread over a data set; irregularly, lest they meet a period of its order."""
    count = min(size, count)
    steps = np.arange(count) * size // max(count, 1)
    return np.asarray(
        np.minimum(steps + (np.arange(count) * 7) % max(size // max(count, 1), 1), size - 1), dtype=np.int64
    )


def _image(item: Any) -> Tensor | None:
    first = next(iter(item.values())) if isinstance(item, dict) else item[0] if isinstance(item, list | tuple) else item
    if isinstance(first, Tensor):
        return first
    try:
        return torch.from_numpy(np.array(first))
    except (TypeError, ValueError):
        return None


def _labels(base: Any) -> NDArray[np.int64] | None:
    for name in ("targets", "labels", "_labels", "y"):
        values = getattr(base, name, None)
        if values is not None and not callable(values) and len(values) == length_of(base):
            try:
                return np.asarray(values).astype(np.int64).reshape(-1)
            except (TypeError, ValueError):
                return None
    tensors = getattr(base, "tensors", None)
    if isinstance(tensors, tuple) and len(tensors) > 1 and tensors[-1].dim() == 1:
        return np.asarray(tensors[-1].cpu().numpy(), dtype=np.int64)
    return None


def _entropy(labels: NDArray[np.int64]) -> float:
    counts = np.unique(labels, return_counts=True)[1] / len(labels)
    return float(-(counts * np.log(counts)).sum())
