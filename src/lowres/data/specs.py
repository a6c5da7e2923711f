"""What CIFAR-10 and CIFAR-100 are: classes, counts, file names and the published checksums.

A reader takes one of these, so nothing about a release is written anywhere else.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

SIDE = 32
"""Height and width of a CIFAR image in pixels."""
PIXELS = 3 * SIDE * SIDE
"""Bytes of a CIFAR image: the red plane, then the green one, then the blue one."""

Split = Literal["train", "test"]
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class CifarSpec:
    """One of the CIFAR data sets as its authors released it (Krizhevsky 2009).

    Attributes:
        name: As it is asked for.
        classes: The names of the classes, in the order of the labels.
        train_files: The training files without suffix, in official order.
        test_files: The test files without suffix.
        train_per_class: Training images of each class.
        test_per_class: Test images of each class.
        label_key: The key of the labels in the pickles and the column in parquet files.
        label_bytes: The bytes before the pixels of a binary record; the last of them is the label.
        pickle_folder: The folder that the Python archive unpacks to.
        binary_folder: The folder that the binary archive unpacks to.
        pickle_archive: The name of the Python archive.
        binary_archive: The name of the binary archive.
        md5: The published checksums: of the archives, and of the pickles as torchvision lists them.
    """

    name: str
    classes: tuple[str, ...]
    train_files: tuple[str, ...]
    test_files: tuple[str, ...]
    train_per_class: int
    test_per_class: int
    label_key: str
    label_bytes: int
    pickle_folder: str
    binary_folder: str
    pickle_archive: str
    binary_archive: str
    md5: Mapping[str, str]

    def count(self, split: Split) -> int:
        """How many images a split has."""
        return len(self.classes) * self.per_class(split)

    def per_class(self, split: Split) -> int:
        """How many images of each class a split has."""
        return self.train_per_class if split == "train" else self.test_per_class

    def files(self) -> dict[str, tuple[Split, int, int]]:
        """For each official file without suffix: its split, the first image there, how many it holds."""
        places: dict[str, tuple[Split, int, int]] = {}
        splits: tuple[tuple[Split, tuple[str, ...]], ...] = (
            ("train", self.train_files),
            ("test", self.test_files),
        )
        for split, names in splits:
            size = self.count(split) // len(names)
            places |= {name: (split, i * size, size) for i, name in enumerate(names)}
        return places


@dataclass(frozen=True, eq=False)
class Part:
    """Some consecutive images of one split, as one file holds them.

    Attributes:
        file: The file, for messages and for the record.
        split: The split these images belong to.
        start: The position of the first of them in the split.
        images: uint8, (N, 3, 32, 32).
        labels: Whole numbers, (N,).
        checksum: Of the whole file: `md5:...` where a published one exists, else `sha256:...`.
        official: The published checksum, where there is one.
    """

    file: str
    split: Split
    start: int
    images: Array
    labels: Array
    checksum: str
    official: str | None = None


def checksum(data: bytes | BinaryIO | Path, algorithm: Literal["md5", "sha256"] = "sha256") -> str:
    """The checksum of bytes, of an open file from where it stands, or of a file, written `sha256:...`."""
    if isinstance(data, Path):
        with data.open("rb") as file:
            return checksum(file, algorithm)
    if isinstance(data, bytes):
        return f"{algorithm}:{hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()}"
    digest = hashlib.new(algorithm, usedforsecurity=False)
    while block := data.read(1 << 20):
        digest.update(block)
    return f"{algorithm}:{digest.hexdigest()}"


CIFAR10 = CifarSpec(
    name="cifar10",
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    train_files=tuple(f"data_batch_{i}" for i in range(1, 6)),
    test_files=("test_batch",),
    train_per_class=5000,
    test_per_class=1000,
    label_key="labels",
    label_bytes=1,
    pickle_folder="cifar-10-batches-py",
    binary_folder="cifar-10-batches-bin",
    pickle_archive="cifar-10-python.tar.gz",
    binary_archive="cifar-10-binary.tar.gz",
    md5={
        "cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a",
        "cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530",
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
    },
)

_FINE_LABELS = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""

CIFAR100 = CifarSpec(
    name="cifar100",
    classes=tuple(_FINE_LABELS.split()),
    train_files=("train",),
    test_files=("test",),
    train_per_class=500,
    test_per_class=100,
    label_key="fine_labels",
    label_bytes=2,
    pickle_folder="cifar-100-python",
    binary_folder="cifar-100-binary",
    pickle_archive="cifar-100-python.tar.gz",
    binary_archive="cifar-100-binary.tar.gz",
    md5={
        "cifar-100-python.tar.gz": "eb9058c3a382ffc7106e4002c42a8d85",
        "cifar-100-binary.tar.gz": "03b5dce01913d631647c71ecec9e9cb8",
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    },
)

SPECS = {spec.name: spec for spec in (CIFAR10, CIFAR100)}
