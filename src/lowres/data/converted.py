"""Reads CIFAR as others have converted it: Keras's `.npz`, Hugging Face parquet, folders of PNGs.

No checksums are published for these, so what is recorded is the SHA-256 of what was read. Used by `cifar`.
"""

import hashlib
import io
import json
import os
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lowres.data.specs import PIXELS, SIDE, Array, CifarSpec, Part, Split, checksum
from lowres.errors import UserError

SPLITS: tuple[Split, Split] = ("train", "test")


def natural(name: str) -> tuple[list[int | str], str]:
    """A key that sorts names as people count: `2.png` before `10.png`."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def read_npz(path: Path, spec: CifarSpec) -> Iterator[Part]:
    """Reads `x_train`, `y_train`, `x_test`, `y_test` (uint8, NHWC or NCHW; labels (N,) or (N, 1)).

    Args:
        path: The file.
        spec: Which of the data sets it should be.

    Raises:
        UserError: If the file is damaged, lacks an array, or an array has another type or shape.
    """
    digest = checksum(path)
    try:
        with zipfile.ZipFile(path) as archive:
            # A few kilobytes can promise any amount of zeros.
            unpacked = sum(entry.file_size for entry in archive.infolist())
            if unpacked > 10 * PIXELS * (spec.count("train") + spec.count("test")):
                raise UserError(f"{path}: unpacks to {unpacked:,} bytes, far more than {spec.name} holds")
        with np.load(path, allow_pickle=False) as arrays:
            for split in SPLITS:
                lacking = {f"x_{split}", f"y_{split}"} - set(arrays.files)
                if lacking:
                    raise UserError(f"{path}: lacks {min(lacking)!r}: it holds {', '.join(arrays.files)}")
                images, labels = arrays[f"x_{split}"], arrays[f"y_{split}"]
                if images.dtype != np.uint8 or images.shape[1:] not in ((SIDE, SIDE, 3), (3, SIDE, SIDE)):
                    raise UserError(
                        f"{path}: x_{split} is {images.dtype} {images.shape}, expected uint8 (N, 32, 32, 3)"
                    )
                labels = labels.reshape(-1) if labels.shape == (len(images), 1) else labels
                if labels.dtype.kind not in "iu" or labels.shape != (len(images),):
                    raise UserError(
                        f"{path}: y_{split} is {labels.dtype} {labels.shape}, expected whole numbers ({len(images)},)"
                    )
                if images.shape[-1] == 3:
                    images = images.transpose(0, 3, 1, 2)
                yield Part(f"{path.name}: x_{split}", split, 0, images, labels, digest)
    # RuntimeError: encrypted, or packed by a method that is not known here.
    except (OSError, EOFError, ValueError, MemoryError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not an .npz of plain arrays, or a damaged one ({error})") from error


def read_parquet(folder: Path, spec: CifarSpec) -> Iterator[Part]:
    """Reads `train*.parquet` and `test*.parquet`: columns `img` or `image`, and `label` or `fine_label`.

    Args:
        folder: The folder that holds the files themselves.
        spec: Which of the data sets it should be.

    Raises:
        UserError: If pyarrow is not installed, a file is damaged, a column is missing, or classes have other
            names.
    """
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise UserError(f"{folder} holds parquet files, and reading them needs pyarrow: pip install pyarrow") from None
    for split in SPLITS:
        start = 0
        for path in sorted(folder.glob(f"{split}*.parquet"), key=lambda path: natural(path.name)):
            digest = checksum(path)
            try:
                file = parquet.ParquetFile(path)
                names = file.schema_arrow.names
                images, labels = _columns(path, names, spec)
                _check_names(path, file.schema_arrow.metadata, labels, spec)
                for batch in file.iter_batches(batch_size=1000, columns=[images, labels]):
                    column = batch.column(images)
                    encoded = column.field("bytes") if pyarrow.types.is_struct(column.type) else column
                    pixels = [
                        decode_png(data.as_py(), f"{path.name}: image {start + i}") for i, data in enumerate(encoded)
                    ]
                    numbers = batch.column(labels).to_numpy(zero_copy_only=False)
                    if numbers.dtype.kind not in "iu":
                        raise UserError(f"{path}: column {labels!r} holds {numbers.dtype}, expected whole numbers")
                    yield Part(path.name, split, start, np.stack(pixels), numbers, digest)
                    start += len(pixels)
            except (pyarrow.ArrowException, OSError, KeyError) as error:
                raise UserError(f"{path}: not a parquet file of images, or a damaged one ({error})") from error


def read_pngs(folder: Path, spec: CifarSpec) -> Iterator[Part]:
    """Reads `train/CLASS/*.png` and `test/CLASS/*.png`, each 32 by 32.

    Images come in the natural order of their file names over all classes, so names that number a whole split
    restore the official order.

    Args:
        folder: The folder that holds `train` and `test`.
        spec: Which of the data sets it should be.

    Raises:
        UserError: If the classes are others, or an image cannot be read or has another size.
    """
    for split in SPLITS:
        root = folder / split
        present = {path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")}
        if present != set(spec.classes):
            odd = min(present ^ set(spec.classes))
            state = "is not a class" if odd in present else "is missing; it should hold a class"
            raise UserError(f"{root / odd} {state} of {spec.name}")
        found = [
            (path, label)
            for label, name in enumerate(spec.classes)
            for path in (root / name).glob("*.png")
            if not path.name.startswith(".")
        ]
        found.sort(key=lambda item: (natural(item[0].name), item[1]))
        yield _read_png_split(root, split, found)


def decode_png(data: bytes, origin: str) -> Array:
    """The pixels of an encoded image of 32 by 32.

    Args:
        data: The whole file.
        origin: What it is, for messages.

    Returns:
        uint8, (3, 32, 32).
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.size != (SIDE, SIDE):
                raise UserError(f"{origin}: {image.width} x {image.height} pixels, expected {SIDE} x {SIDE}")
            return np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    except (OSError, SyntaxError, TypeError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{origin}: cannot be read as an image ({error})") from error


def _read_png_split(root: Path, split: Split, found: Sequence[tuple[Path, int]]) -> Part:
    digest = hashlib.sha256()
    images = np.empty((len(found), 3, SIDE, SIDE), np.uint8)
    for i, (path, _) in enumerate(found):
        data = path.read_bytes()
        digest.update(os.fsencode(path.relative_to(root).as_posix()) + b"\0" + hashlib.sha256(data).digest())
        images[i] = decode_png(data, str(path))
    labels = np.array([label for _, label in found], np.int64)
    return Part(f"{root.name}/*/*.png", split, 0, images, labels, f"sha256:{digest.hexdigest()}")


def _columns(path: Path, names: Sequence[str], spec: CifarSpec) -> tuple[str, str]:
    images = next((name for name in ("img", "image") if name in names), None)
    wanted = ("label", "labels") if spec.label_key == "labels" else ("fine_label", "fine_labels")
    labels = next((name for name in wanted if name in names), None)
    if images is None or labels is None:
        raise UserError(f"{path}: expected columns 'img' and {wanted[0]!r} of {spec.name}, found {', '.join(names)}")
    return images, labels


def _check_names(path: Path, metadata: dict[bytes, bytes] | None, column: str, spec: CifarSpec) -> None:
    """Where the file says what its labels mean, they must mean what they mean here."""
    try:
        features: Any = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        names = tuple(features[column]["names"])
    except (KeyError, TypeError, ValueError):
        return
    if names != spec.classes:
        raise UserError(f"{path}: its classes are {', '.join(names[:10])}, not those of {spec.name} in their order")
