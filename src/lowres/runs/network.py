"""The network of a recipe: one of ours, or an ImageNet network, adapted, with or without weights to begin with."""

import hashlib
from collections.abc import Mapping

from torch import nn

from lowres.errors import UserError
from lowres.files import expanded
from lowres.models import create_model, imagenet, load_weights, model_info, surgery
from lowres.recipes import Option, Recipe


def network(name: str, options: Mapping[str, Option], *, classes: int, channels: int, seed: int = 0) -> nn.Module:
    """A network for given data.

    Args:
        name: As `create_model` takes it.
        options: Its options, without those that follow from the data.
        classes: Outputs.
        channels: Of the images.
        seed: Of the initial weights.

    Raises:
        UserError: There is no such network, or an option is unknown, not possible, or not to be chosen here.
    """
    for option in ("classes", "channels", "seed"):
        if option in options:
            raise UserError(f"{option} of {name} follows from the data and the recipe: leave it out of model_options")
    return create_model(name, classes=classes, channels=channels, seed=seed, **options)


def recipe_network(recipe: Recipe, *, classes: int, channels: int, load: bool = True, gradients: int = 0) -> nn.Module:
    """The network of a recipe.

    Args:
        recipe: What it is.
        classes: Outputs.
        channels: Of the images.
        load: Whether to begin with the recipe's pretrained weights; a run's own replace them otherwise.
        gradients: Images of the backward pass that the report of an adaptation measures with; 0: none.

    Raises:
        UserError: There is no such network, it cannot be adapted, or its weights cannot be had.
    """
    name = imagenet.imagenet_name(recipe.model)
    if name is None:
        model = network(recipe.model, recipe.model_options, classes=classes, channels=channels, seed=recipe.seed)
        if recipe.adapt or recipe.pretrained:
            asked = "adapt" if recipe.adapt else "pretrained"
            raise UserError(
                f"{recipe.model} is made for small images here: --{asked} is for torchvision:NAME, timm:NAME"
            )
        if load and recipe.weights:
            load_weights(model, expanded(recipe.weights))
    else:
        if recipe.model_options:
            raise UserError(f"{name} takes no model_options: leave them out")
        model = _imagenet(recipe, name, classes, channels, load, gradients)
    return surgery.Upsampled(model, recipe.upsample) if recipe.upsample else model


def require_model(recipe: Recipe) -> None:
    """Looks, before the data are read, whether there is such a network.

    Raises:
        UserError: There is none.
    """
    if imagenet.imagenet_name(recipe.model) is None:
        model_info(recipe.model)


def shrinks_beyond_a_pixel(recipe: Recipe, model: nn.Module, channels: int) -> bool:
    """Whether a stride meets a map of one pixel: such a network is too deep in strides for the recipe's images."""
    return imagenet.imagenet_name(recipe.model) is not None and surgery.shrinks_a_pixel(
        model, recipe.image_size, channels
    )


def constants(recipe: Recipe) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """The mean and deviation that a recipe's weights were trained with; None: it takes those of the data.

    Raises:
        UserError: The weights tell none.
    """
    if recipe.normalise == "data" or not (recipe.pretrained or recipe.weights):
        return None
    name = imagenet.imagenet_name(recipe.model) or recipe.model
    return imagenet.constants_of(name, expanded(recipe.weights) if recipe.weights else None)


def weights_checksum(recipe: Recipe) -> str | None:
    """Of the file of weights that a recipe begins with, as it is now; None without one, or where it is not there."""
    if not recipe.weights:
        return None
    try:
        with expanded(recipe.weights).open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError:
        return None


def _imagenet(recipe: Recipe, name: str, classes: int, channels: int, load: bool, gradients: int) -> nn.Module:
    file = expanded(recipe.weights) if recipe.weights else None
    model = imagenet.build(name, seed=recipe.seed, pretrained=recipe.pretrained and load)
    adapted_file: UserError | None = None
    if file is not None and load:
        try:
            imagenet.load_file(model, file, surgery.head_of(model))
        except UserError as error:  # perhaps they are those of an adapted network
            if not recipe.adapt or "another architecture" not in str(error):
                raise
            adapted_file = error
    if not recipe.adapt:
        return surgery.with_head(model, classes, channels=channels, seed=recipe.seed)
    scratch = not recipe.pretrained and file is None
    model = surgery.adapt(
        model,
        recipe.image_size,
        classes,
        stem="new" if scratch else recipe.stem,
        channels=channels,
        seed=recipe.seed,
        gradients=gradients,
    )
    if adapted_file is not None and file is not None:
        try:
            imagenet.load_file(model, file, surgery.head_of(model, recipe.image_size, channels))
        except UserError:
            raise adapted_file from None
    return model
