"""The roads from an ImageNet network to small images, compared at equal budget: as it is, adapted, upsampled."""

import dataclasses
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowres.data import Augmentation, Dataset, content_checksum
from lowres.errors import UserError, unknown
from lowres.models import imagenet, list_models, surgery
from lowres.recipes import Optimizer, Recipe, Schedule
from lowres.runs.brief import brief
from lowres.runs.network import constants, recipe_network
from lowres.training.loop import Diverged


@dataclass(frozen=True)
class Road:
    """One way to train a network on small images, and what it reached.

    Attributes:
        name: "as it is", "adapted", "upsampled to 128".
        weights: What it began with: "scratch", or what the weights are called.
        accuracies: Of each seed, in percent, last epoch.
        interval: Of the first seed's accuracy: 95 %, by the number of test images.
        parameters: Trainable.
        multiply_adds: For one image.
        images_per_second: In training, the mean over seeds.
        seconds: Of training, all seeds.
        reason: Why it was not taken; "" where it was.
    """

    name: str
    weights: str
    accuracies: tuple[float, ...] = ()
    interval: tuple[float, float] | None = None
    parameters: int | None = None
    multiply_adds: int | None = None
    images_per_second: float | None = None
    seconds: float = 0.0
    reason: str = ""

    @property
    def mean(self) -> float | None:
        """Mean accuracy over the seeds."""
        return statistics.mean(self.accuracies) if self.accuracies else None


def require_imagenet(model: str) -> str:
    """The full name of an ImageNet network.

    Raises:
        UserError: It is none.
    """
    name = imagenet.imagenet_name(model)
    if name is None and model in list_models():
        raise UserError(f"{model} is made for small images already: name an ImageNet network, such as resnet18")
    if name is None:
        raise unknown("ImageNet network", model, imagenet.torchvision_models(), "those of torchvision, and timm:NAME")
    return name


def common(model: str, epochs: int, batch_size: int, image_size: int) -> Recipe:
    """The recipe that all roads share: what differs between them is the network and its first weights."""
    return Recipe(
        name="compare-adaptation",
        model=model,
        image_size=image_size,
        augmentation=Augmentation(crop=image_size // 8, padding="zero", flip="random"),
        # The rate that both kinds of a deep network bear without clipped gradients (benchmarks/adapt_training.py).
        optimizer=Optimizer(lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4, decay="kernels"),
        schedule=Schedule("triangle", warmup=0.2),
        epochs=epochs,
        batch_size=batch_size,
    )


def roads(
    model: str,
    dataset: Dataset,
    *,
    epochs: int,
    seeds: int,
    batch_size: int = 64,
    upsample: int = 128,
    stem: str = "resize",
    weights: Path | None = None,
    download: bool = False,
    out: Path,
    device: str = "auto",
    tell: Callable[[str], None] = lambda line: None,
) -> list[Road]:
    """Trains each road with each seed.

    Args:
        model: An ImageNet network.
        dataset: What it is trained and scored on.
        epochs: Of each training.
        seeds: From 0.
        batch_size: Images in a step.
        upsample: Side that images are enlarged to on that road.
        stem: "crop" or "resize": how a pretrained stem becomes smaller.
        weights: A file of weights to begin with; None: the library's, where they are on this machine.
        download: Whether the library may get them.
        out: The folder in which results are kept; a comparison that was killed goes on from there.
        device: "auto", "cpu", "cuda", ...
        tell: Gets a line when a training ends.

    Raises:
        UserError: There is no such network, or its weights cannot be had.
    """
    name = require_imagenet(model)
    base = common(name, epochs, batch_size, dataset.train.images.shape[-1])
    ways: dict[str, dict[str, Any]] = {
        "as it is": {},
        "adapted": {"adapt": True, "stem": stem},
        f"upsampled to {upsample}": {"upsample": upsample},
    }
    planned: list[tuple[Road, Recipe | None]] = []  # all of them, before the first is trained
    for label, start in _starts(name, weights, download).items():
        for way, options in ways.items():
            if isinstance(start, str):
                planned.append((Road(way, label, reason=start), None))
                continue
            recipe = dataclasses.replace(base, **options, **start)
            planned.append((_looked_at(Road(way, label), recipe, dataset), recipe))
    return [
        road if recipe is None or road.reason else _taken(road, recipe, dataset, seeds, out, device, tell)
        for road, recipe in planned
    ]


def _starts(name: str, weights: Path | None, download: bool) -> dict[str, dict[str, Any] | str]:
    """What the roads begin with, by its label: fields of a recipe, or the reason why it is left out."""
    starts: dict[str, dict[str, Any] | str] = {"scratch": {}}
    own = imagenet.published(name)
    if weights is not None:
        known = weights.suffix == ".safetensors" or (own is not None and weights.name == own.file.name)
        starts[weights.name] = {"weights": str(weights), "normalise": "auto" if known else "data"}
    elif own is not None and (own.here or download):
        starts["pretrained"] = {"pretrained": True, "normalise": "auto"}
    elif own is not None:
        starts["pretrained"] = f"{own.file} is not here: --download gets them, --weights FILE names others"
    return starts


def _looked_at(road: Road, recipe: Recipe, dataset: Dataset) -> Road:
    """A road with its network's figures, or the reason why it cannot be taken.

    Raises:
        UserError: Its weights cannot be had.
    """
    channels = dataset.train.images.shape[1]
    constants(recipe)
    network = recipe_network(recipe, classes=len(dataset.classes), channels=channels)
    measured = surgery.figures(network, recipe.image_size, channels=channels)
    return dataclasses.replace(
        road, parameters=measured.parameters, multiply_adds=measured.multiply_adds, reason=measured.error
    )


def _taken(
    road: Road,
    recipe: Recipe,
    dataset: Dataset,
    seeds: int,
    out: Path,
    device: str,
    tell: Callable[[str], None],
) -> Road:
    """The road after its trainings."""
    content = content_checksum(dataset).removeprefix("sha256:")[:8]
    name = f"{recipe.model.partition(':')[2]}-{road.name}-{road.weights}-{content}"
    results = []
    for seed in range(seeds):
        file = out / f"{name}-s{seed}.json".replace(" ", "-")
        try:
            result, _ = brief(dataclasses.replace(recipe, seed=seed), dataset, device=device, kept=file, curve=False)
        except Diverged as error:  # the other roads go on
            tell(f"{road.name}, {road.weights}, seed {seed}: {error}")
            return dataclasses.replace(road, reason=f"seed {seed}: {error}")
        tell(f"{road.name}, {road.weights}, seed {seed}: {result['accuracy']:.2f} %, {result['seconds']:.0f} s")
        results.append(result)
    low, high = results[0]["interval"]
    return dataclasses.replace(
        road,
        accuracies=tuple(result["accuracy"] for result in results),
        interval=(low, high),
        parameters=results[0]["parameters"],
        images_per_second=statistics.mean(r["history"][-1]["images_per_second"] for r in results),
        seconds=sum(result["seconds"] for result in results),
    )
