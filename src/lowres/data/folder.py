"""Reads images of any size and kind from a folder per class: `PATH/train/CLASS/*` and `PATH/test/CLASS/*`."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from lowres.data.converted import natural
from lowres.data.images import Dataset, Images, stratified_split
from lowres.data.specs import Array
from lowres.errors import UserError
from lowres.files import expanded

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff"))
"""The files that are taken for images; others are left out, with a warning."""
TEST_NAMES = ("test", "val", "valid", "validation")
"""What the folder of the test images may be called, in the order in which they are looked for."""
HELD_OUT_SHARE = 0.2
HELD_OUT_SEED = 0
LAYOUT = "expected PATH/train/CLASS/* and PATH/test/CLASS/* (test may be val), or PATH/CLASS/*"


def load_folder(path: str, data_dir: Path | None = None, image_size: int = 32) -> Dataset:
    """Loads a tree of images, a folder for each class, as torchvision's `ImageFolder` has it.

    Grey, palette, 16-bit and transparent images (transparency on white) become RGB; the rotation that a
    camera noted is applied. The shorter side is scaled to `image_size` with antialiasing and the centre is
    kept. Classes are in natural order (`2` before `10`). Without a test folder a fifth of each class is held
    out, always the same, and a warning says so.

    Args:
        path: The folder. `~` is the home folder.
        data_dir: Where a relative path starts; None for the current folder.
        image_size: Height and width of the result in pixels.

    Raises:
        UserError: If the folder is missing or laid out otherwise, the classes of the splits differ, a class
            is empty, or an image cannot be read, which is then named.
    """
    root = expanded(data_dir or Path()) / expanded(path)
    if not path or not root.is_dir():
        raise UserError(f"folder:{path}: {root if path else 'PATH'} is not a folder; {LAYOUT}")
    name = f"folder:{path}"
    names = [test for test in TEST_NAMES if (root / test).is_dir()]
    if names and not (root / "train").is_dir():
        raise UserError(f"{root}: has {names[0]} but no train; {LAYOUT}")
    train_root = root / "train" if (root / "train").is_dir() else root
    classes = _classes(train_root)
    train, train_digest, warnings = _read_split(train_root, classes, image_size)
    if names:
        test_root = root / names[0]
        differing = set(classes) ^ set(_classes(test_root))
        if differing:
            odd = min(differing, key=natural)
            has, lacks = (train_root, test_root) if odd in classes else (test_root, train_root)
            raise UserError(f"{root}: class {odd!r} is in {has.name} but not in {lacks.name}")
        test, test_digest, more = _read_split(test_root, classes, image_size)
        unused = tuple(f"{root / other}: left out, {test_root.name} is the test set" for other in names[1:])
        files = {"train": train_digest, test_root.name: test_digest}
        return Dataset(name, train, test, files, (*warnings, *more, *unused))
    held_out = round(len(train) * HELD_OUT_SHARE)
    kept, held = stratified_split(train.labels, held_out, HELD_OUT_SEED)
    for label in sorted(set(range(len(classes))) - set(train.labels[held].tolist())):
        raise UserError(
            f"{root}: holding out a fifth leaves no test image of class {classes[label]!r}, of which there are "
            f"{int((train.labels == label).sum())}: add images, or a folder test/ beside train/"
        )
    warning = f"{root}: no test folder, so {held_out} of {len(train)} images are held out, seed {HELD_OUT_SEED}"
    return Dataset(name, train.subset(kept), train.subset(held), {"images": train_digest}, (*warnings, warning))


def read_image(path: Path, image_size: int) -> Array:
    """Reads an image file of any size and mode.

    Args:
        path: The file.
        image_size: Height and width of the result in pixels.

    Returns:
        uint8, (3, image_size, image_size).

    Raises:
        UserError: If the file cannot be read as an image.
    """
    try:
        with Image.open(path) as image:
            upright = _to_rgb(ImageOps.exif_transpose(image))
        square = ImageOps.fit(upright, (image_size, image_size), Image.Resampling.BILINEAR)
    except Exception as error:  # Pillow raises many kinds on damaged files, and on what cameras note
        raise UserError(f"{path}: cannot be read as an image ({getattr(error, 'strerror', None) or error})") from error
    return np.asarray(square).transpose(2, 0, 1)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("its pixels are fractions, and nothing says which of them is white: store 8 or 16 bits")
    if image.mode.startswith("I"):  # `convert` would clip at 255
        pixels = np.asarray(image).clip(0, 65535)
        deep = image.mode != "I" or pixels.max(initial=0) > 255  # 16 bits; 32 may hold 8
        return Image.fromarray((pixels // (256 if deep else 1)).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        solid = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", solid.size, "white"), solid).convert("RGB")
    return image.convert("RGB")


def _classes(root: Path) -> tuple[str, ...]:
    names = [path.name for path in root.iterdir() if path.is_dir() and not _hidden(path)]
    if len(names) < 2:
        raise UserError(f"{root}: holds {len(names)} class folders and needs two or more; {LAYOUT}")
    return tuple(sorted(names, key=natural))


def _hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name == "__MACOSX"


def _read_split(root: Path, classes: Sequence[str], image_size: int) -> tuple[Images, str, tuple[str, ...]]:
    """The images of one split, the checksum of all its files, and a warning where files were left out."""
    paths: list[Path] = []
    labels: list[int] = []
    others: list[Path] = []
    for label, name in enumerate(classes):
        files = _files(root / name)
        files = [path for path in files if not any(map(_hidden, (path, *_parents(path, root))))]
        found = [path for path in files if path.suffix.lower() in SUFFIXES]
        if not found:
            raise UserError(f"{root / name}: holds no image ({', '.join(sorted(SUFFIXES))})")
        others += [path for path in files if path.suffix.lower() not in SUFFIXES]
        paths += sorted(found, key=lambda path: natural(path.relative_to(root).as_posix()))
        labels += [label] * len(found)

    def read(path: Path) -> tuple[Array, bytes]:
        return read_image(path, image_size), hashlib.sha256(path.read_bytes()).digest()

    images = torch.empty((len(paths), 3, image_size, image_size), dtype=torch.uint8)
    digest = hashlib.sha256()
    with ThreadPoolExecutor() as pool:
        for i, (pixels, content) in enumerate(pool.map(read, paths)):
            images[i].numpy()[...] = pixels
            digest.update(os.fsencode(paths[i].relative_to(root).as_posix()) + b"\0" + content)
    left_out = (
        f"{others[0]}{f' and {len(others) - 1} more' if others[1:] else ''}: left out, not images" if others else ""
    )
    warnings = (left_out,) if left_out else ()
    split = Images(images, torch.tensor(labels, dtype=torch.int64), tuple(classes))
    return split, f"sha256:{digest.hexdigest()}", warnings


def _files(folder: Path) -> list[Path]:
    """The files below a folder, links followed; what a broken link is called is among them, and cannot be read."""

    def fail(error: OSError) -> None:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror})")

    found: list[Path] = []
    for at, folders, names in os.walk(folder, followlinks=True, onerror=fail):
        here = Path(at)
        around = {here.resolve(), *here.resolve().parents}
        folders[:] = [name for name in folders if (here / name).resolve() not in around]  # a link to what it lies in
        found += [path for name in names if (path := here / name).is_file() or path.is_symlink()]
    return found


def _parents(path: Path, root: Path) -> list[Path]:
    return [parent for parent in path.parents if root in parent.parents]
