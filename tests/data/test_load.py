import numpy as np
import pytest
import torch

from lowres.data import load as load_module
from lowres.data import load_dataset
from lowres.errors import UserError


def test_digits_are_the_same_for_everybody():
    digits = load_dataset("digits")
    assert digits.train.images.shape == (1437, 3, 32, 32)
    assert digits.test.images.shape == (360, 3, 32, 32)
    assert digits.classes == tuple("0123456789")
    assert digits.warnings == ()
    assert torch.equal(digits.train.images, load_dataset("digits").train.images)
    assert max(np.subtract(digits.test.counts(), 36)) <= 1
    assert int(digits.train.images.max()) == 255
    # No test image is a training image.
    rows = torch.cat([digits.train.images, digits.test.images])[:, 0].flatten(1)
    assert len(rows.unique(dim=0)) == 1797
    assert load_dataset("digits", image_size=16).train.images.shape == (1437, 3, 16, 16)


def test_digits_can_be_learned():
    from sklearn.neighbors import KNeighborsClassifier

    digits = load_dataset("digits", image_size=8)
    (x, y), (x_test, y_test) = (
        (split.images[:, 0].flatten(1).numpy().astype(np.float32), split.labels.numpy())
        for split in (digits.train, digits.test)
    )
    assert KNeighborsClassifier(3).fit(x, y).score(x_test, y_test) > 0.97


def test_strict_makes_a_warning_an_error(small10, tmp_path, monkeypatch):
    monkeypatch.setitem(load_module.SPECS, "cifar10", small10.spec)
    small10.pickles(tmp_path)
    dataset = load_dataset("cifar10", tmp_path)
    assert dataset.warnings[0].startswith("cifar-10-batches-py/data_batch_1 and 5 more: bytes differ from the official")
    with pytest.raises(UserError, match=r"bytes differ from the official release.*strict"):
        load_dataset("cifar10", tmp_path, strict=True)


def test_other_sizes_are_scaled(small10, tmp_path, monkeypatch):
    monkeypatch.setitem(load_module.SPECS, "cifar10", small10.spec)
    small10.binary(tmp_path)
    dataset = load_dataset("cifar10", str(tmp_path), image_size=48)
    assert dataset.train.images.shape == (40, 3, 48, 48)
    assert dataset.test.images.dtype == torch.uint8
    with pytest.raises(UserError, match="image_size must be 1 or more"):
        load_dataset("cifar10", tmp_path, image_size=0)


@pytest.mark.parametrize(("name", "near"), [("cifar-10", "cifar10"), ("digit", "digits"), ("CIFAR100", "cifar100")])
def test_an_unknown_name_suggests_the_nearest(name, near):
    with pytest.raises(UserError, match=f"unknown data set '{name}': did you mean '{near}'"):
        load_dataset(name)
