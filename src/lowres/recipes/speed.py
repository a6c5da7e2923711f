"""Our own recipes for the shortest time to 94, 95 and 96 % on CIFAR-10, on whatever hardware there is.

The ideas are those of the published speed records (Jordan 2024, "94% on CIFAR-10 in 3.29 seconds"; Jordan 2024, Muon);
network, optimizer and numbers are ours. Final figures are made with test-time augmentation and say so.
"""

from lowres.data import Augmentation
from lowres.recipes.recipe import Optimizer, Recipe, Schedule
from lowres.recipes.registry import register


@register()
def speed94() -> Recipe:
    """Made for 94 % of CIFAR-10 in the least time: few wide convolutions, 8 epochs, test-time augmentation.

    1,971,352 parameters. 8 epochs.
    """
    return _speed("speednet_s", epochs=8, crop=2)


@register()
def speed95() -> Recipe:
    """Made for 95 % of CIFAR-10 in the least time: a wider network than speed94's, test-time augmentation.

    4,604,440 parameters. 16 epochs.
    """
    return _speed("speednet_m", epochs=16, crop=2)


@register()
def speed96() -> Recipe:
    """Made for 96 % of CIFAR-10 in the least time: nine convolutions and cutout, test-time augmentation.

    12,717,464 parameters. 40 epochs.
    """
    return _speed("speednet_l", epochs=40, crop=4, cutout=12)


def _speed(model: str, *, epochs: int, crop: int, cutout: int = 0) -> Recipe:
    return Recipe(
        model=model,
        augmentation=Augmentation(crop=crop, padding="reflect", flip="alternating", cutout=cutout),
        optimizer=Optimizer(
            "muon",
            lr=5.0,
            momentum=0.85,
            nesterov=True,
            weight_decay=8e-4,
            bias_rate=16.0,
            muon_lr=0.24,
            muon_momentum=0.6,
        ),
        schedule=Schedule("triangle", warmup=0.1, warmup_start=0.2),
        epochs=epochs,
        batch_size=1000,
        label_smoothing=0.2,
        deterministic=False,
        evaluate_every=0,
        tta="mirror+shift",
        tta_below=0.7,
    )
