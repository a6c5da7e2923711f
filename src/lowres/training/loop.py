"""The training loop: batches in, better weights and events out.

It knows no recipe, no disk and no screen: what to compute is in a `Plan`, who listens is `emit`, and what happens
after an epoch is the caller's.
"""

import time
from collections.abc import Callable, Iterable, Sized
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from lowres.errors import UserError
from lowres.models.weights import versioned
from lowres.training.device import Placement
from lowres.training.events import EpochDone, Observer, Stepped
from lowres.training.optimizers import set_rate

# Reading the running loss waits for the device, so it is done this seldom, in seconds.
REPORT_EVERY = 0.5

Batch = tuple[Tensor, Tensor]
Evaluate = Callable[[nn.Module], tuple[float, float]]


class Loader(Iterable[Batch], Sized, Protocol):
    """Anything that yields (images, labels) and has a length: `lowres.data.Batches`, a PyTorch `DataLoader`."""


class Diverged(UserError):
    """The loss, or a weight, is no longer a finite number."""


@dataclass(frozen=True)
class Plan:
    """What the loop is to do.

    Attributes:
        epochs: In the whole run.
        factor: Share of the peak learning rate, by step from 0 and steps of the whole run.
        placement: Device, precision and layout.
        seed: Randomness inside the network, such as dropout, is reseeded from it each epoch.
        label_smoothing: Of the training loss.
        accumulate: Parts a batch is computed in.
        clip: Largest gradient norm; 0: no limit.
        evaluate_every: Epochs from one evaluation to the next; 0: none.
    """

    epochs: int
    factor: Callable[[int, int], float]
    placement: Placement
    seed: int = 0
    label_smoothing: float = 0.0
    accumulate: int = 1
    clip: float = 0.0
    evaluate_every: int = 1


@dataclass
class Learner:
    """All that training changes, and all that a checkpoint has to hold.

    Attributes:
        model: The network.
        optimizers: From `build_optimizers`, or PyTorch's; a group's rate at the start is its peak.
        average: The averaged network, where there is one.
        scaler: Scales the loss in fp16; does nothing otherwise.
        epoch: Finished epochs.
        forward: What is called in place of `model` for training: its compiled form, perhaps.
    """

    model: nn.Module
    optimizers: list[torch.optim.Optimizer]
    average: AveragedModel | None = None
    scaler: torch.amp.GradScaler = field(default_factory=lambda: torch.amp.GradScaler("cpu", enabled=False))
    epoch: int = 0
    forward: Callable[[Tensor], Tensor] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values only, so that it can be read back without unpickling code."""
        return {
            "epoch": self.epoch,
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "average": None if self.average is None else self.average.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over what `state_dict` gave."""
        self.model.load_state_dict(versioned(self.model, state["model"]))
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
            _lay_out(optimizer)
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        self.epoch = state["epoch"]

    @property
    def final(self) -> nn.Module:
        """The network that is evaluated in the end and kept: the averaged one where there is one."""
        return self.model if self.average is None else self.average.module


def _lay_out(optimizer: Optimizer) -> None:
    """Gives momenta the memory layout of their parameters: fused steps read both in one order.

    They have another where a run goes on whose device wants images laid out otherwise.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def fit(
    learner: Learner,
    batches: Loader,
    plan: Plan,
    *,
    evaluate: Evaluate,
    evaluated_on: str = "test",
    emit: Observer = lambda event: None,
    keep: Callable[[Learner, EpochDone], None] = lambda learner, record: None,
) -> None:
    """Trains from the learner's epoch to the plan's last.

    Args:
        learner: Changed in place.
        batches: Training batches. An attribute `epoch`, if it has one, is set before each epoch; otherwise its
            order comes from PyTorch's generator, which is seeded for each epoch. Either way an epoch's batches
            depend on the seed and the epoch's number alone.
        plan: What to do.
        evaluate: Gives loss (nats) and accuracy (percent) of a network.
        evaluated_on: What `evaluate` looks at, for the record.
        emit: Gets a `Stepped` now and then and an `EpochDone` after each epoch.
        keep: Called after each epoch, before its `EpochDone`, once the weights are known to be finite.

    Raises:
        Diverged: The loss or a weight is not finite. The last epoch that was kept is sound.
    """
    for optimizer in learner.optimizers:
        for group in optimizer.param_groups:
            group.setdefault("peak", group["lr"])
    while learner.epoch < plan.epochs:
        started = time.perf_counter()
        epoch = learner.epoch
        torch.manual_seed((plan.seed + 1) * 1_000_003 + epoch)
        if hasattr(batches, "epoch"):
            batches.epoch = epoch
        _thaw(learner, epoch)
        trained = train_epoch(learner, batches, plan, emit)
        learner.epoch = epoch + 1
        due = plan.evaluate_every and learner.epoch % plan.evaluate_every == 0
        loss, accuracy = evaluate(learner.model) if due else (None, None)
        average = evaluate(learner.average.module) if due and learner.average is not None else (None, None)
        record = EpochDone(
            epoch=learner.epoch,
            train_loss=trained.loss,
            train_accuracy=trained.accuracy,
            loss=loss,
            accuracy=accuracy,
            evaluated_on=evaluated_on,
            rate=trained.rate,
            images_per_second=trained.images_per_second,
            seconds=time.perf_counter() - started,
            average_loss=average[0],
            average_accuracy=average[1],
        )
        keep(learner, record)
        emit(record)


def _thaw(learner: Learner, epoch: int) -> None:
    """Lets those parameters learn whose epoch has come; the others need no gradient, which saves their backward."""
    for optimizer in learner.optimizers:
        for group in optimizer.param_groups:
            if "from_epoch" in group:
                for parameter in group["params"]:
                    parameter.requires_grad_(epoch >= group["from_epoch"])
                    parameter.grad = None if epoch < group["from_epoch"] else parameter.grad


def train_epoch(learner: Learner, batches: Loader, plan: Plan, emit: Observer) -> Stepped:
    """One pass over the batches. Returns its last report.

    Raises:
        Diverged: The loss or a weight is not finite.
    """
    model, optimizers, scaler = learner.model, learner.optimizers, learner.scaler
    forward = model if learner.forward is None else learner.forward  # a compiled network has no truth value
    placement = plan.placement
    steps = len(batches)
    first = learner.epoch * steps
    meter = Meter(placement.device, first)
    model.train()
    report_at = time.perf_counter() + REPORT_EVERY
    rate = 0.0
    step = 0
    for step, (x, y) in enumerate(batches, start=1):
        x = x.to(placement.device, non_blocking=True)
        y = y.to(placement.device, non_blocking=True)
        if placement.channels_last and x.ndim == 4:  # features of a probe have no layout
            x = x.contiguous(memory_format=torch.channels_last)
        rate = set_rate(optimizers, plan.factor(first + step - 1, steps * plan.epochs))
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        for part, labels in zip(x.chunk(plan.accumulate), y.chunk(plan.accumulate), strict=True):
            with placement.autocast():
                logits = forward(part)
            loss = F.cross_entropy(logits.float(), labels, label_smoothing=plan.label_smoothing)
            scaler.scale(loss * (len(part) / len(x)) if plan.accumulate > 1 else loss).backward()
            meter.add(loss.detach(), logits.detach(), labels)
        if plan.clip:
            for optimizer in optimizers:
                scaler.unscale_(optimizer)
            norm = nn.utils.clip_grad_norm_(model.parameters(), plan.clip)
            if scaler.is_enabled() and not norm.isfinite():  # it has spread to the gradients of every optimizer
                for optimizer in optimizers:
                    optimizer.zero_grad(set_to_none=True)
        for optimizer in optimizers:
            scaler.step(optimizer)
        scaler.update()
        if learner.average is not None:
            learner.average.update_parameters(model)
        if time.perf_counter() >= report_at:
            emit(meter.report(learner.epoch + 1, step, steps, rate))
            report_at = time.perf_counter() + REPORT_EVERY
    if step == 0:
        raise UserError("the training loader gave no batch: it is empty, or was used up in an earlier epoch")
    last = meter.report(learner.epoch + 1, step, steps, rate)
    _check_weights(model, first + step)
    emit(last)
    return last


class Meter:
    """Running loss and accuracy of an epoch, summed on the device so that no step waits for them."""

    def __init__(self, device: torch.device, first_step: int) -> None:
        self.loss = torch.zeros((), device=device)
        self.correct = torch.zeros((), device=device, dtype=torch.int64)
        self.images = 0
        self.unread: list[Tensor] = []
        self.read = 0
        self.first_step = first_step
        self.started = time.perf_counter()

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Counts a batch, or a part of one. Mixed labels count as the class with the largest share."""
        hard = labels if labels.ndim == 1 else labels.argmax(1)
        self.loss += loss * len(hard)
        self.correct += (logits.argmax(1) == hard).sum()
        self.images += len(hard)
        self.unread.append(loss)

    def report(self, epoch: int, step: int, steps: int, rate: float) -> Stepped:
        """Reads the sums, which waits for the device.

        Raises:
            Diverged: A loss since the last report is not finite.
        """
        finite = torch.stack(self.unread).isfinite() if self.unread else torch.ones(0, dtype=torch.bool)
        if not finite.all():
            parts_per_step = (self.read + len(finite)) // step
            bad = self.first_step + (self.read + int((~finite).nonzero()[0])) // parts_per_step + 1
            raise _diverged(f"the loss is not a number at step {bad} (epoch {epoch})")
        self.read += len(finite)
        self.unread.clear()
        seconds = time.perf_counter() - self.started
        return Stepped(
            epoch=epoch,
            step=step,
            steps_per_epoch=steps,
            loss=self.loss.item() / self.images,
            accuracy=100 * self.correct.item() / self.images,
            rate=rate,
            images_per_second=self.images / seconds,
        )


def _check_weights(model: nn.Module, step: int) -> None:
    """A finite loss can still be the last one: the step it led to may have thrown the weights out."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise _diverged(f"{name} is not finite after step {step}")


def _diverged(what: str) -> Diverged:
    return Diverged(
        f"training diverged: {what}; the weights of the last finished epoch are kept; "
        "try a lower --optimizer.lr, a longer --schedule.warmup, --clip 1, or --precision fp32"
    )
