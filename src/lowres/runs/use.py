"""Using what a run made: accuracy on labelled images, classes of image files."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from lowres.data import Dataset, load_dataset, mean_std
from lowres.data.folder import read_image
from lowres.errors import UserError
from lowres.evaluation.scores import Score, compute_logits
from lowres.models import load_weights
from lowres.recipes import Option, Precision, Recipe
from lowres.runs.build import evaluation_batches, score_as_asked
from lowres.runs.folder import load_run
from lowres.runs.network import network
from lowres.runs.weights import Weights, read_weights
from lowres.training.device import Placement, memory_told, place, undisturbed


@dataclass(frozen=True)
class Prediction:
    """What a network takes an image for.

    Attributes:
        image: The file.
        probabilities: Of every class, the most probable first; they sum to 1.
    """

    image: Path
    probabilities: dict[str, float]

    @property
    def label(self) -> str:
        """The most probable class."""
        return next(iter(self.probabilities))


def find_weights(target: str | Path) -> Weights:
    """The weights that a run folder or a safetensors file of ours holds.

    Raises:
        UserError: There are none, or they cannot be read.
    """
    path = Path(target)
    if path.is_dir():
        return load_run(path).weights()
    return read_weights(path)


def evaluate(
    target: str | Path,
    *,
    data: str | None = None,
    data_dir: str | Path | None = None,
    device: str = "auto",
    precision: Precision | None = None,
    model: str | None = None,
    model_options: Mapping[str, Option] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Score:
    """Accuracy of a run, or of a file of weights, on a test set.

    >>> evaluate("runs/resnet20-quick-cifar10-s0").accuracy  # doctest: +SKIP

    Args:
        target: A run folder; a safetensors file of ours; with `model`, a file of anybody's weights.
        data: A data set's name; None: the one it was trained on, or CIFAR-10 for foreign weights.
        data_dir: Where the data lie.
        device: "auto", "cpu", "cuda", ...
        precision: Of the arithmetic; None: that of training, or fp32 for foreign weights.
        model: For foreign weights: the network they belong to.
        model_options: Its options.
        mean: For foreign weights: what their training took off the pixels (in [0, 1]); None: the mean of the
            data's training images.
        std: For foreign weights: what their training divided the pixels by; None: the training images' deviation.

    Raises:
        UserError: Something is missing or does not fit.
    """
    directory = None if data_dir is None else Path(data_dir)
    if model is not None:
        dataset = load_dataset(data or "cifar10", directory)
        channels = dataset.test.images.shape[1]
        foreign = network(model, model_options or {}, classes=len(dataset.classes), channels=channels)
        load_weights(foreign, target)
        placement = place(Recipe(precision=precision or "fp32"), device)
        own_mean, own_std = mean_std(dataset.train.images)
        return _finite(_score(foreign, dataset, mean or own_mean, std or own_std, placement, Recipe()), target)
    if model_options or mean or std:
        raise UserError(f"{target} knows its network and constants: options, mean and std go with --model, for others")
    weights = find_weights(target)
    if directory is None and data is None and Path(target).is_dir():
        recorded = load_run(target).manifest.get("data", {}).get("dir")
        directory = None if recorded is None else Path(recorded)
    dataset = load_dataset(data or weights.recipe.data, directory, image_size=weights.recipe.image_size)
    if dataset.classes != weights.classes:
        raise UserError(
            f"{target} tells {len(weights.classes)} classes apart ({_some(weights.classes)}), "
            f"but {dataset.name} has {len(dataset.classes)} ({_some(dataset.classes)})"
        )
    placement = _placement(weights, device, precision)
    return _finite(_score(weights.build(), dataset, weights.mean, weights.std, placement, weights.recipe), target)


def predict(target: str | Path, images: Sequence[str | Path], *, device: str = "auto") -> list[Prediction]:
    """Classes of image files of any size.

    An image is resized, with antialiasing, so that its shorter side is the network's image size, and cut to
    the square in its centre.

    >>> predict("runs/resnet20-quick-cifar10-s0", ["cat.jpg"])[0].label  # doctest: +SKIP

    Args:
        target: A run folder or a safetensors file of ours.
        images: Files that Pillow reads.
        device: "auto", "cpu", "cuda", ...

    Raises:
        UserError: A file is missing or no image, or the weights cannot be read.
    """
    if not images:
        raise UserError("no image to predict: name one or more image files")
    weights = find_weights(target)
    paths = [Path(image) for image in images]
    pixels = torch.stack([torch.tensor(read_image(path, weights.recipe.image_size)) for path in paths])
    if pixels.shape[1] != len(weights.mean):
        raise UserError(f"{target} takes images of {len(weights.mean)} channels, image files have {pixels.shape[1]}")
    placement = _placement(weights, device, None)
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (weights.mean, weights.std))
    model = weights.build().to(placement.device)
    batches = [
        ((chunk.float() / 255 - mean) / std, torch.zeros(len(chunk), dtype=torch.int64)) for chunk in pixels.split(100)
    ]
    logits, _ = compute_logits(model, batches, placement)
    predictions = []
    for path, row in zip(paths, logits.cpu().double().softmax(1), strict=True):
        values, order = row.sort(descending=True)
        ranked = zip(order.tolist(), values.tolist(), strict=True)
        predictions.append(Prediction(path, {weights.classes[i]: value for i, value in ranked}))
    return predictions


def _score(
    model: nn.Module,
    dataset: Dataset,
    mean: Sequence[float],
    std: Sequence[float],
    placement: Placement,
    recipe: Recipe,
) -> Score:
    layout = torch.channels_last if placement.channels_last else torch.contiguous_format
    with memory_told(placement.device), undisturbed(placement.device, deterministic=recipe.deterministic):
        batches = evaluation_batches(dataset.test, tuple(mean), tuple(std), placement)
        model = model.to(placement.device, memory_format=layout)  # type: ignore[call-overload]
        return score_as_asked(model, batches, placement, recipe, dataset.classes)


def _finite(found: Score, target: str | Path) -> Score:
    if not math.isfinite(found.loss):
        raise UserError(f"{target} answers with what is no number: its weights are damaged, or the mean and std wrong")
    return found


def _placement(weights: Weights, device: str, precision: Precision | None) -> Placement:
    """As in training, so that the figures are the same to the last bit where the hardware is."""
    trained = weights.precision
    if trained == "fp16" and place(Recipe(precision="fp32"), device).device.type == "cpu":
        trained = "fp32"  # trained on a GPU: a CPU has no fast fp16
    return place(Recipe(precision=precision or trained, channels_last=weights.channels_last), device)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
