"""Our own short recipes."""

from lowres.data import Augmentation
from lowres.recipes.recipe import Optimizer, Recipe, Schedule
from lowres.recipes.registry import register


@register(measured=91.85, source="benchmarks/results/resnet20-quick-cpu.json")
def resnet20_quick() -> Recipe:
    """ResNet-20 in 30 epochs: orthogonalised updates and a triangle of the learning rate.

    Measured 91.85 % (benchmarks/results/resnet20-quick-cpu.json, one run). 269,722 parameters. 30 epochs.
    """
    return Recipe(
        model="resnet20",
        augmentation=Augmentation(crop=4, padding="reflect", flip="alternating"),
        optimizer=Optimizer(
            "muon", lr=0.3, nesterov=True, weight_decay=5e-4, decay="kernels", muon_lr=0.015, muon_momentum=0.9
        ),
        schedule=Schedule("triangle", warmup=0.1),
        epochs=30,
        batch_size=128,
    )


@register()
def digits() -> Recipe:
    """ResNet-20 on scikit-learn's handwritten digits: the demonstration that needs no download.

    269,722 parameters. 15 epochs.
    """
    return Recipe(
        model="resnet20",
        data="digits",
        augmentation=Augmentation(crop=4, padding="zero", flip="none"),
        optimizer=Optimizer(lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4, decay="kernels"),
        schedule=Schedule("triangle", warmup=0.2),
        epochs=15,
        batch_size=32,
        label_smoothing=0.1,
    )
