"""A setup: everything the doctor knows of somebody's training. Facts are gathered once; checks only read them."""

import copy
import functools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer, lr_scheduler
from torch.utils.data import DataLoader

from lowres.doctor.findings import Finding, Place
from lowres.doctor.network import BATCH_NORMS, Network, drops, look
from lowres.doctor.pipeline import Pipeline
from lowres.doctor.rates import Rates, accumulation, cycled_momentum, each_batch, rates
from lowres.doctor.readings import dry_copy
from lowres.doctor.recognise import Kind, recognise
from lowres.doctor.source import Source
from lowres.doctor.trace import Sample, Trace

T = TypeVar("T")


@dataclass
class Setup:
    """What is known.

    Attributes:
        target: What was asked about.
        trace: What the loop did; empty where objects were given.
        source: The main file; None where there is none.
        files: Other files of the user's, by path.
        modules: Paths of the user's modules that were imported.
        read: Paths of the user's files that were opened to be read.
        model: The network that is trained, without wrappers.
        pristine: A copy from before its first pass; probes use copies of this.
        train: The training loader.
        evals: Loaders that evaluation uses.
        optimizer: The optimizer.
        scheduler: A copy of the schedule from before the first step; None also where several take turns.
        given_epochs: Where they were given.
        cadence: How often the loop steps its schedule, where that was given.
        image: A batch for the network, where no loader gives one.
        pretrained: The name of the weights it started from; "".
        made_up: Whether images are stand-ins.
        home: The user's current folder, where another stands in for it.
        notes: What could not be examined, a line each.
    """

    target: str
    trace: Trace = field(default_factory=Trace)
    source: Source | None = None
    files: dict[str, Source] = field(default_factory=dict)
    modules: list[str] = field(default_factory=list)
    read: list[str] = field(default_factory=list)
    model: nn.Module | None = None
    pristine: nn.Module | None = None
    train: Pipeline | None = None
    evals: list[Pipeline] = field(default_factory=list)
    optimizer: Optimizer | None = None
    scheduler: Any = None
    given_epochs: int | None = None
    cadence: str = ""
    image: Tensor | None = None
    pretrained: str = ""
    made_up: bool = False
    home: Path | None = None
    notes: list[str] = field(default_factory=list)

    # The network.

    @cached_property
    def inputs(self) -> Tensor | None:
        """A training batch as the network receives it, at most 16 images."""
        kept = self.samples_of("training") or self.samples_of("evaluation")
        if kept:
            return _at_least_two(kept[0].inputs[:16])
        if self.image is not None:
            return self.image
        if self.train is not None and self.train.samples is not None:
            return self.train.samples[0][:16]
        return None

    def samples_of(self, phase: str) -> list[Sample]:
        """Batches that the network received in training or in evaluation."""
        kept: dict[int, list[Sample]] = getattr(self.trace, phase)
        own = {id(self.model)} | {key for key, seen in self.trace.models.items() if unwrapped(seen.item) is self.model}
        return [sample for key in own for sample in kept.get(key, [])]

    @cached_property
    def network(self) -> Network | None:
        """Facts of the network; None where it cannot be passed through."""
        if self.pristine is None or self.inputs is None or self.inputs.dim() < 2:
            return None

        def probe() -> Network:
            assert self.pristine is not None
            assert self.inputs is not None
            inputs = self.inputs.float() if self.inputs.is_floating_point() else self.inputs
            return look(copy.deepcopy(self.pristine).cpu(), inputs)

        return self.attempt("the network", probe)

    @property
    def batch_normed(self) -> bool:
        """Whether the network normalises over batches."""
        return self.model is not None and any(isinstance(one, BATCH_NORMS) for one in self.model.modules())

    @property
    def mode_matters(self) -> bool:
        """Whether training and evaluation mode differ: by a layer that tells them apart, or as a pass of each shows."""
        modules = [] if self.model is None else list(self.model.modules())
        if self.batch_normed or any(drops(one) for one in modules):
            return True
        network = self.network
        return network is not None and network.modes > 1e-3 and network.chance == 0  # of chance AR104 speaks

    @cached_property
    def kind(self) -> Kind | None:
        """What kind of network it is."""
        return recognise(self.network, bool(self.pretrained)) if self.network is not None else None

    @property
    def image_size(self) -> int | None:
        """Side of the images that enter the network."""
        shape = None if self.inputs is None else self.inputs.shape
        return int(shape[-1]) if shape is not None and len(shape) == 4 else None

    @cached_property
    def classes(self) -> int | None:
        """How many classes the labels name."""
        return self.attempt("the classes", self._classes)

    def _classes(self) -> int | None:
        if self.train is not None and self.train.labels is not None:
            return len(np.unique(self.train.labels))
        names = getattr(self.train.base, "classes", None) if self.train is not None else None
        if names is not None:
            return len(names)
        return self.network.outputs or None if self.network is not None else None

    # The training.

    @cached_property
    def epochs(self) -> int | None:
        """Passes over the training images that the loop is meant to do."""
        if self.given_epochs is not None:
            return self.given_epochs
        loader = self.trace.train_loader()
        counts: Counter[int] = Counter()  # a training may have several stages, of which the longest is meant
        for event in self.trace.of("iterate"):
            if loader is not None and event["loader"] == id(loader) and event["rounds"] and event["rounds"][0]:
                counts[int(event["rounds"][0])] += 1
        return max(counts, key=lambda rounds: (counts[rounds], rounds), default=None)

    @property
    def epochs_seen(self) -> int:
        """Passes over the training images that the observed program began, computed or passed over."""
        loader = self.trace.train_loader()
        return sum(1 for event in self.trace.of("iterate") if loader is not None and event["loader"] == id(loader))

    @property
    def seen_whole(self) -> bool:
        """Whether the observed program went through all its epochs; early stopping or a lack of time may end it."""
        return self.epochs is not None and self.epochs_seen >= self.epochs

    @cached_property
    def accumulation(self) -> int:
        """Batches of the training loader that a step of the optimizer is taken for."""
        return accumulation(self.trace)

    @property
    def steps_per_epoch(self) -> int | None:
        """Steps of the optimizer in a pass over the training loader."""
        return self._per_epoch(self.accumulation)

    @property
    def schedule_steps(self) -> int | None:
        """Steps of the schedule in a pass over the training loader, where it is stepped by the batch."""
        return self._per_epoch(1 if each_batch(self.trace) else self.accumulation)

    def _per_epoch(self, batches: int) -> int | None:
        try:
            return max(1, len(self.train.loader) // batches) if self.train is not None else None
        except TypeError:
            return None

    @cached_property
    def rates(self) -> Rates | None:
        """The rate over the training."""
        if self.optimizer is None:
            return None
        found = self.attempt(
            "the schedule",
            lambda: rates(
                self.trace,
                self.scheduler,
                epochs=self.epochs,
                steps_per_epoch=self.schedule_steps,
                how=self.cadence,
            ),
        )
        return found or Rates((float(self.optimizer.param_groups[0]["lr"]),), "constant")

    @cached_property
    def groups(self) -> list[dict[str, Any]]:
        """The optimizer's options by group, as it was made."""
        if self.optimizer is None:
            return []
        seen = self.trace.optimizers.get(id(self.optimizer))
        if seen is not None and seen.notes.get("groups"):
            return list(seen.notes["groups"])
        return [
            {name: value for name, value in group.items() if name != "params"} for group in self.optimizer.param_groups
        ]

    @property
    def algorithm(self) -> str:
        """The optimizer's class: SGD, Adam, AdamW, ..."""
        return type(self.optimizer).__name__ if self.optimizer is not None else ""

    @property
    def momentum(self) -> float:
        """Of SGD; where the schedule cycles it, whatever SGD was made with, the middle of the cycle."""
        cycled = cycled_momentum(self.scheduler)
        if cycled is not None:
            return cycled
        return float(self.groups[0].get("momentum", 0.0)) if self.groups else 0.0

    @property
    def trains(self) -> bool:
        """Whether a gradient was seen, or the objects of a training were given."""
        return self.trace.count("backward") > 0 or (not self.trace.count("forward") and self.optimizer is not None)

    # Places.

    @property
    def optimizer_place(self) -> Place | None:
        """Where the optimizer was made."""
        seen = self.trace.optimizers.get(id(self.optimizer))
        return seen.place if seen is not None else None

    def text(self, place: Place | None) -> Source | None:
        """The file that a place is in."""
        if place is None:
            return None
        if self.source is not None and place.path == self.source.path:
            return self.source
        return self.files.get(place.path)

    def silenced(self, finding: Finding) -> bool:
        """Whether a comment in the source silences a finding."""
        source = self.text(finding.place) or self.source
        return source is not None and source.silenced(finding.code, finding.place.line if finding.place else None)

    def attempt(self, what: str, probe: Callable[[], T]) -> T | None:
        """Runs a probe; where it fails, notes so and returns None."""
        try:
            return probe()
        except Exception as error:  # the user's objects may do anything
            first = (str(error).splitlines() or [""])[0]
            self.notes.append(f"{what} could not be examined: {type(error).__name__}: {first}")
            return None


def from_trace(trace: Trace, *, target: str, pristine: dict[int, nn.Module], pretrained: dict[int, str]) -> Setup:
    """The setup behind a trace.

    Args:
        trace: What was seen.
        target: What was asked about.
        pristine: Copies of networks from before their first pass, by identity.
        pretrained: Names of weights, by the network's identity.
    """
    wrapper = trace.model()
    model = unwrapped(wrapper) if wrapper is not None else None
    setup = Setup(target, trace, model=model, optimizer=trace.optimizer())
    if wrapper is not None:
        copied = pristine.get(id(wrapper))
        setup.pristine = unwrapped(copied) if copied is not None else model
        inside = [pretrained[id(one)] for one in wrapper.modules() if id(one) in pretrained]
        setup.pretrained = inside[0] if inside else ""
    loader = trace.train_loader()
    if loader is not None:
        setup.train = pipeline(trace, id(loader), "train")
    for key in trace.eval_loaders():
        found = pipeline(trace, key, "val")
        official = setup.attempt("an evaluation's images", functools.partial(getattr, found, "official_test"))
        found.role = "test" if official else "val"
        setup.evals.append(found)
    keys = trace.scheduler_keys()
    own = [key for key in keys if getattr(trace.schedulers[key].item, "optimizer", None) in (setup.optimizer, None)]
    stepped = {event["scheduler"] for event in trace.of("schedule")}
    chosen = [key for key in own if key in stepped] or own[-1:]
    if len(chosen) > 1:  # none of them tells the rate by itself; a plateau's depends on what it is handed
        chosen = [k for k in chosen if isinstance(trace.schedulers[k].item, lr_scheduler.ReduceLROnPlateau)][:1]
    for key in chosen:
        seen = trace.schedulers[key]
        setup.scheduler = seen.notes.get("pristine") or dry_copy(seen.item)
    return setup


def pipeline(trace: Trace, key: int, role: str) -> Pipeline:
    """The pipeline of a loader that was seen."""
    seen = trace.loaders[key]
    loader: DataLoader[Any] = seen.item
    return Pipeline(loader, seen.place, seen.notes.get("asked", {}), role)


def unwrapped(model: nn.Module) -> nn.Module:
    """A network without DataParallel, DistributedDataParallel or compilation around it."""
    while True:
        inner = getattr(model, "_orig_mod", None) or (
            getattr(model, "module", None) if "Parallel" in type(model).__name__ else None
        )
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def _at_least_two(images: Tensor) -> Tensor:
    return images if len(images) > 1 else torch.cat((images, images.flip(-1)))
