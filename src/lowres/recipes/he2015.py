"""Recipes of "Deep Residual Learning for Image Recognition" (He 2015, section 4.2), and a public replication."""

import dataclasses

from lowres.data import Augmentation
from lowres.recipes.recipe import Optimizer, Recipe, Schedule
from lowres.recipes.registry import register

TABLE = "He 2015, table 6"


def paper(model: str) -> Recipe:
    """The paper's recipe for a network: 64,000 iterations on 45,000 images (182 epochs of 351 steps)."""
    return Recipe(
        model=model,
        held_out=5_000,
        augmentation=Augmentation(crop=4, padding="zero", flip="random"),
        optimizer=Optimizer(lr=0.1, momentum=0.9, weight_decay=1e-4),
        schedule=Schedule("multistep", milestones=(0.5, 0.75), gamma=0.1),
        epochs=182,
        batch_size=128,
    )


@register(published=91.25, source=TABLE)
def resnet20() -> Recipe:
    """ResNet-20 as in the paper.

    Published 91.25 % (He 2015, table 6). 269,722 parameters. 182 epochs.
    """
    return paper("resnet20")


@register(published=92.49, source=TABLE)
def resnet32() -> Recipe:
    """ResNet-32 as in the paper.

    Published 92.49 % (He 2015, table 6). 464,154 parameters. 182 epochs.
    """
    return paper("resnet32")


@register(published=92.83, source=TABLE)
def resnet44() -> Recipe:
    """ResNet-44 as in the paper.

    Published 92.83 % (He 2015, table 6). 658,586 parameters. 182 epochs.
    """
    return paper("resnet44")


@register(published=93.03, source=TABLE)
def resnet56() -> Recipe:
    """ResNet-56 as in the paper.

    Published 93.03 % (He 2015, table 6). 853,018 parameters. 182 epochs.
    """
    return paper("resnet56")


@register(published=93.57, source=TABLE)
def resnet110() -> Recipe:
    """ResNet-110 as in the paper: 0.01 for the first 400 of 64,000 iterations, then 0.1.

    The paper ends this warm-up when the training error falls below 80 %, "about 400 iterations".

    Published 93.57 % (He 2015, table 6). 1,727,962 parameters. 182 epochs.
    """
    warmed = Schedule("multistep", warmup=400 / 64_000, warmup_start=0.1, warmup_shape="constant")
    return dataclasses.replace(paper("resnet110"), schedule=warmed)


@register(published=92.07, source=TABLE)
def resnet1202() -> Recipe:
    """ResNet-1202 as in the paper, warmed up as ResNet-110.

    Published 92.07 % (He 2015, table 6). 19,421,274 parameters. 182 epochs.
    """
    return dataclasses.replace(resnet110(), model="resnet1202")


@register(published=92.07, source="Kim's replication of ResNet-20 (best epoch on the test set)")
def resnet20_cosine() -> Recipe:
    """ResNet-20 with 1x1 shortcuts and a cosine schedule, on all 50,000 images, as many replicate it.

    The replication divides by (0.2023, 0.1994, 0.2010), the mean deviation of single images; here the
    deviation of all pixels stands in its place, which batch norm makes up for.

    Published 92.07 % (best epoch on the test set). 272,474 parameters. 200 epochs.
    """
    return Recipe(
        model="resnet20",
        model_options={"shortcut": "B"},
        optimizer=Optimizer(lr=0.1, momentum=0.9, weight_decay=1e-4),
        schedule=Schedule("cosine"),
        epochs=200,
        batch_size=128,
    )
