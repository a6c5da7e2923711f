"""The loader as its users rely on it: complete, reproducible, resumable, and right to the bit."""

import doctest
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms import Normalize

from lowres.data import batches as module
from lowres.data.augment import Augmentation
from lowres.data.batches import Batches
from lowres.data.images import mean_std
from lowres.errors import UserError

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
EVERYTHING = Augmentation(padding="reflect", cutout=4, mixup=0.2, cutmix=1.0, jitter=0.4)


def data(count: int = 50, channels: int = 3, height: int = 12, width: int = 12) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(count)
    images = torch.randint(0, 256, (count, channels, height, width), generator=generator, dtype=torch.uint8)
    return images, torch.arange(count) % 10


def numbered(count: int) -> tuple[Tensor, Tensor]:
    """Images whose every pixel, and whose label, is their number."""
    numbers = torch.arange(count)
    return numbers.to(torch.uint8).view(-1, 1, 1, 1).repeat(1, 1, 4, 4), numbers


def epoch(batches: Batches) -> list[tuple[Tensor, Tensor]]:
    return list(batches)


def same(one: list[tuple[Tensor, Tensor]], other: list[tuple[Tensor, Tensor]]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(itertools.chain(*one), itertools.chain(*other), strict=True))


def test_the_example_in_the_docstring_trains_a_plain_model():
    assert doctest.testmod(module, raise_on_error=True).attempted > 0


def test_without_augmentation_images_come_in_order_and_as_torchvision_normalises_them():
    images, labels = data()
    batches = Batches(images, labels, 16, mean=MEAN, std=STD, shuffle=False, drop_last=False)
    x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    assert torch.equal(x, Normalize(MEAN, STD)(images / 255))
    assert torch.equal(y, labels)
    assert x.dtype == torch.float32
    assert y.dtype == torch.int64


def test_mean_and_std_are_those_of_the_images_unless_given():
    images, labels = data()
    batches = Batches(images, labels, 50, std=(1, 1, 1))
    assert batches.mean == mean_std(images)[0]
    assert batches.std == (1, 1, 1)
    x, _ = next(iter(Batches(images, labels, 50)))
    torch.testing.assert_close(x.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5, rtol=0)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 70), st.integers(0, 50), st.booleans(), st.data())
def test_an_epoch_holds_every_image_once(count, seed, drop_last, draws):
    batch_size = draws.draw(st.integers(1, count))
    images, labels = numbered(count)
    batches = Batches(
        images, labels, batch_size, mean=(0,), std=(1,), seed=seed, drop_last=drop_last, augmentation=None
    )
    parts = epoch(batches)
    seen = torch.cat([y for _, y in parts])
    assert len(parts) == len(batches)
    assert all(len(y) == batch_size for _, y in parts[: count // batch_size])
    assert len(seen) == (count - count % batch_size if drop_last else count)
    assert len(seen.unique()) == len(seen)
    for x, y in parts:  # images and labels stay together
        assert torch.equal((x[:, 0, 0, 0] * 255).round().long(), y)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 12),
    st.integers(1, 4),
    st.integers(2, 12),
    st.integers(2, 12),
    st.integers(0, 6),
    st.data(),
)
def test_any_size_channel_count_and_padding_works(count, channels, height, width, crop, draws):
    padding = draws.draw(st.sampled_from(["zero", "reflect"] if crop < min(height, width) else ["zero"]))
    augmentation = Augmentation(crop=crop, padding=padding, cutout=3, mixup=0.5, cutmix=0.5, jitter=0.2)
    images, labels = data(count, channels, height, width)
    batch_size = draws.draw(st.integers(1, count))
    batches = Batches(
        images,
        labels,
        batch_size,
        augmentation=augmentation,
        classes=10,
        mean=(0.5,) * channels,
        std=(0.25,) * channels,
        drop_last=False,
    )
    for x, y in batches:
        assert x.shape == (len(y), channels, height, width)
        assert x.isfinite().all()
        torch.testing.assert_close(y.sum(1), torch.ones(len(y)))


def test_setting_the_epoch_gives_what_running_up_to_it_gives():
    images, labels = data()
    through = Batches(images, labels, 16, augmentation=EVERYTHING, seed=7)
    epochs = [epoch(through) for _ in range(3)]
    assert through.epoch == 3
    resumed = Batches(images, labels, 16, augmentation=EVERYTHING, seed=7)
    resumed.epoch = 2
    assert same(epoch(resumed), epochs[2])
    assert not same(epochs[0], epochs[1])


def test_the_seed_decides():
    images, labels = data()
    one, again, other = (
        epoch(Batches(images, labels, 16, augmentation=Augmentation(), seed=seed)) for seed in (1, 1, 2)
    )
    assert same(one, again)
    assert not same(one, other)


def test_nothing_depends_on_pytorchs_or_numpys_global_generators_nor_moves_them():
    images, labels = data()
    before = torch.get_rng_state()
    first = epoch(Batches(images, labels, 16, augmentation=EVERYTHING))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert same(epoch(Batches(images, labels, 16, augmentation=EVERYTHING)), first)


def test_batches_are_the_same_at_every_thread_count():
    images, labels = data(300, height=32, width=32)
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(epoch(Batches(images, labels, 128, augmentation=EVERYTHING)))
    finally:
        torch.set_num_threads(threads)
    assert same(results[0], results[1])
    assert same(results[0], results[2])


def test_single_large_images_are_jittered_the_same_at_every_thread_count():
    images, labels = data(12, height=190, width=190)
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append(epoch(Batches(images, labels, 1, augmentation=Augmentation(jitter=0.5))))
    finally:
        torch.set_num_threads(threads)
    assert same(*results)


def test_labels_order_and_crops_are_the_same_with_and_without_image_only_mixup():
    images, labels = data()
    plain = epoch(Batches(images, labels, 16, augmentation=Augmentation()))
    blend = Augmentation(mixup=1.4, mixup_beta=0.4, mixup_labels="dominant")
    mixed = epoch(Batches(images, labels, 16, augmentation=blend))
    for (x, y), (mixed_x, mixed_y) in zip(plain, mixed, strict=True):
        assert torch.equal(y, mixed_y)
        correlation = torch.corrcoef(torch.stack([x.flatten(), mixed_x.flatten()]))[0, 1]
        assert correlation > 0.6  # the dominant image is the one that the label is of


def test_mixup_labels_hold_the_same_share_as_the_images():
    images, labels = numbered(8)
    mixup = Augmentation(crop=0, flip="none", mixup=1.0)
    batches = Batches(images, labels, 8, augmentation=mixup, mean=(0,), std=(1,))
    for _ in range(5):
        for x, y in batches:
            assert y.dtype == torch.float32
            torch.testing.assert_close(y.sum(1), torch.ones(8))
            # Each pixel is its image's number: the blend is the mean number under the label's shares.
            torch.testing.assert_close(x[:, 0, 0, 0] * 255, y @ torch.arange(8.0))


def test_cutmix_labels_hold_the_share_of_the_area():
    images, labels = numbered(8)
    cutmix = Augmentation(crop=0, flip="none", cutmix=1.0)
    batches = Batches(images, labels, 8, augmentation=cutmix, mean=(0,), std=(1,))
    for _ in range(10):
        for x, y in batches:
            for image, shares in zip((x * 255).round().long(), y, strict=True):
                area = torch.bincount(image.flatten(), minlength=8) / image.numel()
                torch.testing.assert_close(shares, area)


def test_labels_have_one_type_where_unmixed_mixup_and_cutmix_meet():
    images, labels = data(64)
    both = Augmentation(mixup=1.4, mixup_beta=0.4, mixup_labels="dominant", cutmix=50.0)
    parts = epoch(Batches(images, labels, 8, augmentation=both))
    assert {y.dtype for _, y in parts} == {torch.float32}
    unmixed = sum(bool((y.amax(1) == 1).all()) for _, y in parts)
    assert 2 <= unmixed <= 6  # of 8 batches, about half are mixup's


def test_cutout_fills_with_the_mean():
    images, labels = data(200)
    cut = Augmentation(crop=0, flip="none", cutout=5)
    x, _ = next(iter(Batches(images, labels, 200, augmentation=cut, mean=MEAN, std=STD)))
    holes = (x == 0).all(1).sum((1, 2))
    assert holes.max() == 25
    assert holes.min() >= 9  # a centre in the corner leaves 3 by 3 pixels


def test_padding_is_black_before_normalisation():
    images, labels = torch.full((64, 1, 4, 4), 255, dtype=torch.uint8), torch.zeros(64, dtype=torch.int64)
    crop = Augmentation(crop=2, flip="none")
    x, _ = next(iter(Batches(images, labels, 64, augmentation=crop, mean=(0.5,), std=(0.25,))))
    assert set(x.unique().tolist()) == {-2.0, 2.0}


def test_an_iterator_is_not_disturbed_by_another():
    images, labels = data()
    batches = Batches(images, labels, 16, augmentation=EVERYTHING)
    alone = epoch(Batches(images, labels, 16, augmentation=EVERYTHING))
    first = iter(batches)
    begun = [next(first)]
    assert same(epoch(batches), alone)
    assert batches.epoch == 1
    assert same(begun + list(first), alone)
    assert batches.epoch == 1


def test_the_epoch_advances_at_the_end_of_an_iteration_and_not_on_break():
    batches = Batches(*data(), 16, augmentation=Augmentation())
    first, _ = next(iter(batches))
    for x, _ in batches:
        assert torch.equal(x, first)
        break
    assert batches.epoch == 0
    epoch(batches)
    assert batches.epoch == 1


@pytest.mark.parametrize("augmentation", [None, Augmentation(), EVERYTHING])
@pytest.mark.parametrize("channels", [1, 3])
def test_channels_last_changes_the_memory_format_and_nothing_else(augmentation, channels):
    images, labels = data(channels=channels)
    plain = epoch(Batches(images, labels, 16, augmentation=augmentation))
    last = epoch(Batches(images, labels, 16, augmentation=augmentation, channels_last=True))
    assert same(plain, last)
    assert all(x.is_contiguous() for x, _ in plain)
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x, _ in last)


def test_the_given_images_are_never_changed():
    images, labels = data()
    before = images.clone()
    epoch(Batches(images, labels, 16, augmentation=EVERYTHING))
    epoch(Batches(images, labels, 16))
    assert torch.equal(images, before)


@pytest.mark.parametrize("augmentation", [None, EVERYTHING])
def test_no_batch_reads_a_value_back_from_the_device(augmentation):
    # The meta device has shapes but no values, so any step that waits for one raises an error.
    batches = Batches(*data(), 16, augmentation=augmentation, device="meta", drop_last=False)
    assert [x.shape for x, _ in batches] == [(16, 3, 12, 12)] * 3 + [(2, 3, 12, 12)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("augmentation", [Augmentation(cutout=4), EVERYTHING])
def test_batches_on_cuda_are_those_of_the_cpu_and_wait_for_nothing(augmentation):
    images, labels = data()
    expected = epoch(Batches(images, labels, 16, augmentation=augmentation))
    iterator = iter(Batches(images, labels, 16, augmentation=augmentation, device="cuda"))
    batches = [next(iterator)]
    torch.cuda.set_sync_debug_mode("error")
    try:
        batches += list(iterator)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for pair, wanted in zip(batches, expected, strict=True):
        for a, b in zip(pair, wanted, strict=True):
            torch.testing.assert_close(a.cpu(), b, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 51}, "batch_size is 51: give 1 to 50"),
        ({"batch_size": 0}, "batch_size is 0: give 1 to 50"),
        ({"images": torch.zeros(50, 3, 12, 12)}, r"images are float32, \(50, 3, 12, 12\): .*uint8"),
        ({"images": torch.zeros(50, 12, 12, dtype=torch.uint8)}, r"images are uint8, \(50, 12, 12\)"),
        ({"images": torch.zeros(0, 3, 12, 12, dtype=torch.uint8)}, "each 1 or more"),
        ({"labels": torch.zeros(49, dtype=torch.int64)}, r"labels are int64, \(49,\): .*\(50,\)"),
        ({"labels": torch.zeros(50)}, "labels are float32"),
        ({"labels": torch.full((50,), -1)}, "labels go from -1 to -1"),
        ({"classes": 9}, "labels go from 0 to 9: they must be class numbers from 0 to 8"),
        ({"mean": (0.5,)}, "mean has 1 and std 3 values: give 3"),
        ({"std": (0.2, 0.0, 0.2)}, "each must be above 0"),
        ({"augmentation": Augmentation(crop=12, padding="reflect")}, "reflected by 0 to 11 pixels"),
        ({"seed": -1}, "must be 0 or more"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(changes, message):
    images, labels = data()
    values = {"images": images, "labels": labels, "batch_size": 16} | changes
    with pytest.raises(UserError, match=message) as error:
        next(iter(Batches(**values)))
    assert "\n" not in str(error.value)
