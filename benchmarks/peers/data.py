"""CIFAR-10 as peers' code wants it: pickled batches below `data/`, accepted whatever release they came from.

Written from the data set that lowres has read and verified, in whatever layout it lay, so that all train on the same.
"""

import pickle
from pathlib import Path

from lowres.data import Dataset, Images

FOLDER = "cifar-10-batches-py"


def write_batches(dataset: Dataset, root: Path) -> None:
    """Writes the official layout, five training batches and a test batch, below `root`."""
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    part = len(dataset.train) // 5
    for number in range(5):
        _write(dataset.train, slice(number * part, (number + 1) * part), folder / f"data_batch_{number + 1}")
    _write(dataset.test, slice(None), folder / "test_batch")
    meta = {"num_cases_per_batch": part, "label_names": list(dataset.classes), "num_vis": 3072}
    (folder / "batches.meta").write_bytes(pickle.dumps(meta, protocol=2))


def _write(images: Images, part: slice, path: Path) -> None:
    batch = {
        "batch_label": path.name,
        "labels": images.labels[part].tolist(),
        "data": images.images[part].flatten(1).numpy(),
        "filenames": [],
    }
    path.write_bytes(pickle.dumps(batch, protocol=2))


def accept_batches() -> None:
    """Lets torchvision take the batches for what they are: its checksums know the official files only."""
    from torchvision.datasets import cifar

    cifar.check_integrity = lambda *_, **__: True
