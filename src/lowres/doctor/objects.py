"""Examines the objects of a training: `diagnose`, and `watch` around a live loop. Nothing of the user's changes."""

import contextlib
import copy
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from lowres.doctor.frames import Frames
from lowres.doctor.pipeline import Pipeline
from lowres.doctor.readings import describe_scores, dry_copy, number
from lowres.doctor.recorder import Recorder
from lowres.doctor.report import Report, examine
from lowres.doctor.setup import Setup, from_trace, unwrapped
from lowres.doctor.trace import Event
from lowres.errors import UserError


def diagnose(
    model: nn.Module,
    train_loader: DataLoader[Any] | None = None,
    val_loader: DataLoader[Any] | None = None,
    *,
    test_loader: DataLoader[Any] | None = None,
    optimizer: Optimizer | None = None,
    scheduler: Any = None,
    loss_fn: Any = None,
    epochs: int | None = None,
    pretrained: bool = False,
    step_scheduler: str = "",
) -> Report:
    """Examines the objects of a training without changing them.

    Parameters, buffers, gradients, modes, optimizer, schedule and generators are bit for bit the same afterwards;
    networks and streams are examined as copies, and images are fetched from data sets with no worker processes.

    Args:
        model: The network, on any device.
        train_loader: What it is trained on.
        val_loader: What it is validated on.
        test_loader: What it is tested on.
        optimizer: Built, not necessarily stepped.
        scheduler: One of PyTorch's, over that optimizer.
        loss_fn: Given scores and labels, it returns a loss.
        epochs: Of the whole training.
        pretrained: Whether the weights come from another data set.
        step_scheduler: "epoch" or "batch": how often the loop steps the schedule; "" for the usual of its kind.

    Returns:
        The report; `report.findings` lists what is wrong.

    Raises:
        UserError: An argument is no such object.

    Example:
        >>> report = diagnose(model, train_loader, val_loader, optimizer=optimizer, epochs=30)  # doctest: +SKIP
        >>> print(report.headline)  # doctest: +SKIP
    """
    if not isinstance(model, nn.Module):
        raise UserError(f"diagnose wants a torch.nn.Module, not a {type(model).__name__}")
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise UserError(f"optimizer is a {type(optimizer).__name__}, not a torch.optim.Optimizer")
    loaders = [one for one in (train_loader, val_loader, test_loader) if one is not None]
    with untouched(loaders):
        inner = unwrapped(model)
        pristine = copied(inner)
        setup = Setup(type(inner).__name__, model=inner, pristine=pristine, optimizer=optimizer, given_epochs=epochs)
        setup.pretrained = "pretrained" if pretrained else ""
        setup.train = Pipeline(train_loader) if train_loader is not None else None
        for loader, role in ((val_loader, "val"), (test_loader, "test")):
            if loader is not None:
                setup.evals.append(Pipeline(loader, role=role))
        if scheduler is not None:
            setup.scheduler = dry_copy(scheduler)
            setup.cadence = step_scheduler or _usual(scheduler)
        if loss_fn is not None:
            setup.attempt("the loss", lambda: _try_loss(setup, loss_fn))
        return examine(setup)


def _usual(scheduler: Any) -> str:
    """One-cycle and cyclic schedules count batches, others epochs."""
    return "batch" if type(scheduler).__name__ in ("OneCycleLR", "CyclicLR") else "epoch"


def _try_loss(setup: Setup, loss_fn: Any) -> None:
    """Gives the loss the scores of one batch and notes what reaches PyTorch's own loss."""
    if setup.train is None or setup.train.samples is None or setup.pristine is None:
        return
    images, labels = setup.train.samples
    if labels is None:
        return
    network = copy.deepcopy(setup.pristine).cpu().train()
    recorder = Recorder(Frames(Path.cwd()))
    scores = network(images[:16])
    with recorder:
        loss = loss_fn(scores, labels[:16])
    setup.trace.events += [event for event in recorder.trace.events if event.kind == "loss"]
    if not any(event.kind == "loss" for event in recorder.trace.events) and isinstance(scores, torch.Tensor):
        name = getattr(loss_fn, "__name__", type(loss_fn).__name__)
        known = {"name": name, "value": number(loss)} | describe_scores(scores, labels[:16])
        setup.trace.events.append(Event("loss", None, True, known))


def copied(model: nn.Module) -> nn.Module:
    """A copy of a network on the CPU, without its hooks.

    Raises:
        UserError: It cannot be copied.
    """
    try:
        copy_ = copy.deepcopy(model).cpu()
    except Exception as error:
        raise UserError(f"the network cannot be copied, which examining it needs: {error}") from None
    for module in copy_.modules():
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
        module._backward_hooks.clear()
    return copy_


@contextlib.contextmanager
def untouched(loaders: list[DataLoader[Any]]) -> Iterator[None]:
    """Puts every generator back as it was, those of loaders and samplers as well."""
    python, torch_ = random.getstate(), torch.get_rng_state()
    numpy_ = np.random.get_state()  # noqa: NPY002 - the user's transforms may draw from it
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    generators: dict[int, torch.Generator] = {}
    for loader in loaders:
        for holder in (loader, loader.sampler, loader.batch_sampler, getattr(loader.batch_sampler, "sampler", None)):
            own = getattr(holder, "generator", None)
            if isinstance(own, torch.Generator):
                generators[id(own)] = own
    states = [(one, one.get_state()) for one in generators.values()]
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy_)  # noqa: NPY002
        torch.set_rng_state(torch_)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
        for one, state in states:
            one.set_state(state)


class watch:  # noqa: N801 - read as a verb: `with watch() as doctor:`
    """Watches a live training loop, at its full length and undisturbed; the report is there when the block ends.

    Args:
        epochs: Of the whole training, where the block is only its beginning.

    Attributes:
        report: What the doctor says; None before the block has ended.

    Example:
        >>> with lowres.doctor.watch(epochs=30) as doctor:  # doctest: +SKIP
        ...     for epoch in range(2):
        ...         train(...)
        >>> print(doctor.report.headline)  # doctest: +SKIP
    """

    def __init__(self, epochs: int | None = None) -> None:
        caller = Path(sys._getframe(1).f_code.co_filename)
        self._epochs = epochs
        self._target = str(caller)
        self._recorder = _Copying(Frames(caller.resolve().parent if caller.exists() else Path.cwd()))
        self.report: Report | None = None

    def __enter__(self) -> Self:
        self._recorder.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._recorder.__exit__(kind, error, trace)
        seen = self._recorder.trace
        problem = "" if error is None else f"the loop raised {kind.__name__ if kind else ''}: {error}"
        if not seen.models:
            self.report = Report(
                self._target, "no network was passed through", (), problem="no network was passed through"
            )
            return
        try:
            with untouched([one.item for one in seen.loaders.values()]):
                self.report = self._examined(problem)
        except Exception as fault:  # the loop must not fail because it was watched
            problem = problem or f"what was seen could not be examined: {type(fault).__name__}: {fault}"
            self.report = Report(self._target, problem, (), problem=problem)

    def _examined(self, problem: str) -> Report:
        seen, name, sources = self._recorder.trace, self._target, self._recorder.frames.sources
        setup = from_trace(seen, target=name, pristine=self._recorder.pristine, pretrained={})
        setup.given_epochs = self._epochs or setup.epochs
        setup.source = self._recorder.frames.source(name)
        setup.files = {path: one for path, one in sources.items() if path != name}
        return examine(setup, problem=problem)


class _Copying(Recorder):
    """A recorder that keeps a copy of each network from before its first pass."""

    def __init__(self, frames: Frames) -> None:
        super().__init__(frames)
        self.pristine: dict[int, nn.Module] = {}

    def forward(self, module: nn.Module, call: Any, arguments: tuple[Any, ...]) -> Any:
        """Copies the network when it is first passed through."""
        if id(module) not in self.pristine and id(module) not in self.trace.models:
            state = torch.get_rng_state()
            with contextlib.suppress(Exception):  # what cannot be copied is examined as it is
                self.pristine[id(module)] = copied(module)
            torch.set_rng_state(state)
        return call()
