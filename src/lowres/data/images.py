"""What a data set is in memory: pixels and labels of each split as tensors, and what follows from them.

Every reader of this layer ends in an `Images`; batches, evaluation and reports start from one.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lowres.errors import UserError

CHUNK = 1000
"""Images that are converted at a time where a whole data set would be too large in another type."""


@dataclass(frozen=True, eq=False)
class Images:
    """One split of a data set: pixels as they are stored, labels, and the names of the classes.

    Attributes:
        images: uint8, (N, C, H, W).
        labels: int64, (N,), each from 0 to `len(classes) - 1`.
        classes: The names of the classes, in the order of the labels.

    Raises:
        UserError: If the tensors do not fit this description or each other.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != torch.uint8 or images.ndim != 4:
            raise UserError(f"images must be uint8 of shape (N, C, H, W), not {_describe(images)}")
        if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
            raise UserError(f"labels must be int64 of shape ({len(images)},), not {_describe(labels)}")
        wrong = ((labels < 0) | (labels >= len(self.classes))).nonzero()
        if len(wrong):
            first = int(wrong[0])
            raise UserError(
                f"label {int(labels[first])} of image {first} is outside 0 to {len(self.classes) - 1}: "
                f"there are {len(self.classes)} classes"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Tensor | Sequence[int]) -> Self:
        """The images at these positions, in this order.

        Args:
            indices: int64, (M,), each from 0 to `len(self) - 1`.
        """
        positions = torch.as_tensor(indices, dtype=torch.int64, device=self.labels.device)
        return type(self)(self.images[positions], self.labels[positions], self.classes)

    def counts(self) -> tuple[int, ...]:
        """How many images each class has, in the order of the classes."""
        return tuple(torch.bincount(self.labels, minlength=len(self.classes)).tolist())


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set as it was read: two splits, the files they came from, and what is odd about them.

    Attributes:
        name: As it was asked for: `cifar10`, `digits`, `folder:PATH`.
        train: The images that may be learned from.
        test: The images that are only measured on.
        files: What was read, each with its checksum written `md5:...` or `sha256:...`.
        warnings: What differs from the official release or was assumed, a line each.
    """

    name: str
    train: Images
    test: Images
    files: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the labels."""
        return self.train.classes


def mean_std(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over all pixels of all images, on the scale of 0 to 1.

    The sums are exact integers, so the figures do not depend on the order of the images. On CIFAR-10's
    training images the deviations are 0.2470, 0.2435, 0.2616; the widespread 0.2023, 0.1994, 0.2010 average
    each image's own deviation, which is a mistake.

    Args:
        images: uint8, (N, C, H, W), at least one image.

    Returns:
        The means and the (population) standard deviations, a figure for each channel.
    """
    if not images.numel():
        raise UserError("mean and standard deviation need at least one image")
    total = torch.zeros(images.shape[1], dtype=torch.float64)
    squares = torch.zeros_like(total)
    for i in range(0, len(images), CHUNK):
        # Whole numbers below 2**53 in every step, so nothing is rounded.
        pixels = images[i : i + CHUNK].cpu().transpose(0, 1).flatten(1).double()
        total += pixels.sum(dim=1)
        squares += torch.linalg.vecdot(pixels, pixels)
    count = images.numel() // images.shape[1]
    sums = [(int(s), int(q)) for s, q in zip(total.tolist(), squares.tolist(), strict=True)]
    means = tuple(s / (255 * count) for s, _ in sums)
    deviations = tuple((count * q - s * s) ** 0.5 / (255 * count) for s, q in sums)
    return means, deviations


def stratified_split(labels: Tensor, held_out: int, seed: int) -> tuple[Tensor, Tensor]:
    """Splits so that each class has the same share of both parts, as near as whole images allow.

    Each class gives its exact share rounded down; the images still missing come from the classes with the
    largest remainders (the method of Hare and Niemeyer), lower labels first where these are equal.

    Args:
        labels: int64, (N,).
        held_out: How many images to hold out, 0 to N; exactly so many are.
        seed: Which images of each class are held out.

    Returns:
        The positions that are kept and those that are held out: int64, (N - held_out,) and (held_out,), both
        sorted.

    Example:
        >>> kept, held = stratified_split(torch.tensor([0, 0, 0, 0, 1, 1]), held_out=3, seed=0)
        >>> len(kept), len(held)
        (3, 3)
    """
    values = labels.cpu().numpy()
    if not 0 <= held_out <= len(values):
        raise UserError(f"cannot hold out {held_out} of {len(values)} images")
    generator = np.random.default_rng(seed)
    classes, sizes = np.unique(values, return_counts=True)
    shares = [divmod(int(size) * held_out, len(values)) for size in sizes]
    takes = [whole for whole, _ in shares]
    by_remainder = sorted(range(len(classes)), key=lambda i: -shares[i][1])
    for i in by_remainder[: held_out - sum(takes)]:
        takes[i] += 1
    mask = np.zeros(len(values), dtype=bool)
    for label, take in zip(classes, takes, strict=True):
        mask[generator.permutation(np.flatnonzero(values == label))[:take]] = True
    return torch.from_numpy(np.flatnonzero(~mask)), torch.from_numpy(np.flatnonzero(mask))


def resize(images: Tensor, size: int) -> Tensor:
    """Scales to `size` by `size` pixels, bilinear, antialiased where it shrinks.

    Args:
        images: uint8, (N, C, H, W).
        size: Height and width of the result in pixels.

    Returns:
        uint8, (N, C, size, size); the same tensor where nothing is to be done.
    """
    if images.shape[-2:] == (size, size):
        return images
    scaled = torch.empty((*images.shape[:2], size, size), dtype=torch.uint8, device=images.device)
    for i in range(0, len(images), CHUNK):
        part = slice(i, i + CHUNK)
        exact = F.interpolate(images[part].float(), (size, size), mode="bilinear", antialias=True)
        scaled[part] = exact.round_().clamp_(0, 255)
    return scaled


def content_checksum(dataset: Dataset) -> str:
    """The SHA-256 of what a data set holds, equal for equal images and labels whatever files they came from.

    Hashed in order: training pixels (uint8, NCHW), training labels (int64, little-endian), test pixels, test
    labels.
    """
    digest = hashlib.sha256()
    for split in (dataset.train, dataset.test):
        digest.update(np.ascontiguousarray(split.images.cpu().numpy()).data)
        digest.update(split.labels.cpu().numpy().astype("<i8").data)
    return f"sha256:{digest.hexdigest()}"


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"
