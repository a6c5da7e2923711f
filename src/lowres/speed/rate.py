"""How fast a recipe trains here, measured with the very loop that trains it, on made-up images."""

import dataclasses
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lowres.data import Dataset, Images
from lowres.errors import UserError
from lowres.models import summarise
from lowres.recipes import Recipe
from lowres.runs.build import build
from lowres.speed.ceilings import synchronise
from lowres.training.device import place, undisturbed
from lowres.training.loop import Loader, train_epoch

CLASSES = {"cifar100": 100}
MOST_IMAGES = 50_000


@dataclass(frozen=True)
class Rate:
    """A recipe's speed in training.

    Attributes:
        recipe: Its name.
        model: Its network.
        batch_size: Images in a step.
        precision: Of the arithmetic.
        steps: That were timed, after one that was not unless a single one took all the time there was.
        images_per_second: Input, forward, backward and optimizer included.
        input_share: Of the time, what making the batches takes, from 0 to 1.
        multiply_adds_per_image: Of convolutions and linear layers, forward and backward.
        multiply_adds_per_second: The two together.
    """

    recipe: str
    model: str
    batch_size: int
    precision: str
    steps: int
    images_per_second: float
    input_share: float
    multiply_adds_per_image: int
    multiply_adds_per_second: float


def measure_rate(recipe: Recipe, device: str = "auto", seconds: float = 5.0, dataset: Dataset | None = None) -> Rate:
    """Trains a recipe's network for a few steps and times them.

    Args:
        recipe: What to train.
        device: As `lowres train` takes it.
        seconds: For the timed steps, about.
        dataset: What to train it on; None: random images in the shape of the recipe's data.

    Raises:
        UserError: The recipe cannot be built, or the device is not there.
    """
    if recipe.probe:
        raise UserError(f"{recipe.name} trains a head, on features that are computed once: name another recipe")
    placement = place(recipe, device)
    with undisturbed(placement.device, deterministic=recipe.deterministic):
        short = dataclasses.replace(recipe, held_out=0, epochs=1, pretrained=False, weights="")
        images = min(MOST_IMAGES, max(recipe.batch_size * 20, 1000))
        built = build(short, dataset or _made_up(recipe, images), placement)
        plan = built.plan()
        per_image = training_multiply_adds(built.learner.model, recipe.image_size)

        def timed(steps: int) -> float:
            started = time.perf_counter()
            train_epoch(built.learner, _Some(built.batches, steps), plan, lambda event: None)
            synchronise(placement.device)
            return time.perf_counter() - started

        steps, taken = 1, timed(1)  # how many fit into the time is not known before
        if taken < seconds:
            warm = timed(1)
            steps = max(1, min(int(seconds / warm), 1000))
            taken = timed(steps)
        started = time.perf_counter()
        for _ in _Some(built.batches, steps):
            pass
        synchronise(placement.device)
        input_seconds = time.perf_counter() - started
    speed = steps * recipe.batch_size / taken
    return Rate(
        recipe=recipe.name,
        model=recipe.model,
        batch_size=recipe.batch_size,
        precision=placement.precision,
        steps=steps,
        images_per_second=speed,
        input_share=input_seconds / taken,
        multiply_adds_per_image=per_image,
        multiply_adds_per_second=speed * per_image,
    )


def training_multiply_adds(model: nn.Module, image_size: int = 32, channels: int = 3) -> int:
    """Multiply-adds of a training step, for one image: forward, gradients of weights, gradients of inputs.

    Each of the three costs a layer the same. Weights that are not trained need no gradient, nor does the input of
    a layer before which nothing is trained.
    """
    layers = dict(model.named_modules())
    total, trained_before = 0, False
    for row in summarise(model, image_size, channels).rows:
        own = list(layers[row.name].parameters(recurse=False))
        weight = getattr(layers[row.name], "weight", None)
        passes = 1 + trained_before + (weight is not None and weight.requires_grad)
        total += passes * row.multiply_adds
        trained_before = trained_before or any(p.requires_grad for p in own)
    return total


class _Some:
    """So many batches, begun anew where an epoch of them has fewer."""

    def __init__(self, batches: Loader, count: int) -> None:
        self.batches = batches
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        epochs = (iter(self.batches) for _ in itertools.count())
        return itertools.islice(itertools.chain.from_iterable(epochs), self.count)


def _made_up(recipe: Recipe, count: int) -> Dataset:
    """Noise in the shape of a recipe's data."""
    generator = torch.Generator().manual_seed(0)
    classes = tuple(map(str, range(CLASSES.get(recipe.data, 10))))

    def images(count: int) -> Images:
        shape = (count, 3, recipe.image_size, recipe.image_size)
        pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        return Images(pixels, torch.arange(count) % len(classes), classes)

    return Dataset("made up", images(count), images(len(classes)))
