"""Recipes for ImageNet networks on small images: from scratch, fine-tuned, and as a linear probe."""

import dataclasses

from lowres.data import Augmentation
from lowres.recipes.recipe import Optimizer, Recipe, Schedule
from lowres.recipes.registry import register


def for_imagenet(model: str, *, weights: bool) -> Recipe:
    """What `lowres train NETWORK` trains: `finetune` where there are weights to begin with, else from scratch.

    From scratch: SGD with Nesterov's momentum, a cosine after a warm-up, gradients clipped, since networks without
    batch norm are among them; 60 epochs. The network stays as it is unless `adapt` or `upsample` is set.

    Args:
        model: "torchvision:resnet50", "timm:resnet50d".
        weights: Whether it begins with weights.
    """
    name = model.partition(":")[2]
    if weights:
        return dataclasses.replace(finetune(), name=f"{name}-finetune", model=model, adapt=False, pretrained=False)
    return Recipe(
        name=name,
        model=model,
        augmentation=Augmentation(crop=4, padding="zero", flip="random"),
        optimizer=Optimizer(lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4, decay="kernels"),
        schedule=Schedule("cosine", warmup=0.1),
        epochs=60,
        batch_size=128,
        clip=1.0,
    )


@register()
def finetune() -> Recipe:
    """ResNet-18 of ImageNet, adapted, fine-tuned: the head first, then all, deeper layers faster.

    The first layer learns at a tenth of the head's rate; warm-up and one short cosine; pixels normalised as the
    weights know them. The first two epochs are the head's. Another network with `--model torchvision:NAME`.

    11,173,962 parameters. 15 epochs.
    """
    return Recipe(
        model="torchvision:resnet18",
        augmentation=Augmentation(crop=4, padding="reflect", flip="random"),
        optimizer=Optimizer(lr=0.02, momentum=0.9, nesterov=True, weight_decay=1e-4, decay="kernels"),
        schedule=Schedule("cosine", warmup=0.1),
        epochs=15,
        batch_size=128,
        clip=1.0,
        adapt=True,
        pretrained=True,
        normalise="auto",
        first_rate=0.1,
        head_epochs=2,
    )


@register()
def linear_probe() -> Recipe:
    """ResNet-18 of ImageNet as it is, images enlarged to 128 pixels, its head alone trained.

    The rest stays in evaluation mode; its features are computed once, without augmentation, and kept in memory, and
    an epoch is a pass over them. The 5,130 weights of the head learn.

    11,181,642 parameters. 30 epochs.
    """
    return Recipe(
        model="torchvision:resnet18",
        augmentation=Augmentation(crop=0, flip="none"),
        optimizer=Optimizer(lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-5, decay="kernels"),
        schedule=Schedule("cosine"),
        epochs=30,
        batch_size=128,
        pretrained=True,
        upsample=128,
        normalise="auto",
        probe=True,
    )
