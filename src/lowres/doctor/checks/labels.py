"""DA2: labels against the head, against the images, and between splits."""

import numpy as np
import torch
from numpy.typing import NDArray

from lowres.doctor.findings import Fix, Found, check
from lowres.doctor.pipeline import Pipeline
from lowres.doctor.remedies.numbers import from_zero, head_of
from lowres.doctor.remedies.pixels import labels_in_place
from lowres.doctor.setup import Setup

LEARNED = 3000
"""Images that the linear probe learns from."""


@check("DA207", "labels that do not fit the head", grade="error", kind="C16", cost=(0.5, 90), source="public cases")
def head(setup: Setup) -> Found | None:
    """Labels and outputs disagree: labels beyond the head, or counted from one on one side and from zero on the other.

    All labels of all splits are counted. More outputs than classes (a head of 1000 for ten classes) costs little and
    is a note.
    """
    train = setup.train
    if train is None or train.labels is None or setup.network is None or not setup.network.outputs:
        return None
    outputs = setup.network.outputs
    low, high = int(train.labels.min()), int(train.labels.max())
    for one in setup.evals:
        if one.labels is None or len(one.labels) < 10:
            continue
        first, last = int(one.labels.min()), int(one.labels.max())
        if (first - low) == (last - high) != 0 and len(np.unique(one.labels)) == len(np.unique(train.labels)):
            return Found(
                f"training labels run from {low} to {high}, those of {one.role} from {first} to {last}",
                {"train": [low, high], one.role: [first, last], "outputs": outputs},
                cost=90.0,
                place=one.place,
                fix=from_zero(setup, one, outputs),
            )
    if high >= outputs or low < 0:
        return Found(
            f"labels run from {low} to {high}, the head has {outputs} outputs",
            {"train": [low, high], "outputs": outputs},
            cost=90.0,
            fix=head_of(setup, outputs, high + 1, "a head for all classes"),
        )
    if outputs > high + 1:
        return Found(
            f"the head has {outputs} outputs for {high + 1} classes",
            {"train": [low, high], "outputs": outputs},
            cost=0.5,
            grade="note",
            fix=head_of(setup, outputs, high + 1, "a head for the classes there are"),
        )
    return None


@check(
    "DA215",
    "labels that have nothing to do with the images",
    grade="error",
    kind="C16",
    cost=(20, 90),
    source="a linear probe on the images; public cases",
)
def meaningless(setup: Setup) -> Found | None:
    """A linear classifier learns nothing from the training images, or its classes are exchanged at evaluation.

    Ridge regression on 3,000 stored images, scaled down to 8x8. On CIFAR-10 it scores about 30 %, far above chance;
    within three standard errors of chance the labels carry nothing. At evaluation, where another assignment of
    classes scores far better than the given one, labels are exchanged. Made-up images are not judged.
    """
    train = setup.train
    if setup.made_up or train is None or train.raw is None or train.labels is None or len(train.labels) < 2 * LEARNED:
        return None
    classes = int(train.labels.max()) + 1
    if classes > 20 or train.raw.ndim not in (3, 4) or len(np.unique(train.labels)) < 5:
        return None
    at = np.linspace(0, len(train.labels) - 1, LEARNED + 1000).astype(int)
    held = np.arange(len(at)) % 4 == 0
    weights = _learn(_features(train, at[~held]), train.labels[at[~held]], classes)
    score = _scores(weights, train, at[held], classes)
    accuracy = float(np.trace(score) / score.sum())
    chance = float(score.sum(axis=1).max() / score.sum())
    if accuracy < chance + 3 * (chance * (1 - chance) / score.sum()) ** 0.5:
        return Found(
            f"a linear probe scores {accuracy:.0%} on the training labels, no better than chance: labels and images "
            f"do not belong together",
            {"probe_accuracy": accuracy, "chance": chance, "images": int(score.sum())},
            cost=80.0,
            place=train.place,
            fix=labels_in_place(setup),
        )
    for one in setup.evals:
        found = _exchanged(weights, one, classes)
        if found is not None:
            return found
    return None


def _exchanged(weights: torch.Tensor, one: Pipeline, classes: int) -> Found | None:
    if one.raw is None or one.labels is None or len(one.labels) < 1000 or int(one.labels.max()) >= classes:
        return None
    at = np.linspace(0, len(one.labels) - 1, 2000).astype(int)
    score = _scores(weights, one, at, classes)
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(-score)
    given, best = float(np.trace(score) / score.sum()), float(score[rows, columns].sum() / score.sum())
    moved = int((rows != columns).sum())
    if best < given + 0.08 or moved < classes // 2:
        return None
    return Found(
        f"{one.role} labels are exchanged: a probe scores {given:.0%} as they are and {best:.0%} with {moved} "
        f"classes renamed",
        {
            "probe_accuracy": given,
            "renamed_accuracy": best,
            "renamed": {int(r): int(c) for r, c in zip(rows, columns, strict=True)},
        },
        cost=80.0,
        place=one.place,
    )


def _features(one: Pipeline, at: NDArray[np.int64]) -> torch.Tensor:
    assert one.raw is not None
    images = torch.from_numpy(np.ascontiguousarray(one.raw[at])).float()
    if images.dim() == 3:
        images = images[:, None]
    elif images.shape[-1] in (1, 3):
        images = images.permute(0, 3, 1, 2)
    small = torch.nn.functional.adaptive_avg_pool2d(images / 255, 8).flatten(1)
    return torch.cat((small - small.mean(dim=1, keepdim=True), torch.ones(len(small), 1)), dim=1)


def _learn(features: torch.Tensor, labels: NDArray[np.int64], classes: int) -> torch.Tensor:
    target = torch.nn.functional.one_hot(torch.from_numpy(labels.copy()), classes).float()
    gram = features.T @ features + 3.0 * torch.eye(features.shape[1])
    solution: torch.Tensor = torch.linalg.solve(gram, features.T @ target)
    return solution


def _scores(weights: torch.Tensor, one: Pipeline, at: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """The confusion of the probe: rows are labels, columns what it says."""
    assert one.labels is not None
    said = (_features(one, at) @ weights).argmax(dim=1).numpy()
    table = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(table, (one.labels[at], said), 1)
    return table


@check(
    "DA217",
    "one image under several labels",
    grade="warning",
    kind="C32",
    cost=(0, 10),
    source="no network can be right on more than one label of an image",
)
def contradicted(setup: Setup) -> Found | None:
    """The same stored image stands in the training data under several labels, a hundredth of the images or more.

    Only images that are equal byte for byte are compared: labels that a person would doubt are not looked for, since
    what is doubtful to a small model is mostly hard, not wrong. Fewer such images are a note. Made-up images are not
    judged.
    """
    train = setup.train
    if setup.made_up or train is None or train.stored is None or train.labels is None:
        return None
    if len(train.stored) != len(train.labels):
        return None
    seen: dict[object, set[int]] = {}
    for image, label in zip(train.stored, train.labels.tolist(), strict=True):
        seen.setdefault(image, set()).add(label)
    places = [i for i, image in enumerate(train.stored) if len(seen[image]) > 1]
    if not places:
        return None
    share = len(places) / len(train.stored)
    return Found(
        f"{len(places)} training images ({share:.1%}) stand under several labels",
        {"images": len(places), "share": share, "the_first": places[:50]},
        cost=min(100 * share / 2, 10.0),
        grade="warning" if share >= 0.01 else "note",
        place=train.place,
        fix=Fix("keep one of each, or none", code="keep = [i for i in range(len(train_set)) if i not in doubtful]"),
    )
