"""Reads CIFAR as its authors released it: pickles, binary files, and the archives of either.

Each reader yields `Part`s, a file at a time, so that little more than the result is in memory. Used by
`cifar`.
"""

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from lowres.data.pickles import read_pickle
from lowres.data.specs import PIXELS, SIDE, Array, CifarSpec, Part, checksum
from lowres.errors import UserError

_MEMBER_LIMIT = 1 << 29
"""The largest archive member in bytes; the official ones have at most 155 million."""


def read_pickles(folder: Path, spec: CifarSpec) -> Iterator[Part]:
    """Reads a folder of pickled batches (`cifar-10-batches-py`, `cifar-100-python`).

    Args:
        folder: The folder that holds the batches themselves.
        spec: Which of the data sets it should be.

    Raises:
        UserError: If a file is missing, damaged, malicious, or not of the expected size.
    """
    for name, (split, start, count) in spec.files().items():
        data = _read(folder / name)
        images, labels = decode_pickle(data, f"{folder.name}/{name}", spec, count)
        digest, official = checksum(data, "md5"), f"md5:{spec.md5[name]}"
        yield Part(f"{folder.name}/{name}", split, start, images, labels, digest, official)


def read_binaries(folder: Path, spec: CifarSpec) -> Iterator[Part]:
    """Reads a folder of binary batches (`cifar-10-batches-bin`, `cifar-100-binary`).

    Args:
        folder: The folder that holds the `.bin` files themselves.
        spec: Which of the data sets it should be.

    Raises:
        UserError: If a file is missing or not of the expected size.
    """
    for name, (split, start, count) in spec.files().items():
        data = _read(folder / f"{name}.bin")
        images, labels = decode_binary(data, f"{folder.name}/{name}.bin", spec, count)
        yield Part(f"{folder.name}/{name}.bin", split, start, images, labels, checksum(data))


def read_archive(path: Path, spec: CifarSpec) -> Iterator[Part]:
    """Reads an official archive, of pickles or of binary files, in memory: nothing is written.

    Args:
        path: The `.tar.gz`, under any name.
        spec: Which of the data sets it should be.

    Raises:
        UserError: If the archive is cut short, damaged, or lacks a file; or for what is wrong with a file in
            it.
    """
    digest = checksum(path, "md5")
    places = spec.files()
    missing = dict.fromkeys(places)
    binary: bool | None = None
    for name, data in _members(path):
        stem = name.removesuffix(".bin")
        if stem not in missing or binary not in (None, name != stem):
            continue
        del missing[stem]
        binary = name != stem
        split, start, count = places[stem]
        decode = decode_binary if binary else decode_pickle
        images, labels = decode(data, f"{path.name}: {name}", spec, count)
        official = spec.md5[spec.binary_archive if binary else spec.pickle_archive]
        yield Part(path.name, split, start, images, labels, digest, f"md5:{official}")
    if missing:
        raise UserError(f"{path}: holds no {next(iter(missing))}, so it is not an archive of {spec.name}")


def decode_pickle(data: bytes, origin: str, spec: CifarSpec, count: int) -> tuple[Array, Array]:
    """The images and labels of one pickled batch.

    Args:
        data: The whole file.
        origin: The name of the file, for messages.
        spec: Which of the data sets it belongs to.
        count: How many images it should hold.

    Returns:
        uint8, (count, 3, 32, 32), and int64, (count,).
    """
    if len(data) < count * PIXELS:
        raise UserError(
            f"{origin}: cut short, {len(data):,} bytes found and at least {count * PIXELS:,} expected; "
            f"`lowres data fetch {spec.name}` gets it anew"
        )
    batch = read_pickle(data, origin)
    pixels, labels = batch.get("data"), batch.get(spec.label_key)
    if not isinstance(pixels, np.ndarray) or labels is None:
        raise UserError(
            f"{origin}: expected 'data' and {spec.label_key!r} of {spec.name}, "
            f"found {', '.join(map(repr, list(batch)[:9])) or 'nothing'}"
        )
    if pixels.dtype != np.uint8 or pixels.shape != (count, PIXELS):
        raise UserError(f"{origin}: pixels are {pixels.dtype} {pixels.shape}, expected uint8 {(count, PIXELS)}")
    try:
        numbers = np.asarray(labels)
    except ValueError:
        numbers = np.empty(0)
    if numbers.shape != (count,) or numbers.dtype.kind not in "iu":
        raise UserError(f"{origin}: expected {count} whole numbers as labels, found {numbers.dtype} {numbers.shape}")
    return pixels.reshape(count, 3, SIDE, SIDE), numbers.astype(np.int64)


def decode_binary(data: bytes, origin: str, spec: CifarSpec, count: int) -> tuple[Array, Array]:
    """The images and labels of one binary batch; arguments and results as `decode_pickle` has them."""
    size = spec.label_bytes + PIXELS
    if len(data) != count * size:
        raise UserError(
            f"{origin}: {len(data):,} bytes found, {count * size:,} expected ({count} records of {size}); "
            f"`lowres data fetch {spec.name}` gets it anew"
        )
    records = np.frombuffer(data, np.uint8).reshape(count, size)
    images = records[:, spec.label_bytes :].reshape(count, 3, SIDE, SIDE)
    return images, records[:, spec.label_bytes - 1].astype(np.int64)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path.parent} lacks {path.name}: complete the folder or remove it") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def _unzipped(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return cast("BinaryIO", gzip.open(path)) if zipped else path.open("rb")


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each regular file of an archive, in its order."""
    try:
        # `tarfile` would unzip by itself, but does not look at the checksum that ends a gzip file.
        with _unzipped(path) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                # Skipping a member decompresses it as well, so its size matters in any case.
                if member.size > _MEMBER_LIMIT:
                    raise UserError(f"{path}: {member.name} would take {member.size:,} bytes; this is not CIFAR")
                file = archive.extractfile(member) if member.isfile() else None
                if file is not None:
                    yield Path(member.name).name, file.read()
            while stream.read(1 << 20):
                pass
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise UserError(
            f"{path}: the archive is cut short or damaged, {path.stat().st_size:,} bytes found ({error}): "
            "delete it and `lowres data fetch` it anew"
        ) from error
