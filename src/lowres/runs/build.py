"""A recipe brought to life: network, optimizers, batches, on their device."""

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lowres.data import Batches, Dataset, Images, mean_std, stratified_split
from lowres.errors import UserError
from lowres.evaluation.scores import Score, compute_logits, score
from lowres.evaluation.views import VIEWS, compute_averaged_logits
from lowres.models import Whitening, surgery, whiten
from lowres.models.weights import versioned
from lowres.models.whitening import SAMPLE
from lowres.recipes import Recipe
from lowres.runs.network import constants, recipe_network, shrinks_beyond_a_pixel
from lowres.runs.probe import Features, Probe, freeze
from lowres.training.averaging import ema
from lowres.training.device import Placement, want_of_memory
from lowres.training.loop import Learner, Plan
from lowres.training.optimizers import build_optimizers, paces
from lowres.training.schedules import factor

EVALUATION_BATCH = 500
"""Images in an evaluation batch: fixed, since the last bits of a sum depend on it."""


@dataclass(frozen=True)
class Built:
    """A recipe brought to life.

    Attributes:
        recipe: What it was built from.
        dataset: Where the images came from.
        batches: Training batches.
        test: The test images, in batches.
        validation: The images held out of training, in batches, or None.
        learner: Network, optimizers, averaging.
        placement: Device, precision, layout.
        mean: Taken off the pixels, per channel.
        std: The pixels are divided by it, per channel.
        probe: Features that were computed once, for a recipe that trains nothing but the head.
        preparation: Seconds that a first layer took which is computed from training images.
    """

    recipe: Recipe
    dataset: Dataset
    batches: Batches | Features
    test: Batches
    validation: Batches | None
    learner: Learner
    placement: Placement
    mean: tuple[float, ...]
    std: tuple[float, ...]
    probe: Probe | None = None
    preparation: float = 0.0

    def plan(self) -> Plan:
        """What the loop is to do."""
        recipe = self.recipe
        return Plan(
            epochs=recipe.epochs,
            factor=lambda step, steps: factor(recipe.schedule, step, steps),
            placement=self.placement,
            seed=recipe.seed,
            label_smoothing=recipe.label_smoothing,
            accumulate=recipe.accumulate,
            clip=recipe.clip,
            evaluate_every=recipe.evaluate_every,
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in the order of the outputs."""
        return self.dataset.classes

    @property
    def training_images(self) -> int:
        """Images that are trained on: all of the training set but those held out."""
        return len(self.dataset.train) - self.recipe.held_out

    @property
    def parameters(self) -> int:
        """Trainable parameters of the network."""
        return sum(p.numel() for p in self.learner.model.parameters() if p.requires_grad)

    def score(self, model: nn.Module, batches: Batches) -> Score:
        """A network's results on `test` or `validation`, from one view of each image."""
        return score(*compute_logits(model, batches, self.placement), self.classes)

    def watch(self, model: nn.Module) -> tuple[float, float]:
        """Loss and accuracy while training, on the validation images, or the test images where there are none."""
        if self.probe is not None:
            found = score(*self.probe.logits(model, self.placement), self.classes)
        else:
            found = self.score(model, self.validation or self.test)
        return found.loss, found.accuracy

    def final_score(self, model: nn.Module, batches: Batches) -> Score:
        """The finished network's results, with the test-time augmentation that the recipe has."""
        return score_as_asked(model, batches, self.placement, self.recipe, self.classes)


def build(
    recipe: Recipe,
    dataset: Dataset,
    placement: Placement,
    *,
    begun: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
    state: Mapping[str, Tensor] | None = None,
    gradients: int = 0,
) -> Built:
    """Makes network, batches and optimizers of a recipe.

    Args:
        recipe: What to make.
        dataset: The recipe's data.
        placement: Device, precision, layout.
        begun: Of a run that goes on: the mean and deviation it began with. Pretrained weights are not needed then.
        state: Of such a run: the network's tensors, which a linear probe's features are computed with. Other runs
            can take them up later.
        gradients: Images of the backward pass that the report of an adapted network measures with; 0: none.

    Raises:
        UserError: The recipe does not fit the data, or names what does not exist.
    """
    train: Images = dataset.train
    resumed = begun is not None
    given = (begun if recipe.normalise == "auto" else None) if resumed else constants(recipe)
    held_out: Images | None = None
    if recipe.held_out:
        if recipe.held_out >= len(train):
            raise UserError(f"cannot hold out {recipe.held_out} of {len(train)} images: some must be left to train on")
        kept, rest = stratified_split(train.labels, recipe.held_out, recipe.seed)
        train, held_out = train.subset(kept), train.subset(rest)
    channels = train.images.shape[1]
    mean, std = (recipe.mean, recipe.std) if recipe.mean and recipe.std else given or mean_std(train.images)
    if len(mean) != channels or len(std) != channels:
        raise UserError(f"mean has {len(mean)} and std {len(std)} figures, but the images have {channels} channels")
    model = recipe_network(recipe, classes=len(train.classes), channels=channels, load=not resumed, gradients=gradients)
    _takes(model, recipe.image_size, channels)
    fresh, preparation = not (resumed or recipe.weights), 0.0
    if fresh and any(isinstance(layer, Whitening) for layer in model.modules()):
        started = time.perf_counter()
        whiten(model, _sample(train, mean, std))
        preparation = time.perf_counter() - started
    if state is not None:
        model.load_state_dict(versioned(model, state))
    placement = _sound(recipe, model, channels, placement)
    layout = torch.channels_last if placement.channels_last else torch.contiguous_format
    model = model.to(placement.device, memory_format=layout)  # type: ignore[call-overload]
    batches: Batches | Features = Batches(
        train.images,
        train.labels,
        recipe.batch_size,
        augmentation=recipe.augmentation,
        classes=len(train.classes),
        mean=mean,
        std=std,
        seed=recipe.seed,
        device=placement.device,
        channels_last=placement.channels_last,
    )
    test = evaluation_batches(dataset.test, mean, std, placement)
    validation = None if held_out is None else evaluation_batches(held_out, mean, std, placement)
    forward = torch.compile(model) if recipe.compile else None
    pace, probe = None, None
    if recipe.first_rate < 1 or recipe.head_epochs:
        pace = paces(model, surgery.head_of(model, recipe.image_size, channels), recipe.first_rate, recipe.head_epochs)
    if recipe.probe:
        still = evaluation_batches(train, mean, std, placement)
        probe = freeze(model, recipe, channels, placement, still, validation or test)
        batches, forward = probe.training, probe.head_in(model)
    learner = Learner(
        model,
        build_optimizers(model, recipe.optimizer, pace),
        ema(model, recipe.ema),
        torch.amp.GradScaler(placement.device.type, enabled=placement.precision == "fp16"),
        forward=forward,
    )
    return Built(
        recipe=recipe,
        dataset=dataset,
        batches=batches,
        test=test,
        validation=validation,
        learner=learner,
        placement=placement,
        mean=mean,
        std=std,
        probe=probe,
        preparation=preparation,
    )


def _sample(images: Images, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Some training images, spread evenly, normalised but not augmented, on the CPU."""
    some = images.images[:: -(-len(images) // SAMPLE)].float() / 255
    return (some - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)


def score_as_asked(
    model: nn.Module, batches: Batches, placement: Placement, recipe: Recipe, classes: tuple[str, ...]
) -> Score:
    """A network's results with the test-time augmentation of a recipe, which the score then names."""
    if recipe.tta == "none":
        return score(*compute_logits(model, batches, placement), classes)
    views = VIEWS[recipe.tta]
    plain, averaged, labels = compute_averaged_logits(model, batches, placement, views, recipe.tta_below)
    without = score(plain, labels, classes).accuracy
    return dataclasses.replace(score(averaged, labels, classes), tta=recipe.tta, accuracy_without_tta=without)


def _takes(model: nn.Module, size: int, channels: int) -> None:
    """Passes one image through.

    Raises:
        UserError: The network does not take such images.
    """
    try:
        compute_logits(
            model,
            [(torch.zeros(1, channels, size, size), torch.zeros(1))],
            Placement(torch.device("cpu"), "fp32", False),
        )
    except (RuntimeError, AssertionError, ValueError, TypeError, IndexError) as error:
        if isinstance(error, RuntimeError) and want_of_memory(error, torch.device("cpu")):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"the network does not take {channels}x{size}x{size} images ({reason}): an ImageNet network may do so with "
            "--adapt or --upsample 224, others with another --image-size"
        ) from None


def _sound(recipe: Recipe, model: nn.Module, channels: int, placement: Placement) -> Placement:
    """fp32 where a CPU's bf16 is not to be trusted.

    oneDNN leaves weight gradients of a bf16 convolution unwritten where its stride meets a map of one pixel, as in
    ImageNet networks that are given small images as they stand.
    """
    if placement.device.type != "cpu" or placement.precision != "bf16":
        return placement
    if not shrinks_beyond_a_pixel(recipe, model, channels):
        return placement
    note = "precision fp32: a stride meets a map of one pixel, whose gradients this device gets wrong in bf16"
    return dataclasses.replace(placement, precision="fp32", notes=(*placement.notes, note))


def evaluation_batches(
    images: Images, mean: tuple[float, ...], std: tuple[float, ...], placement: Placement
) -> Batches:
    """Batches of all images once, in their order, not augmented."""
    return Batches(
        images.images,
        images.labels,
        min(EVALUATION_BATCH, len(images)),
        mean=mean,
        std=std,
        device=placement.device,
        shuffle=False,
        drop_last=False,
        channels_last=placement.channels_last,
    )
