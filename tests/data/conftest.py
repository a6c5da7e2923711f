"""Small CIFAR look-alikes, written in every layout that people have."""

import io
import pickle
import struct
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from lowres.data.specs import CIFAR10, CIFAR100, CifarSpec


class Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 strings, as the official files hold them."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_string(self, value):
        head = b"U" + bytes([len(value)]) if len(value) < 256 else b"T" + struct.pack("<i", len(value))
        self.write(head + value)
        self.memoize(value)

    dispatch[bytes] = save_string


def python2_pickle(value) -> bytes:
    out = io.BytesIO()
    Python2Pickler(out, protocol=2).dump(value)
    return out.getvalue().replace(b"cnumpy._core.", b"cnumpy.core.")


@dataclass(frozen=True)
class Small:
    """A few random images with the labels of a release, and functions that write them down."""

    spec: CifarSpec
    images: dict[str, np.ndarray]  # uint8, (N, 3, 32, 32)
    labels: dict[str, np.ndarray]

    def batches(self):
        for name, (split, start, count) in self.spec.files().items():
            part = slice(start, start + count)
            yield name, self.images[split][part].reshape(count, -1), self.labels[split][part]

    def pickles(self, root: Path, dump: Callable[..., bytes] = python2_pickle) -> Path:
        folder = root / self.spec.pickle_folder
        folder.mkdir(parents=True)
        for name, pixels, labels in self.batches():
            batch = {b"batch_label": name.encode(), b"data": pixels, b"filenames": [b"x.png"] * len(labels)}
            batch[self.spec.label_key.encode()] = labels.tolist()
            (folder / name).write_bytes(dump(batch))
        return folder

    def binary(self, root: Path) -> Path:
        folder = root / self.spec.binary_folder
        folder.mkdir(parents=True)
        for name, pixels, labels in self.batches():
            coarse = [labels[:, None] // 5] * (self.spec.label_bytes - 1)
            np.concatenate([*coarse, labels[:, None], pixels], axis=1).astype(np.uint8).tofile(folder / f"{name}.bin")
        return folder

    def archive(self, root: Path, kind: str) -> Path:
        source = getattr(self, kind)(root / "unpacked")
        path = root / (self.spec.pickle_archive if kind == "pickles" else self.spec.binary_archive)
        with tarfile.open(path, "w:gz") as archive:
            archive.add(source, arcname=source.name)
        return path

    def npz(self, root: Path) -> Path:
        path = root / f"{self.spec.name}.npz"
        arrays = {f"x_{split}": x.transpose(0, 2, 3, 1) for split, x in self.images.items()}
        arrays |= {f"y_{split}": y[:, None] for split, y in self.labels.items()}
        np.savez_compressed(path, **arrays)
        return path

    def parquet(self, root: Path, names: tuple[str, ...] | None = None) -> Path:
        pa = pytest.importorskip("pyarrow")
        import pyarrow.parquet

        folder = root / "plain_text"
        folder.mkdir(parents=True)
        image, label = ("img", "label") if self.spec.label_bytes == 1 else ("image", "fine_label")
        for split, images in self.images.items():
            rows = [{"bytes": png(x), "path": None} for x in images]
            half = len(rows) // 2
            for i, part in enumerate((slice(half), slice(half, None))):
                table = pa.table({image: rows[part], label: self.labels[split][part]})
                if names:
                    feature = f'{{"info": {{"features": {{"{label}": {{"names": {list(names)}}}}}}}}}'
                    table = table.replace_schema_metadata({"huggingface": feature.replace("'", '"')})
                pyarrow.parquet.write_table(table, folder / f"{split}-{i:05d}-of-00002.parquet")
        return folder

    def pngs(self, root: Path) -> Path:
        for split, images in self.images.items():
            for i, (x, label) in enumerate(zip(images, self.labels[split], strict=True)):
                path = root / split / self.spec.classes[label] / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(png(x))
        return root


def png(image: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(out, format="PNG")
    return out.getvalue()


def make_small(spec: CifarSpec, train_per_class: int, test_per_class: int) -> Small:
    spec = replace(spec, train_per_class=train_per_class, test_per_class=test_per_class)
    generator = np.random.default_rng(0)
    images, labels = {}, {}
    for split in ("train", "test"):
        classes = np.repeat(np.arange(len(spec.classes)), spec.per_class(split))
        labels[split] = generator.permutation(classes)
        images[split] = generator.integers(0, 256, (len(classes), 3, 32, 32), dtype=np.uint8)
    return Small(spec, images, labels)


@pytest.fixture(params=["cifar10", "cifar100"])
def small(request) -> Small:
    """Each CIFAR, with few images."""
    return make_small(CIFAR10, 4, 2) if request.param == "cifar10" else make_small(CIFAR100, 2, 1)


@pytest.fixture
def small10() -> Small:
    return make_small(CIFAR10, 4, 2)


@pytest.fixture
def dump_python2() -> Callable[..., bytes]:
    return python2_pickle


@pytest.fixture
def encode_png() -> Callable[[np.ndarray], bytes]:
    return png
