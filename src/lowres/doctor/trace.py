"""What happened in a training loop, in order: the record that the recorder writes and the checks read."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from lowres.doctor.findings import Place


@dataclass(frozen=True)
class Event:
    """One thing that the loop did.

    Attributes:
        kind: forward, loss, backward, zero_grad, step, clip, schedule, iterate, load, or save.
        place: The user's line; None if none was on the stack.
        real: Whether it was computed; False while epochs were passed over.
        data: What belongs to it.
    """

    kind: str
    place: Place | None
    real: bool
    data: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.data.get(name)


@dataclass
class Sample:
    """A batch as a model received it, and what it gave.

    Attributes:
        inputs: On the CPU, as they entered.
        output: What came out, detached; None if that is no tensor.
        labels: Of the batch, if the loader gave any.
        from_loader: The images as the loader gave them, if the network was given others.
    """

    inputs: Tensor
    output: Tensor | None
    labels: Tensor | None
    from_loader: Tensor | None = None


@dataclass
class Seen:
    """An object of the user's that the recorder met: what it is, where it was made, in what order."""

    item: Any
    place: Place | None
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass
class Trace:
    """All events, and the objects they are about."""

    events: list[Event] = field(default_factory=list)
    models: dict[int, Seen] = field(default_factory=dict)
    loaders: dict[int, Seen] = field(default_factory=dict)
    optimizers: dict[int, Seen] = field(default_factory=dict)
    schedulers: dict[int, Seen] = field(default_factory=dict)
    training: dict[int, list[Sample]] = field(default_factory=dict)
    evaluation: dict[int, list[Sample]] = field(default_factory=dict)
    ended: str = ""

    def of(self, *kinds: str, real: bool | None = None) -> Iterator[Event]:
        """The events of some kinds; `real` True leaves out those that were passed over."""
        return (event for event in self.events if event.kind in kinds and (real is None or event.real == real))

    def count(self, *kinds: str, real: bool | None = None) -> int:
        """How many there are."""
        return sum(1 for _ in self.of(*kinds, real=real))

    def first(self, *kinds: str) -> Event | None:
        """The first of some kinds."""
        return next(self.of(*kinds), None)

    def model(self) -> nn.Module | None:
        """The network that is trained: of those that gradients went through, the one with most parameters."""
        used = [event["model"] for event in self.of("forward") if event["grad"]]
        used = used or [event["model"] for event in self.of("forward")]
        models = {key: self.models[key].item for key in used}
        return max(models.values(), key=lambda one: sum(p.numel() for p in one.parameters()), default=None)

    def train_loader(self) -> DataLoader[Any] | None:
        """The loader whose batches were followed by most backward passes."""
        counts: dict[int, int] = {}
        for event in self.of("backward"):
            if event["loader"] is not None:
                counts[event["loader"]] = counts.get(event["loader"], 0) + 1
        return self.loaders[max(counts, key=lambda key: counts[key])].item if counts else None

    def eval_loaders(self) -> list[int]:
        """Keys of the loaders that fed forward passes and no backward pass, in the order of their first use.

        Those of networks that other loaders trained, as the other folds of a cross-validation, are left out.
        """
        trained = {event["loader"] for event in self.of("backward")}
        loader = self.train_loader()
        train = id(loader) if loader is not None else None
        teachers: dict[int, set[int | None]] = {}
        for event in self.of("forward"):
            if event["grad"] and event["loader"] in trained:
                teachers.setdefault(event["model"], set()).add(event["loader"])
        own = (event for event in self.of("forward") if train in teachers.get(event["model"], {train}))
        keys = dict.fromkeys(event["loader"] for event in own)
        return [key for key in keys if key is not None and key not in trained]

    def optimizer(self) -> Optimizer | None:
        """The optimizer that stepped most; if none did, the one that was made last."""
        counts: dict[int, int] = {}
        for event in self.of("step"):
            counts[event["optimizer"]] = counts.get(event["optimizer"], 0) + 1
        if counts:
            return self.optimizers[max(counts, key=lambda key: counts[key])].item  # type: ignore[no-any-return]
        return list(self.optimizers.values())[-1].item if self.optimizers else None

    def scheduler_keys(self) -> list[int]:
        """Schedulers that no other scheduler contains."""
        held = {id(part) for seen in self.schedulers.values() for part in getattr(seen.item, "_schedulers", ()) or ()}
        return [key for key in self.schedulers if key not in held]
