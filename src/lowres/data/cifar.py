"""Finds CIFAR-10 or CIFAR-100 in whatever layout it lies, reads it and checks that it is whole.

The readers (`official`, `converted`) know the formats; what they yield is put together and checked here,
alike for all.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lowres.data.converted import SPLITS, read_npz, read_parquet, read_pngs
from lowres.data.images import Dataset, Images
from lowres.data.official import read_archive, read_binaries, read_pickles
from lowres.data.specs import SIDE, CifarSpec, Part
from lowres.errors import UserError
from lowres.files import expanded


@dataclass(frozen=True)
class Layout:
    """A way in which people keep CIFAR.

    Attributes:
        title: What it is called.
        find: Where it lies, given a folder (or the file itself), or None.
        read: Reads it from there.
    """

    title: str
    find: Callable[[Path, CifarSpec], Path | None]
    read: Callable[[Path, CifarSpec], Iterator[Part]]


def search(spec: CifarSpec, data_dir: Path | None) -> tuple[Layout, Path]:
    """The first layout that is there.

    A place is searched for all layouts, in the order of `LAYOUTS`, before the next place. What is found first
    is read, whole or with an error: parts of different layouts are never mixed.

    Args:
        spec: Which of the data sets to look for.
        data_dir: A folder that holds a layout, the folder of a layout itself, or a file; None for the folder
            in the environment variable LOWRES_DATA_DIR, then `data` in the current folder.

    Raises:
        UserError: If there is none.
    """
    places = _places(data_dir)
    for place in places:
        for layout in LAYOUTS:
            path = layout.find(place, spec)
            if path is not None:
                return layout, path
    looked = " or ".join(f"{place}{'' if place.exists() else ' (which does not exist)'}" for place in places)
    raise UserError(
        f"no {spec.name} in {looked}: `lowres data fetch {spec.name}` gets it, or name another folder; "
        f"read are {', '.join(layout.title for layout in LAYOUTS)}"
    )


def load_cifar(spec: CifarSpec, data_dir: Path | None = None) -> Dataset:
    """Finds, reads and checks one of the CIFAR data sets.

    Args:
        spec: Which one.
        data_dir: Where to look, as in `search`.

    Returns:
        The data set. A file that differs from the published checksum is a warning in it.

    Raises:
        UserError: If it is not found, or not whole.
    """
    layout, path = search(spec, data_dir)
    return assemble(spec, layout.read(path, spec), path)


def assemble(spec: CifarSpec, parts: Iterable[Part], path: Path) -> Dataset:
    """Puts the parts of a data set together and checks labels and counts.

    Args:
        spec: Which of the data sets it should be.
        parts: All parts of both splits, in any order.
        path: Where they come from, for messages.

    Raises:
        UserError: If a label is out of range, or images are missing, too many, or unevenly spread over the
            classes.
    """
    images = {split: torch.empty((spec.count(split), 3, SIDE, SIDE), dtype=torch.uint8) for split in SPLITS}
    labels = {split: torch.full((spec.count(split),), -1, dtype=torch.int64) for split in SPLITS}
    files: dict[str, str] = {}
    odd: dict[str, str] = {}
    for part in parts:
        _check_labels(part, spec)
        end = part.start + len(part.labels)
        if end > spec.count(part.split):
            raise UserError(
                f"{path}: {end:,} {part.split} images with those of {part.file}, "
                f"{spec.count(part.split):,} expected in {spec.name}"
            )
        images[part.split][part.start : end].numpy()[...] = part.images
        labels[part.split][part.start : end].numpy()[...] = part.labels
        file = part.file.partition(": ")[0]
        files[file] = part.checksum
        if part.official is not None and part.checksum != part.official:
            odd[file] = part.checksum
    for split in SPLITS:
        _check_counts(labels[split].numpy(), split, spec, path)
    train, test = (Images(images[split], labels[split], spec.classes) for split in SPLITS)
    return Dataset(spec.name, train, test, files, _differences(odd))


def _check_labels(part: Part, spec: CifarSpec) -> None:
    wrong = np.flatnonzero((part.labels < 0) | (part.labels >= len(spec.classes)))
    if len(wrong):
        raise UserError(
            f"{part.file}: label {part.labels[wrong[0]]} at image {part.start + wrong[0]}, "
            f"expected 0 to {len(spec.classes) - 1} ({len(wrong):,} such labels)"
        )


def _check_counts(labels: np.ndarray[tuple[int], np.dtype[np.int64]], split: str, spec: CifarSpec, path: Path) -> None:
    found = int((labels >= 0).sum())
    if found < len(labels):
        raise UserError(f"{path}: {found:,} {split} images found, {len(labels):,} expected in {spec.name}")
    expected = len(labels) // len(spec.classes)
    counts = np.bincount(labels, minlength=len(spec.classes))
    uneven = np.flatnonzero(counts != expected)
    if len(uneven):
        name, count = spec.classes[uneven[0]], counts[uneven[0]]
        raise UserError(f"{path}: {count:,} {split} images of class {name!r}, expected {expected:,} of each class")


def _differences(odd: dict[str, str]) -> tuple[str, ...]:
    if not odd:
        return ()
    first, digest = next(iter(odd.items()))
    others = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
    return (f"{first}{others}: bytes differ from the official release ({digest} is not the published checksum)",)


def _places(data_dir: Path | None) -> tuple[Path, ...]:
    if data_dir is not None:
        return (expanded(data_dir),)
    variable = os.environ.get("LOWRES_DATA_DIR")
    return (*((expanded(variable),) if variable else ()), Path("data"))


def _folders(place: Path, spec: CifarSpec) -> tuple[Path, ...]:
    """The folder itself, and those below it that carry the name of the data set."""
    dashed = spec.name.replace("cifar", "cifar-")
    return (place, *(place / name for name in (spec.name, dashed, spec.name.upper(), dashed.upper())))


def _find_batches(folder: str, suffix: str) -> Callable[[Path, CifarSpec], Path | None]:
    def find(place: Path, spec: CifarSpec) -> Path | None:
        """The official folder, or this one if official files are in it."""
        official: Path = place / getattr(spec, folder)
        if official.is_dir():
            return official
        return place if any((place / f"{name}{suffix}").is_file() for name in spec.files()) else None

    return find


def _find_archive(archive: str) -> Callable[[Path, CifarSpec], Path | None]:
    def find(place: Path, spec: CifarSpec) -> Path | None:
        if place.is_file() and place.name.endswith((".tar.gz", ".tgz", ".tar")):
            return place
        path: Path = place / getattr(spec, archive)
        return path if path.is_file() else None

    return find


def _find_npz(place: Path, spec: CifarSpec) -> Path | None:
    if place.is_file() and place.suffix == ".npz":
        return place
    paths = (folder.with_name(f"{folder.name}.npz") for folder in _folders(place, spec)[1:])
    return next((path for path in paths if path.is_file()), None)


def _find_parquet(place: Path, spec: CifarSpec) -> Path | None:
    if place.is_file() and place.suffix == ".parquet":
        return place.parent
    # The Hub's repositories keep the files in a folder named for the configuration.
    for folder in _folders(place, spec):
        for home in (folder, folder / "plain_text", folder / spec.name, folder / "data"):
            if all(any(home.glob(f"{split}*.parquet")) for split in SPLITS):
                return home
    return None


def _find_pngs(place: Path, spec: CifarSpec) -> Path | None:
    homes = _folders(place, spec)
    return next((home for home in homes if all((home / s / spec.classes[0]).is_dir() for s in SPLITS)), None)


LAYOUTS = (
    Layout("the official pickles", _find_batches("pickle_folder", ""), read_pickles),
    Layout("the official binary files", _find_batches("binary_folder", ".bin"), read_binaries),
    Layout("the archive of the pickles", _find_archive("pickle_archive"), read_archive),
    Layout("the archive of the binary files", _find_archive("binary_archive"), read_archive),
    Layout("an .npz", _find_npz, read_npz),
    Layout("parquet files", _find_parquet, read_parquet),
    Layout("folders of PNGs", _find_pngs, read_pngs),
)
"""The layouts that are read, in the order in which they are looked for."""
