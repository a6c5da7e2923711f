"""A linear probe: a network that stays as it is, its features computed once, a head that learns from them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from lowres.data import Batches
from lowres.errors import UserError
from lowres.models import surgery
from lowres.recipes import Recipe
from lowres.training.device import Placement


class Features:
    """Batches of features, each epoch in an order of its own that depends on seed and epoch alone.

    Args:
        features: float32, (N, D).
        labels: int64, (N,).
        batch_size: Features in a batch; what does not fill a last one waits for the next epoch.
        seed: Of the order.
    """

    def __init__(self, features: Tensor, labels: Tensor, batch_size: int, seed: int) -> None:
        if batch_size > len(features):
            raise UserError(f"batch_size is {batch_size}, but there are {len(features)} training images")
        self.features, self.labels = features, labels
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0

    def __len__(self) -> int:
        return len(self.features) // self.batch_size

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed((self.seed + 1) * 1_000_003 + self.epoch)
        order = torch.randperm(len(self.features), generator=generator).to(self.features.device)
        for rows in order.split(self.batch_size)[: len(self)]:
            yield self.features[rows], self.labels[rows]
        self.epoch += 1


@dataclass(frozen=True)
class Probe:
    """What a head learns from and is watched on.

    Attributes:
        head: Its name in the network.
        training: Features of the training images.
        features: Of the images it is watched on, float32, (N, D).
        labels: Of those images, int64, (N,).
    """

    head: str
    training: Features
    features: Tensor
    labels: Tensor

    def head_in(self, model: nn.Module) -> nn.Linear:
        """The head of a network, or of its average."""
        return cast("nn.Linear", model.get_submodule(self.head))

    def logits(self, model: nn.Module, placement: Placement) -> tuple[Tensor, Tensor]:
        """Logits, float32, (N, classes), and labels of the images that are watched."""
        with torch.inference_mode(), placement.autocast():
            return self.head_in(model)(self.features).float(), self.labels


def freeze(
    model: nn.Module, recipe: Recipe, channels: int, placement: Placement, training: Batches, watched: Batches
) -> Probe:
    """Keeps all of a network but its head from learning, and computes its features in evaluation mode.

    Args:
        model: Changed in place: its head alone needs gradients afterwards.
        recipe: What it is trained with.
        channels: Of the images.
        placement: Device, precision, layout.
        training: The training images once, not augmented.
        watched: The images accuracy is watched on.

    Raises:
        UserError: The network does not end in a linear layer.
    """
    name = surgery.head_of(model, recipe.image_size, channels)
    head = model.get_submodule(name)
    if not isinstance(head, nn.Linear):
        raise UserError(
            f"a linear probe needs a network that ends in a linear layer, {name} is a {type(head).__name__}"
        )
    model.requires_grad_(False)
    head.requires_grad_(True)
    features, labels = _features(model, head, training, placement)
    seen, known = _features(model, head, watched, placement)
    return Probe(name, Features(features, labels, recipe.batch_size, recipe.seed), seen, known)


def _features(model: nn.Module, head: nn.Linear, batches: Batches, placement: Placement) -> tuple[Tensor, Tensor]:
    """What comes into the head, for all images."""
    found: list[Tensor] = []
    labels: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda layer, inputs: found.append(inputs[0].float()))
    model.eval()
    try:
        with torch.inference_mode(False), torch.no_grad(), placement.autocast():
            for x, y in batches:
                model(x)
                labels.append(y)
    finally:
        hook.remove()
    if found[0].dim() != 2:
        raise UserError("a linear probe needs a head that gets one vector an image")
    return torch.cat(found), torch.cat(labels)
