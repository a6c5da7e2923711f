"""How good a network is on labelled images: accuracy with its interval, per class, and what is taken for what."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lowres.errors import UserError
from lowres.training.device import Placement


@dataclass(frozen=True)
class Score:
    """A network's results on a set of images.

    Attributes:
        confusion: Rows of counts: `confusion[i][j]` images of class i were taken for class j.
        loss: Mean cross-entropy in nats.
        classes: Names, in the order of the labels.
        tta: Test-time augmentation behind all of this: "none", or the views of each image that were averaged.
        accuracy_without_tta: Percent right from one view of each image, where there was test-time augmentation.
    """

    confusion: tuple[tuple[int, ...], ...]
    loss: float
    classes: tuple[str, ...]
    tta: str = "none"
    accuracy_without_tta: float | None = None

    @property
    def images(self) -> int:
        """How many images were looked at."""
        return sum(map(sum, self.confusion))

    @property
    def errors(self) -> int:
        """How many were classified wrong."""
        return self.images - sum(row[i] for i, row in enumerate(self.confusion))

    @property
    def accuracy(self) -> float:
        """Share of images classified right, in percent."""
        return 100 * (self.images - self.errors) / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy, in percent (Wilson 1927)."""
        return wilson(self.images - self.errors, self.images)

    @property
    def per_class(self) -> dict[str, float | None]:
        """Accuracy of each class in percent; None for a class without images."""
        return {
            name: 100 * row[i] / sum(row) if sum(row) else None
            for i, (name, row) in enumerate(zip(self.classes, self.confusion, strict=True))
        }

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "errors": self.errors,
            "images": self.images,
            "loss": self.loss,
            "per_class": self.per_class,
            "confusion": [list(row) for row in self.confusion],
            "classes": list(self.classes),
            "tta": self.tta,
            **({} if self.accuracy_without_tta is None else {"accuracy_without_tta": self.accuracy_without_tta}),
        }


def wilson(right: int, images: int) -> tuple[float, float]:
    """The 95 % score interval of a share, in percent (Wilson 1927).

    >>> low, high = wilson(9125, 10000)
    >>> round(low, 2), round(high, 2)
    (90.68, 91.79)
    """
    from scipy.stats import binomtest  # here, since SciPy takes a quarter of a second to load

    interval = binomtest(right, images).proportion_ci(confidence_level=0.95, method="wilson")
    return 100 * float(interval.low), 100 * float(interval.high)


def compute_logits(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], placement: Placement
) -> tuple[Tensor, Tensor]:
    """Runs a network over batches in evaluation mode; its mode is as before afterwards.

    Returns:
        Logits, float32, (N, classes), and labels, int64, (N,), both on the network's device.

    Raises:
        UserError: There is no batch.
    """
    training = {module: module.training for module in model.modules()}
    model.eval()
    logits: list[Tensor] = []
    labels: list[Tensor] = []
    try:
        with torch.inference_mode(), placement.autocast():
            for x, y in batches:
                x = x.to(placement.device, non_blocking=True)
                if placement.channels_last:
                    x = x.contiguous(memory_format=torch.channels_last)
                logits.append(model(x).float())
                labels.append(y.to(placement.device, non_blocking=True))
    finally:
        for module, mode in training.items():
            module.training = mode
    if not logits:
        raise UserError("there are no images to evaluate on")
    return torch.cat(logits), torch.cat(labels)


def score(logits: Tensor, labels: Tensor, classes: tuple[str, ...]) -> Score:
    """Results from logits, (N, classes), and labels, int64, (N,)."""
    logits, labels = logits.cpu(), labels.cpu()  # not every device has float64
    count = len(classes)
    pairs = labels * count + logits.argmax(1)
    confusion = torch.bincount(pairs, minlength=count * count).view(count, count).tolist()
    loss = F.cross_entropy(logits.double(), labels).item()
    return Score(tuple(tuple(row) for row in confusion), loss, classes)
