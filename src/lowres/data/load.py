"""From the name of a data set to its tensors: what recipes and the command line load data with."""

from dataclasses import replace
from pathlib import Path

from lowres.data.cifar import load_cifar
from lowres.data.digits import load_digits
from lowres.data.folder import load_folder
from lowres.data.images import Dataset, resize
from lowres.data.specs import SPECS
from lowres.errors import UserError, unknown

NAMES = (*SPECS, "digits", "folder:PATH")
"""What there is to load."""


def load_dataset(
    name: str, data_dir: Path | str | None = None, *, image_size: int = 32, strict: bool = False
) -> Dataset:
    """Loads a data set by name and checks that it is whole.

    CIFAR is read in each of these layouts, the first that is found: the official pickles
    (`cifar-10-batches-py`, `cifar-100-python`), the official binary files (`cifar-10-batches-bin`,
    `cifar-100-binary`), the archives of either as they are, `cifar10.npz` as Keras keeps it, parquet files
    from the Hugging Face Hub, and folders of PNGs (`train/CLASS/*.png`, `test/CLASS/*.png`). Pickles are read
    without running what is in them.

    Args:
        name: `cifar10`, `cifar100`, `digits` (built in, no download) or `folder:PATH`, a folder of images in
            `train/CLASS` and `test/CLASS`.
        data_dir: Where CIFAR lies: the folder that holds a layout, the folder of the layout itself, or the
            file. None for the folder in the environment variable LOWRES_DATA_DIR, then `data` in the current
            folder. A relative PATH of `folder:PATH` starts from here as well, where it is given.
        image_size: Height and width of the images in pixels; scaled bilinearly where they have another size.
        strict: Whether a warning (bytes that differ from the official release, a split that had to be made)
            is an error.

    Returns:
        The data set: uint8 images, (N, C, image_size, image_size), with what was read and what is odd about
        it.

    Raises:
        UserError: If the name is unknown, the data are not found or not whole, or `strict` and there is a
            warning.

    Example:
        >>> digits = load_dataset("digits")
        >>> digits.train.images.shape
        torch.Size([1437, 3, 32, 32])
    """
    if image_size < 1:
        raise UserError(f"image_size must be 1 or more, not {image_size}")
    data_dir = Path(data_dir) if data_dir is not None else None
    if name.startswith("folder:"):
        dataset = load_folder(name.removeprefix("folder:"), data_dir, image_size)
    elif name == "digits":
        dataset = load_digits(image_size)
    elif name in SPECS:
        dataset = load_cifar(SPECS[name], data_dir)
        splits = (replace(split, images=resize(split.images, image_size)) for split in (dataset.train, dataset.test))
        train, test = splits
        dataset = replace(dataset, train=train, test=test)
    else:
        raise unknown("data set", name, NAMES)
    if strict and dataset.warnings:
        raise UserError(f"{dataset.warnings[0]}; strict checking admits no warning")
    return dataset
