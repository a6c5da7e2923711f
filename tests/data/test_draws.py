"""The random choices of an epoch: reproducible, uniform, and each purpose independent of the others."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, kstest

from lowres.data.augment import NO_AUGMENTATION, Augmentation
from lowres.data.draws import Draws, Stream, draw
from lowres.errors import UserError

EVERYTHING = Augmentation(cutout=8, mixup=0.2, cutmix=1.0, jitter=0.4)


def drawn(augmentation: Augmentation = EVERYTHING, **changes) -> Draws:
    values = {"images": 500, "batch_size": 32, "size": (32, 32), "seed": 3, "epoch": 2} | changes
    return draw(augmentation, **values)


def test_the_numbers_of_the_streams_never_change_as_every_result_depends_on_them():
    names = ["ORDER", "CROP", "FLIP", "CUTOUT", "JITTER", "PARTNER", "MIXUP", "CUTMIX", "CHOICE"]
    assert {stream.name: stream.value for stream in Stream} == {name: i for i, name in enumerate(names)}


def test_streams_are_numpys_seed_sequences_of_seed_epoch_and_purpose():
    expected = np.random.default_rng(np.random.SeedSequence([3, 2, 0])).permutation(500)
    assert drawn(drop_last=False).order.tolist() == expected.tolist()


@pytest.mark.parametrize("changes", [{"seed": -1}, {"epoch": -1}, {"seed": 2**32}])
def test_negative_and_endless_seeds_and_epochs_are_refused(changes):
    with pytest.raises(UserError, match="must be 0 or more"):
        drawn(**changes)


@pytest.mark.parametrize("changes", [{"seed": 4}, {"epoch": 3}])
def test_another_seed_or_epoch_draws_everything_anew(changes):
    one, other = drawn(), drawn(**changes)
    for name in ("order", "offsets", "flips", "factors", "centres", "partners"):
        assert not torch.equal(getattr(one, name), getattr(other, name)), name
    assert one.mixes != other.mixes


@pytest.mark.parametrize(
    "augmentation",
    [
        Augmentation(),
        Augmentation(cutout=8),
        Augmentation(jitter=0.4),
        Augmentation(mixup=0.2),
        Augmentation(mixup=1.4, mixup_beta=0.4, mixup_labels="dominant"),
        Augmentation(cutmix=1.0),
    ],
)
def test_adding_an_augmentation_changes_no_other_draw(augmentation):
    some, all_of_them = drawn(augmentation), drawn(EVERYTHING)
    for name in ("order", "offsets", "flips", "factors", "centres", "partners"):
        if getattr(some, name) is not None:
            assert torch.equal(getattr(some, name), getattr(all_of_them, name)), name
    assert torch.equal(drawn(NO_AUGMENTATION).order, all_of_them.order)


def test_what_happens_to_an_image_depends_on_neither_batch_size_nor_order():
    one, other = drawn(drop_last=False), drawn(batch_size=7, shuffle=False, drop_last=False)
    for name in ("offsets", "flips", "factors", "centres"):
        assert torch.equal(getattr(one, name), getattr(other, name)[one.order]), name


def test_offsets_reach_every_position_equally_often():
    offsets = drawn(Augmentation(crop=4), images=50_000).offsets
    counts = torch.bincount(offsets[:, 0] * 9 + offsets[:, 1], minlength=81).double()
    expected = len(offsets) / 81
    assert chi2.sf(((counts - expected) ** 2 / expected).sum(), 80) > 0.01


def test_random_flips_are_fair():
    flips = drawn(Augmentation(), images=50_000).flips
    assert abs(flips.double().mean() - 0.5) < 3 * 0.5 / len(flips) ** 0.5


def test_alternating_flip_begins_at_random_and_then_turns_each_image_every_epoch():
    first, *later = (drawn(Augmentation(flip="alternating"), epoch=epoch, shuffle=False).flips for epoch in range(5))
    assert torch.equal(first, drawn(Augmentation(flip="random"), epoch=0, shuffle=False).flips)
    assert 0.4 < first.double().mean() < 0.6
    for epoch, flips in enumerate(later, start=1):
        assert torch.equal(flips, first ^ bool(epoch % 2))


def test_cutout_centres_cover_the_whole_image():
    centres = drawn(images=20_000, size=(5, 7)).centres
    assert centres.amin(0).tolist() == [0, 0]
    assert centres.amax(0).tolist() == [4, 6]


def test_jitter_factors_are_uniform_around_one():
    factors = drawn(Augmentation(jitter=0.4), images=5_000, drop_last=False).factors
    assert factors.dtype == torch.float32
    for column in factors.T:
        assert kstest(column.double().numpy(), "uniform", (0.6, 0.8)).pvalue > 0.01


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.data())
def test_partners_are_a_permutation_of_each_batch(images, data):
    batch_size = data.draw(st.integers(1, images))
    partners = drawn(images=images, batch_size=batch_size, drop_last=False).partners
    for part in partners.split(batch_size):
        assert part.sort().values.tolist() == list(range(len(part)))


def test_mixup_shares_follow_their_beta_distribution():
    mixes = drawn(Augmentation(mixup=0.3, mixup_beta=0.7), images=3_000, batch_size=1).mixes
    assert kstest([mix.share for mix in mixes], "beta", (0.3, 0.7)).pvalue > 0.01
    assert all(mix.box is None for mix in mixes)


def test_a_dominant_image_keeps_the_larger_share():
    settings = {"mixup": 1.4, "mixup_beta": 0.4}
    plain = drawn(Augmentation(**settings)).mixes
    dominant = drawn(Augmentation(**settings, mixup_labels="dominant")).mixes
    assert [mix.share for mix in dominant] == [max(mix.share, 1 - mix.share) for mix in plain]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 1000))
def test_cutmix_boxes_lie_in_the_image_and_the_share_is_what_they_leave(height, width, seed):
    for mix in drawn(Augmentation(cutmix=1.0), size=(height, width), seed=seed).mixes:
        top, left, bottom, right = mix.box
        assert 0 <= top <= bottom <= height
        assert 0 <= left <= right <= width
        assert mix.share == pytest.approx(1 - (bottom - top) * (right - left) / (height * width))


def test_mixup_and_cutmix_together_take_turns_at_random():
    both = drawn(Augmentation(mixup=0.2, cutmix=1.0), images=1_000, batch_size=1).mixes
    mixups = drawn(Augmentation(mixup=0.2), images=1_000, batch_size=1).mixes
    cutmixes = drawn(Augmentation(cutmix=1.0), images=1_000, batch_size=1).mixes
    assert all(mix in pair for mix, *pair in zip(both, mixups, cutmixes, strict=True))
    assert 450 < sum(mix.box is not None for mix in both) < 550
