"""A data set in figures: checksums for `lowres data verify`, counts and statistics for `lowres data info`."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from torch import Tensor

from lowres.data.images import content_checksum, mean_std
from lowres.data.load import load_dataset


@dataclass(frozen=True)
class Verification:
    """What checking a data set found; a data set that is not whole raises an error instead.

    Attributes:
        name: The data set.
        files: What was read, each with its checksum.
        content: The checksum of pixels and labels, equal whatever layout they came from.
        warnings: What differs from the official release or was assumed, a line each.
    """

    name: str
    files: Mapping[str, str]
    content: str
    warnings: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether there was nothing to warn of."""
        return not self.warnings


@dataclass(frozen=True)
class Info:
    """A data set in figures.

    Attributes:
        name: The data set.
        classes: The names of the classes.
        shape: Channels, height, width.
        train_counts: Training images of each class.
        test_counts: Test images of each class.
        mean: Of the training images, for each channel, on the scale of 0 to 1.
        std: Their standard deviation, likewise.
        duplicates: Test images that are byte for byte among the training images.
        train_duplicates: Training images that repeat an earlier one byte for byte.
        conflicts: Test images among those duplicates whose label is not that of the training image.
        files: What was read, each with its checksum.
        warnings: What differs from the official release or was assumed, a line each.
    """

    name: str
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    train_counts: tuple[int, ...]
    test_counts: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    duplicates: int
    train_duplicates: int
    conflicts: int
    files: Mapping[str, str]
    warnings: tuple[str, ...]


def verify(name: str, data_dir: Path | None = None) -> Verification:
    """Reads a data set, checks its structure and sums up its bytes.

    Args:
        name: As `load_dataset` takes it.
        data_dir: Where to look, as `load_dataset` takes it.

    Raises:
        UserError: If the data are not found or not whole.
    """
    dataset = load_dataset(name, data_dir)
    return Verification(name, dataset.files, content_checksum(dataset), dataset.warnings)


def info(name: str, data_dir: Path | None = None) -> Info:
    """Reads a data set and counts what is in it; arguments and errors as `verify` has them."""
    dataset = load_dataset(name, data_dir)
    train, test = dataset.train, dataset.test
    mean, std = mean_std(train.images)
    known: dict[bytes, set[int]] = {}
    for key, label in zip(_keys(train.images), train.labels.tolist(), strict=True):
        known.setdefault(key, set()).add(label)
    repeated = [
        (key, label) for key, label in zip(_keys(test.images), test.labels.tolist(), strict=True) if key in known
    ]
    return Info(
        name=name,
        classes=dataset.classes,
        shape=tuple(train.images.shape[1:]),
        train_counts=train.counts(),
        test_counts=test.counts(),
        mean=mean,
        std=std,
        duplicates=len(repeated),
        train_duplicates=len(train) - len(known),
        conflicts=sum(label not in known[key] for key, label in repeated),
        files=dataset.files,
        warnings=dataset.warnings,
    )


def _keys(images: Tensor) -> list[bytes]:
    """A short stand-in for the bytes of each image."""
    return [blake2b(image.data, digest_size=16).digest() for image in images.contiguous().numpy()]
