import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lowres.data.images import Dataset, Images, content_checksum, mean_std, resize, stratified_split
from lowres.errors import UserError


def some(n=6, classes=3, size=4):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=generator)
    return Images(images, torch.arange(n) % classes, tuple("abcdefgh"[:classes]))


def test_subset_keeps_the_order_it_is_given():
    images = some()
    part = images.subset([4, 0])
    assert len(part) == 2
    assert part.labels.tolist() == [1, 0]
    assert torch.equal(part.images, images.images[[4, 0]])
    assert part.classes == images.classes
    assert images.counts() == (2, 2, 2)
    assert len(images.subset([])) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": torch.zeros(6, 3, 4, 4)}, "images must be uint8 of shape"),
        ({"images": torch.zeros(6, 3, 4, dtype=torch.uint8)}, r"not uint8 of shape \(6, 3, 4\)"),
        ({"labels": torch.zeros(6)}, r"labels must be int64 of shape \(6,\), not float32"),
        ({"labels": torch.zeros(5, dtype=torch.int64)}, r"of shape \(5,\)"),
        ({"labels": torch.tensor([0, 1, 2, 3, 0, 0])}, "label 3 of image 3 is outside 0 to 2"),
        ({"labels": torch.tensor([0, 1, 2, -1, 0, 0])}, "label -1 of image 3"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(change, message):
    good = some()
    parts = {"images": good.images, "labels": good.labels, "classes": good.classes}
    with pytest.raises(UserError, match=message):
        Images(**(parts | change))


@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 9))
@settings(max_examples=25, deadline=None)
def test_mean_and_deviation_are_those_of_all_pixels(n, channels, size):
    images = torch.randint(0, 256, (n, channels, size, size), dtype=torch.uint8)
    exact = images.double() / 255
    mean, std = mean_std(images)
    np.testing.assert_allclose(mean, exact.mean((0, 2, 3)), atol=1e-12)
    np.testing.assert_allclose(std, exact.std((0, 2, 3), correction=0), atol=1e-12)


def test_mean_of_nothing_is_refused():
    with pytest.raises(UserError, match="at least one image"):
        mean_std(torch.zeros(0, 3, 4, 4, dtype=torch.uint8))


@given(st.lists(st.integers(0, 5), max_size=200), st.data())
@settings(max_examples=100, deadline=None)
def test_a_stratified_split_is_exact(labels, data):
    held_out = data.draw(st.integers(0, len(labels)))
    seed = data.draw(st.integers(0, 2**32))
    labels = torch.tensor(labels, dtype=torch.int64)
    kept, held = stratified_split(labels, held_out, seed)
    assert len(held) == held_out
    assert torch.equal(torch.cat([kept, held]).sort().values, torch.arange(len(labels)))
    assert torch.equal(kept, kept.sort().values)
    assert torch.equal(held, held.sort().values)
    for label in labels.unique():
        share = int((labels == label).sum()) * held_out / len(labels)
        assert abs(int((labels[held] == label).sum()) - share) < 1
    again = stratified_split(labels, held_out, seed)
    assert torch.equal(again[0], kept)
    assert torch.equal(again[1], held)


def test_the_usual_validation_split_has_500_of_each_class():
    labels = torch.arange(50_000) % 10
    _, held = stratified_split(labels, 5000, seed=1)
    assert torch.bincount(labels[held]).tolist() == [500] * 10
    assert not torch.equal(held, stratified_split(labels, 5000, seed=2)[1])


@pytest.mark.parametrize("held_out", [-1, 7])
def test_a_split_larger_than_the_data_is_refused(held_out):
    with pytest.raises(UserError, match=f"cannot hold out {held_out} of 6"):
        stratified_split(some().labels, held_out, seed=0)


def test_resize_is_antialiased_and_keeps_flat_images_flat():
    checker = (torch.arange(32)[:, None] + torch.arange(32)).remainder(2).mul(255).to(torch.uint8)
    small = resize(checker.expand(2, 3, 32, 32), 8)
    assert small.shape == (2, 3, 8, 8)
    assert small.float().sub(127.5).abs().max() <= 8  # without antialiasing, black or white
    assert resize(torch.full((1, 1, 8, 8), 200, dtype=torch.uint8), 32).unique().tolist() == [200]
    same = some().images
    assert resize(same, 4) is same


def test_the_content_checksum_follows_every_pixel_and_label():
    images = some()
    checksum = content_checksum(Dataset("a", images, images))
    assert checksum == content_checksum(Dataset("b", some(), some(), {"file": "md5:0"}))
    pixels = images.images.clone()
    pixels[5, 2, 3, 3] ^= 1
    assert checksum != content_checksum(Dataset("a", images, Images(pixels, images.labels, images.classes)))
    labels = images.labels.flip(0)
    assert checksum != content_checksum(Dataset("a", Images(images.images, labels, images.classes), images))
