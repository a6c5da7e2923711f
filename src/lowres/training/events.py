"""What a training loop tells whoever listens. The loop emits these and knows none of its observers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Started:
    """A run begins, or goes on after `epoch` finished epochs.

    Attributes:
        run: The run folder, or None where nothing is kept.
        name: The recipe's name.
        epochs: How many the recipe asks for.
        epoch: How many are done already; above zero for a resumed run.
        steps_per_epoch: Optimizer steps in one epoch.
        parameters: Trainable parameters of the network.
        images: Training images in an epoch.
        notes: What was picked where the recipe says "auto", a line each.
    """

    run: Path | None
    name: str
    epochs: int
    epoch: int
    steps_per_epoch: int
    parameters: int
    images: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stepped:
    """Some optimizer steps were made. Emitted a few times a second at most, so that watching costs nothing.

    Attributes:
        epoch: The epoch under way, from 1.
        step: Optimizer steps made in this epoch.
        steps_per_epoch: Steps this epoch will have.
        loss: Mean training loss since the epoch began, in nats.
        accuracy: Training accuracy since the epoch began, in percent (of augmented images).
        rate: The learning rate of the last step.
        images_per_second: Training speed since the epoch began.
    """

    epoch: int
    step: int
    steps_per_epoch: int
    loss: float
    accuracy: float
    rate: float
    images_per_second: float


@dataclass(frozen=True)
class EpochDone:
    """An epoch was trained and evaluated: one line of the run's history.

    Attributes:
        epoch: Number of finished epochs.
        train_loss: Mean training loss over the epoch, in nats, with whatever smoothing and mixing the recipe has.
        train_accuracy: Percent of augmented training images classified right while training.
        loss: Mean cross-entropy on the evaluation images, in nats, or None where this epoch was not evaluated.
        accuracy: Accuracy on the evaluation images in percent, or None where this epoch was not evaluated.
        evaluated_on: "validation" or "test".
        rate: The learning rate of the epoch's last step.
        images_per_second: Training speed over the epoch, evaluation left out.
        seconds: Wall time of the epoch, evaluation included.
        average_loss: The same loss for the averaged weights, where the recipe averages.
        average_accuracy: The same accuracy for the averaged weights, where the recipe averages.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    loss: float | None
    accuracy: float | None
    evaluated_on: str
    rate: float
    images_per_second: float
    seconds: float
    average_loss: float | None = None
    average_accuracy: float | None = None


@dataclass(frozen=True)
class Finished:
    """The run came to its planned end.

    Attributes:
        run: The run folder, or None where nothing is kept.
        result: Final figures, as the manifest holds them (accuracy in percent, loss, interval, seconds).
    """

    run: Path | None
    result: dict[str, Any]


@dataclass(frozen=True)
class Stopped:
    """The run ended early.

    Attributes:
        run: The run folder, or None where nothing is kept.
        epoch: Finished epochs, all of them kept.
        reason: One line: an interruption, or a loss that is not a number and what to try.
    """

    run: Path | None
    epoch: int
    reason: str


Event = Started | Stepped | EpochDone | Finished | Stopped
Observer = Callable[[Event], None]
