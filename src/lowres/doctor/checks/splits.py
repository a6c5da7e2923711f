"""DA2: training, validation and test data against each other."""

import numpy as np
import torch

from lowres.doctor.checks.data import assigned_transform, in_loop, least_and_greatest
from lowres.doctor.findings import Found, check
from lowres.doctor.pipeline import Pipeline
from lowres.doctor.remedies.pixels import one_order
from lowres.doctor.remedies.splits import apart, at_random, own_copy, own_transform
from lowres.doctor.remedies.statistics import IMAGENET, channels_of, fitting
from lowres.doctor.remedies.transforms import same_preparation, statistics_of_the_weights
from lowres.doctor.setup import Setup
from lowres.doctor.unlabelled import unlabelled


@check("DA202", "evaluation images are augmented", grade="error", kind="C08", cost=(1, 5), source="public cases")
def augmented_evaluation(setup: Setup) -> Found | None:
    """Images of validation or test differ from one fetch to the next.

    The same images are fetched several times. Test-time augmentation (several passes over one batch, or a loader of
    several crops) stays silent.
    """
    for one in setup.evals:
        if one.varies and not _several_views(one):
            names = one.random_names
            return Found(
                f"{one.role} images are augmented" + (f" ({', '.join(names[:2])})" if names else ""),
                {
                    "role": one.role,
                    "transforms": names,
                    "same_data_set": setup.train is not None and one.base is setup.train.base,
                },
                cost=2.0,
                place=one.place,
                fix=own_transform(setup, one),
            )
    return None


def _several_views(one: Pipeline) -> bool:
    return (
        one.samples is None or one.samples[0].dim() == 5 or any(name in ("FiveCrop", "TenCrop") for name in one.names)
    )


@check(
    "DA203",
    "augmentation lost by a shared data set",
    grade="error",
    kind="C08",
    cost=(4, 10),
    source="public cases: 4 to 8 points; the idiom is widespread",
)
def shared_dataset(setup: Setup) -> Found | None:
    """`val.dataset.transform = ...` after a random split changes the training images, too: both are one data set.

    Seen in the objects (training and validation share one data set, whose transform is not random) and in the source
    (an assignment to `.dataset.transform`).
    """
    train = setup.train
    shared = train is not None and any(one.base is train.base and one.indices is not None for one in setup.evals)
    if train is None or not shared or train.varies is not False or in_loop(setup):
        return None
    place = assigned_transform(setup)
    random_somewhere = setup.source is not None and any(
        setup.source.calls("RandomCrop", "RandomHorizontalFlip", "RandAugment")
    )
    if place is None or not random_somewhere:
        return None
    return Found(
        "training and validation share one data set, so its new transform took the augmentation from training",
        {"shared": True, "transforms": train.names},
        cost=8.0,
        place=place,
        fix=own_copy(setup),
    )


@check(
    "DA204",
    "training and evaluation are prepared differently",
    grade="error",
    kind="C09",
    cost=(3, 70),
    source="public cases: 3 to 70 points",
)
def different(setup: Setup) -> Found | None:
    """The deterministic part of the transforms differs: other constants, no normalisation, another size.

    Constants are compared where they can be read. Otherwise mean and deviation of a batch on each side: half a
    deviation of difference, or scales 1.5 times apart. Augmentation, which moves both a little, does not count.
    """
    train = setup.train
    if train is None or in_loop(setup) or any(s.from_loader is not None for s in setup.samples_of("evaluation")):
        return None
    for one in setup.evals:
        found = _difference(setup, train, one)
        if found is not None:
            return found
    return None


def _difference(setup: Setup, train: Pipeline, one: Pipeline) -> Found | None:
    a, b = train.samples, one.samples
    if a is None or b is None or a[0].dim() != 4 or b[0].dim() != 4:
        return None
    sizes = tuple(a[0].shape[-2:]), tuple(b[0].shape[-2:])
    ratio = sizes[1][0] / sizes[0][0]
    fix = same_preparation(setup, train, [one])
    if ratio < 0.8 or ratio > 1.5:
        return Found(
            f"training images have {sizes[0][0]} pixels a side, {one.role} images {sizes[1][0]}",
            {"train_size": sizes[0][0], f"{one.role}_size": sizes[1][0]},
            cost=15.0 if ratio < 0.6 or ratio > 2 else 5.0,
            place=one.place,
            fix=fix,
        )
    if train.constants is not None and one.constants is not None:
        (m1, s1), (m2, s2) = train.constants, one.constants
        shift = max(abs(x - y) / s for x, y, s in zip(m1, m2, s1, strict=False))
        scale = max(max(x / y, y / x) for x, y in zip(s1, s2, strict=False))
        if shift <= 0.3 and scale <= 1.3:
            return None
    else:
        if (
            train.channels is None
            or one.channels is None
            or ((train.constants is None) == (one.constants is None) and train.made_up)
        ):
            return None
        (mean, std, *_), (other_mean, other_std, *_) = train.channels, one.channels
        shift = float(((mean - other_mean).abs() / std.clamp_min(1e-6)).max())
        scales = torch.cat((std / other_std.clamp_min(1e-6), other_std / std.clamp_min(1e-6)))
        scale = float(scales.max())
        if shift <= 0.5 and scale <= 1.5:
            return None
    bare = (train.constants is None) != (one.constants is None)
    return Found(
        f"training images are normalised, {one.role} images are not"
        if bare and train.constants is not None
        else f"{one.role} images are normalised, training images are not"
        if bare
        else f"training and {one.role} images are normalised by different constants",
        {"shift_in_deviations": shift, "scale_ratio": scale, "train": train.constants, one.role: one.constants},
        cost=30.0 if bare else 10.0,
        place=one.place,
        fix=fix,
    )


@check(
    "DA205",
    "not the statistics of the weights",
    grade="warning",
    kind="C09",
    cost=(1, 10),
    source="public cases: 3 to 70 points where weights are frozen",
)
def of_the_weights(setup: Setup) -> Found | None:
    """Pretrained weights get images that are normalised otherwise than those they were trained on.

    ImageNet's constants are expected of torchvision's weights. The data's own constants shift them by less than a
    third of a deviation, and are left alone where all layers are trained; unnormalised pixels are not. Where no
    transform tells the constants, pixels below zero show that something normalises them: a data set, or the network
    before its first layer. Images of one channel enter a layer that was drawn anew or summed over the colours: a note,
    and only where nothing normalises them.
    """
    train = setup.train
    if not setup.pretrained or train is None or in_loop(setup) or setup.pretrained.startswith("timm"):
        return None
    if train.constants is None and _centred(setup, train):
        return None
    channels = channels_of(train)
    expected = fitting(IMAGENET, channels)
    if expected is None or (channels == 1 and train.constants is not None):
        return None
    count = len(expected[0])
    mean, std = train.constants or ((0.0,) * count, (1.0,) * count)
    mean, std = (one * count if len(one) == 1 else one for one in (mean, std))  # as torchvision does
    if len(mean) != count or len(std) != count:
        return None
    shift = max(abs(m - w) / s for m, w, s in zip(mean, *expected, strict=True))
    scale = max(max(a / b, b / a) for a, b in zip(std, expected[1], strict=True))
    if shift <= 0.35 and scale <= 1.35:
        return None
    return Found(
        "the weights were trained on images normalised by ImageNet's statistics, these are "
        + ("not normalised" if train.constants is None else f"normalised by {mean}, {std}"),
        {"mean": mean, "std": std, "expected_mean": expected[0], "expected_std": expected[1]},
        cost=5.0 if channels != 1 else 1.0,
        grade="note" if channels == 1 else None,
        place=train.place,
        fix=statistics_of_the_weights(setup, train),
    )


def _centred(setup: Setup, train: Pipeline) -> bool:
    """Whether training images or what the first layer gets of them lie below zero, as pixels never do; or unknown."""
    first = least_and_greatest(setup)
    return train.channels is None or min(train.channels[2], first[0] if first is not None else 0.0) < -0.05


@check(
    "DA208",
    "classes missing on one side",
    grade="error",
    kind="C17",
    cost=(5, 90),
    source="public cases: validation at 1/C",
)
def missing_classes(setup: Setup) -> Found | None:
    """Evaluation has other classes than training, or one class alone.

    All labels are counted on both sides. Another data set's class on the test side is named as well. Silent where the
    evaluation images have no labels, as those of a competition: one class alone, that is named "unknown" or the
    like, or whose labels the loops over it do not read.
    """
    train = setup.train
    if train is None or train.labels is None:
        return None
    known = np.unique(train.labels)
    for one in setup.evals:
        if one.labels is None or len(one.labels) < 10:
            continue
        own = np.unique(one.labels)
        stray = np.setdiff1d(own, known)
        lacking = np.setdiff1d(known, own)
        shifted = len(known) == len(own) and len(stray) == 1 and abs(int(known[0]) - int(own[0])) == 1
        if shifted or (len(stray) == 0 and len(lacking) < 0.4 * len(known)):
            continue
        if len(own) == 1 and unlabelled(setup, train, one):
            continue
        return Found(
            f"{one.role} images are of {len(own)} classes, {len(stray)} of them unknown to training "
            f"({len(known)} classes)",
            {"train_classes": len(known), f"{one.role}_classes": len(own), "unknown": len(stray)},
            cost=20.0,
            place=one.place,
            fix=at_random(setup, one),
        )
    return None


@check(
    "DA213",
    "evaluated on training images",
    grade="error",
    kind="C25",
    cost=(1, 5),
    source="inflates by 0.3 to 10 points",
)
def overlap(setup: Setup) -> Found | None:
    """Images that are trained on are also evaluated on.

    The stored bytes of all images are compared, whatever data sets hold them; a few exact duplicates (up to 1 %) are
    usual. Where the test loader itself holds the training set, the figure says nothing about new images.
    """
    train = setup.train
    if train is None or train.prints is None:
        return None
    for one in setup.evals:
        if one.prints is None or len(one.prints) < 20:
            continue
        common = len(one.prints & train.prints)
        share = common / len(one.prints)
        if share < 0.01:
            continue
        if share > 0.99 and one.size == train.size and setup.evals[-1] is not one and _others_clean(setup, one):
            continue  # training accuracy, beside a clean evaluation
        return Found(
            f"{share:.0%} of the {one.role} images are also trained on",
            {"common": common, "share": share, "role": one.role},
            cost=3.0,
            place=one.place,
            fix=apart(setup, train, one),
        )
    return None


def _others_clean(setup: Setup, one: Pipeline) -> bool:
    others = [other for other in setup.evals if other is not one]
    return any(
        other.prints is not None
        and setup.train is not None
        and not (other.prints & (setup.train.prints or frozenset()))
        for other in others
    )


@check("DA216", "channels in another order", grade="error", kind="C26", cost=(2, 10), source="public cases")
def channels(setup: Setup) -> Found | None:
    """Red and blue are exchanged between training and evaluation.

    The mean of red less blue is compared over 5,000 stored images: where its sign differs and both are far from zero,
    by six standard errors, the order does. Made-up images are not judged, nor images of fewer classes than training
    has: classes differ in colour.
    """
    if setup.made_up or setup.train is None or setup.train.raw is None:
        return None
    first = _red_less_blue(setup.train)
    for one in setup.evals:
        other = _red_less_blue(one)
        if first is None or other is None or first[0] * other[0] >= 0 or _classes(one) < _classes(setup.train):
            continue
        if min(abs(mean) / error for mean, error in (first, other)) < 6:
            continue
        return Found(
            f"{one.role} images have their channels in another order than training images",
            {"red_less_blue_train": first[0], f"red_less_blue_{one.role}": other[0]},
            cost=5.0,
            place=one.place,
            fix=one_order(setup),
        )
    return None


def _classes(one: Pipeline) -> int:
    """How many there are in its labels; 0 where these are not known."""
    return 0 if one.labels is None else len(np.unique(one.labels))


def _red_less_blue(one: Pipeline) -> tuple[float, float] | None:
    raw = one.raw
    if raw is None or raw.ndim != 4 or 3 not in (raw.shape[1], raw.shape[3]):
        return None
    at = np.linspace(0, len(raw) - 1, min(len(raw), 5000)).astype(int)  # over all, since classes differ in colour
    raw = raw[at] if raw.shape[3] == 3 else raw[at].transpose(0, 2, 3, 1)
    each = raw[..., 0].mean(axis=(1, 2), dtype=np.float64) - raw[..., 2].mean(axis=(1, 2), dtype=np.float64)
    return float(each.mean()), max(float(each.std() / len(each) ** 0.5), 1e-9)
