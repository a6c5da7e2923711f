"""Recipes of Anand 2020 (iamVarunAnand/image_classification): small residual networks with a bag of tricks.

The published table adds one change a row, each on one run. Its L2 penalty of 1e-4 in Keras's sense equals a
weight decay of 2e-4, on kernels only. 45,000 images, 180 epochs, batch 128.
"""

import dataclasses

from lowres.data import Augmentation
from lowres.recipes.recipe import Optimizer, Recipe, Schedule
from lowres.recipes.registry import register

TABLE = "Anand 2020, README"
BLENDED = "Anand 2020, README, where mixup blends images only"


def step(model: str) -> Recipe:
    """The plain recipe: 0.01 for one epoch, 0.1, divided by 10 at half and at three quarters."""
    return Recipe(
        model=model,
        held_out=5_000,
        augmentation=Augmentation(crop=4, padding="zero", flip="random"),
        optimizer=Optimizer(lr=0.1, momentum=0.9, weight_decay=2e-4, decay="kernels"),
        schedule=Schedule("multistep", warmup=1 / 180, warmup_start=0.1, warmup_shape="constant"),
        epochs=180,
        batch_size=128,
    )


def cosine(model: str) -> Recipe:
    """Plus cosine decay: five epochs of linear warm-up, then to zero, step by step."""
    return dataclasses.replace(step(model), schedule=Schedule("cosine", warmup=5 / 180))


def smoothing(model: str) -> Recipe:
    """Plus label smoothing of 0.1."""
    return dataclasses.replace(cosine(model), label_smoothing=0.1)


def mixup(model: str) -> Recipe:
    """Plus mixup (Zhang 2017): labels are mixed as the images are, with a ratio from Beta(0.2, 0.2)."""
    mixed = Augmentation(crop=4, padding="zero", flip="random", mixup=0.2)
    return dataclasses.replace(smoothing(model), augmentation=mixed)


def reflection(model: str) -> Recipe:
    """Plus reflection padding: every change of the published table."""
    recipe = mixup(model)
    return dataclasses.replace(recipe, augmentation=dataclasses.replace(recipe.augmentation, padding="reflect"))


@register(published=91.82, source=TABLE)
def xresnet20() -> Recipe:
    """Pre-activation ResNet-20 with pooled shortcuts and a two-pool head.

    Published 91.82 %. 273,114 parameters. 180 epochs.
    """
    return step("xresnet20")


@register()
def xresnet32() -> Recipe:
    """XResNet-32, plain recipe. 467,546 parameters. 180 epochs."""
    return step("xresnet32")


@register()
def xresnet44() -> Recipe:
    """XResNet-44, plain recipe. 661,978 parameters. 180 epochs."""
    return step("xresnet44")


@register()
def xresnet56() -> Recipe:
    """XResNet-56, plain recipe. 856,410 parameters. 180 epochs."""
    return step("xresnet56")


@register(published=92.07, source=TABLE)
def mxresnet20() -> Recipe:
    """XResNet-20 with Mish.

    Published 92.07 %. 273,114 parameters. 180 epochs.
    """
    return step("mxresnet20")


@register()
def mxresnet32() -> Recipe:
    """MXResNet-32, plain recipe. 467,546 parameters. 180 epochs."""
    return step("mxresnet32")


@register()
def mxresnet44() -> Recipe:
    """MXResNet-44, plain recipe. 661,978 parameters. 180 epochs."""
    return step("mxresnet44")


@register()
def mxresnet56() -> Recipe:
    """MXResNet-56, plain recipe. 856,410 parameters. 180 epochs."""
    return step("mxresnet56")


@register(published=92.19, source=TABLE)
def semxresnet20_step() -> Recipe:
    """XResNet-20 with Mish and squeeze-and-excite, plain recipe.

    Published 92.19 %. 275,130 parameters. 180 epochs.
    """
    return step("semxresnet20")


@register(published=92.47, source=TABLE)
def semxresnet20_cosine() -> Recipe:
    """SE-MXResNet-20 with cosine decay.

    Published 92.47 %. 275,130 parameters. 180 epochs.
    """
    return cosine("semxresnet20")


@register(published=92.51, source=TABLE)
def semxresnet20_smoothing() -> Recipe:
    """SE-MXResNet-20 with cosine decay and label smoothing.

    Published 92.51 %. 275,130 parameters. 180 epochs.
    """
    return smoothing("semxresnet20")


@register(published=92.97, source=BLENDED)
def semxresnet20_mixup() -> Recipe:
    """SE-MXResNet-20 with cosine decay, label smoothing and real mixup.

    Published 92.97 %, of a "mixup" that blends images only. 275,130 parameters. 180 epochs.
    """
    return mixup("semxresnet20")


@register(published=92.97, source=TABLE)
def semxresnet20_mixup_image_only() -> Recipe:
    """SE-MXResNet-20 with the published script's "mixup": images are blended, the larger share's label is kept.

    Its ratio comes from Beta(1.4, 0.4), the larger share.

    Published 92.97 %. 275,130 parameters. 180 epochs.
    """
    blended = Augmentation(crop=4, padding="zero", flip="random", mixup=1.4, mixup_beta=0.4, mixup_labels="dominant")
    return dataclasses.replace(smoothing("semxresnet20"), augmentation=blended)


@register(published=93.10, source=BLENDED)
def semxresnet20() -> Recipe:
    """SE-MXResNet-20 with every change of the table: cosine, label smoothing, mixup, reflection padding.

    Published 93.10 %. 275,130 parameters. 180 epochs.
    """
    return reflection("semxresnet20")


@register(published=93.80, source=BLENDED)
def semxresnet32() -> Recipe:
    """SE-MXResNet-32 with every change.

    Published 93.80 %. 470,906 parameters. 180 epochs.
    """
    return reflection("semxresnet32")


@register(published=93.88, source=BLENDED)
def semxresnet44() -> Recipe:
    """SE-MXResNet-44 with every change.

    Published 93.88 %. 666,682 parameters. 180 epochs.
    """
    return reflection("semxresnet44")


@register(published=94.36, source=BLENDED)
def semxresnet56() -> Recipe:
    """SE-MXResNet-56 with every change.

    Published 94.36 %. 862,458 parameters. 180 epochs.
    """
    return reflection("semxresnet56")


@register(published=92.38, source=TABLE)
def xresnet29() -> Recipe:
    """Bottleneck XResNet-29, plain recipe.

    Published 92.38 %. 320,906 parameters. 180 epochs.
    """
    return step("xresnet29")


@register(published=93.30, source=TABLE)
def xresnext29() -> Recipe:
    """XResNeXt-29 (16x2d), plain recipe.

    Published 93.30 %. 332,170 parameters. 180 epochs.
    """
    return step("xresnext29_16x2d")


@register()
def xresnext47() -> Recipe:
    """XResNeXt-47 (16x2d), plain recipe. 531,978 parameters. 180 epochs."""
    return step("xresnext47_16x2d")


@register()
def xresnext65() -> Recipe:
    """XResNeXt-65 (16x2d), plain recipe. 731,786 parameters. 180 epochs."""
    return step("xresnext65_16x2d")


@register()
def xresnext83() -> Recipe:
    """XResNeXt-83 (16x2d), plain recipe. 931,594 parameters. 180 epochs."""
    return step("xresnext83_16x2d")


@register(published=94.68, source=BLENDED)
def semxresnext29() -> Recipe:
    """SE-MXResNeXt-29 (16x2d) with every change.

    Published 94.68 %. 364,426 parameters. 180 epochs.
    """
    return reflection("semxresnext29_16x2d")


@register()
def semxresnext47() -> Recipe:
    """SE-MXResNeXt-47 (16x2d) with every change. 585,738 parameters. 180 epochs."""
    return reflection("semxresnext47_16x2d")


@register()
def semxresnext65() -> Recipe:
    """SE-MXResNeXt-65 (16x2d) with every change. 807,050 parameters. 180 epochs."""
    return reflection("semxresnext65_16x2d")


@register()
def semxresnext83() -> Recipe:
    """SE-MXResNeXt-83 (16x2d) with every change. 1,028,362 parameters. 180 epochs."""
    return reflection("semxresnext83_16x2d")
