import dataclasses

import pytest
import torch

from lowres.data import Augmentation
from lowres.ladder import Ladder, Rung
from lowres.recipes import Recipe, load_recipe


@pytest.fixture(scope="session")
def base() -> Recipe:
    """A recipe that trains in under a second: ResNet-20 on the digits at 8 pixels, one epoch."""
    return dataclasses.replace(
        load_recipe("digits"),
        label_smoothing=0.0,
        image_size=8,
        batch_size=256,
        epochs=1,
        precision="fp32",
        augmentation=Augmentation(crop=0, flip="none"),
    )


@pytest.fixture(scope="session")
def mini(base) -> Ladder:
    """Two rungs on the digits."""
    return Ladder("mini", base, (Rung("plain"), Rung("+ smoothing", {"label_smoothing": 0.1}, 99.0)))


@pytest.fixture
def one_thread():
    """PyTorch with one thread: results depend on their number, and a worker with one core has one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
