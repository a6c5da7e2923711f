"""Augmentation against torchvision, PyTorch and the papers' definitions, one function at a time."""

import doctest
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms import functional as vision

from lowres.data import augment
from lowres.data.augment import Augmentation
from lowres.errors import UserError


def pixels(count: int = 6, channels: int = 3, height: int = 8, width: int = 10, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, channels, height, width), generator=generator, dtype=torch.uint8)


def test_the_examples_in_the_docstrings_run():
    assert doctest.testmod(augment, raise_on_error=True).attempted > 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"crop": -1}, r"augmentation.crop is -1: .* 0 or more"),
        ({"crop": 2.5}, r"augmentation.crop is 2.5: give a whole number"),
        ({"cutout": True}, r"augmentation.cutout is True: give a whole number"),
        ({"mixup": -0.2}, r"augmentation.mixup is -0.2: .* 0 \(none\) or more"),
        ({"mixup_beta": math.inf}, r"augmentation.mixup_beta is inf"),
        ({"cutmix": math.nan}, r"augmentation.cutmix is nan"),
        ({"jitter": 1.5}, r"augmentation.jitter is 1.5: .* to 1"),
        ({"padding": "reflection"}, r"augmentation.padding 'reflection': did you mean 'reflect'\?"),
        ({"flip": "sometimes"}, r"augmentation.flip 'sometimes'.*alternating, none, random"),
        ({"mixup_labels": "mix"}, r"augmentation.mixup_labels 'mix': did you mean 'mixed'\?"),
    ],
)
def test_a_value_out_of_range_is_named_with_what_is_allowed(values, message):
    with pytest.raises(UserError, match=message) as error:
        Augmentation(**values)
    assert "\n" not in str(error.value)


def test_labels_are_mixed_by_real_mixup_and_cutmix_only():
    assert Augmentation(mixup=0.2).mixes_labels
    assert Augmentation(cutmix=1.0, mixup_labels="dominant").mixes_labels
    assert not Augmentation(mixup=1.4, mixup_beta=0.4, mixup_labels="dominant").mixes_labels
    assert not Augmentation(cutout=8, jitter=0.4).mixes_labels


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(2, 9), st.integers(2, 9), st.integers(1, 6), st.data())
def test_crop_is_torchvisions_pad_and_crop(count, channels, height, width, padding, data):
    mode = data.draw(st.sampled_from(["zero", "reflect"] if padding < min(height, width) else ["zero"]))
    images = pixels(count, channels, height, width)
    offset = st.integers(0, 2 * padding)
    offsets = data.draw(st.lists(st.tuples(offset, offset), min_size=count, max_size=count))
    cropped = augment.crop(images, torch.tensor(offsets), padding, mode)
    assert cropped.dtype == torch.uint8
    for image, (row, column), result in zip(images, offsets, cropped, strict=True):
        padded = vision.pad(image, [padding], padding_mode="constant" if mode == "zero" else "reflect")
        assert torch.equal(result, vision.crop(padded, row, column, height, width))


def test_crop_takes_any_memory_format():
    images, offsets = pixels(), torch.tensor([[0, 0], [1, 4], [2, 3], [4, 4], [0, 4], [3, 1]])
    expected = augment.crop(images, offsets, 2)
    assert torch.equal(augment.crop(images.to(memory_format=torch.channels_last), offsets, 2), expected)


def test_flip_mirrors_the_chosen_images_and_no_other():
    images, chosen = pixels(4), torch.tensor([True, False, False, True])
    expected = torch.stack([images[0].flip(2), images[1], images[2], images[3].flip(2)])
    assert torch.equal(augment.flip(images, chosen), expected)


def test_jitter_is_torchvisions_brightness_then_contrast_then_saturation():
    images = pixels(5).float() / 255
    factors = torch.tensor([[1.0, 1.0, 1.0], [0.6, 1, 1], [1.4, 1.4, 1], [1, 1, 0.3], [1.3, 0.7, 1.4]])
    for image, (brightness, contrast, saturation), result in zip(
        images, factors.tolist(), augment.jitter(images, factors), strict=True
    ):
        expected = vision.adjust_contrast(vision.adjust_brightness(image, brightness), contrast)
        expected = vision.adjust_saturation(expected, saturation)
        torch.testing.assert_close(result, expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_jitter_of_other_channel_counts_stays_in_range(channels):
    images = pixels(3, channels).float() / 255
    result = augment.jitter(images, torch.tensor([[1.4, 1.4, 1.4], [0.6, 0.6, 0.6], [1.0, 1.0, 1.0]]))
    assert result.min() >= 0
    assert result.max() <= 1
    torch.testing.assert_close(result[2], images[2], atol=1e-6, rtol=0)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 12), st.data())
def test_cutout_zeroes_one_square_clipped_at_the_border(height, width, side, data):
    row, column = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    result = augment.cutout(torch.ones(1, 2, height, width), torch.tensor([[row, column]]), side)
    top, left = row - side // 2, column - side // 2
    expected = torch.ones(1, 2, height, width)
    expected[:, :, max(top, 0) : top + side, max(left, 0) : left + side] = 0
    assert torch.equal(result, expected)


def test_cutout_well_inside_the_image_has_its_full_area():
    result = augment.cutout(torch.ones(1, 3, 32, 32), torch.tensor([[16, 16]]), 9)
    assert (result == 0).sum() == 3 * 81


def test_mixup_blends_by_the_share():
    images, partner = torch.randn(4, 3, 5, 5), torch.tensor([2, 0, 3, 1])
    expected = 0.3 * images + 0.7 * images[partner]
    torch.testing.assert_close(augment.mixup(images, partner, 0.3), expected)
    assert torch.equal(augment.mixup(images, partner, 1.0), images)


def test_cutmix_takes_the_box_from_the_partner_and_leaves_its_input_alone():
    images, partner = torch.randn(4, 3, 6, 7), torch.tensor([2, 0, 3, 1])
    before = images.clone()
    mixed = augment.cutmix(images, partner, (1, 2, 4, 7))
    assert torch.equal(mixed[:, :, 1:4, 2:7], images[partner][:, :, 1:4, 2:7])
    mixed[:, :, 1:4, 2:7] = images[:, :, 1:4, 2:7]
    assert torch.equal(mixed, before)
    assert torch.equal(images, before)


def test_soft_labels_are_one_hot():
    labels = torch.tensor([3, 0, 4])
    assert torch.equal(augment.soft_labels(labels, 5), F.one_hot(labels, 5).float())
