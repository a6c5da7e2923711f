"""Watches a training loop: notes what PyTorch is asked to do, and changes none of it.

While a recorder is entered, calls of networks, losses, `backward`, optimizers, schedulers, loaders and checkpoints
leave events in its trace. The doctor's child process adds what cuts the epochs short (`cutting`).
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer, lr_scheduler
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.data import DataLoader

from lowres.doctor.frames import Frames
from lowres.doctor.readings import (
    describe_scores,
    dry_copy,
    fingerprint,
    gradient_norm,
    groups,
    has_gradients,
    number,
    parts,
    total,
)
from lowres.doctor.trace import Event, Sample, Seen, Trace

SAMPLES = 3
"""Batches that are kept of each network, in training and in evaluation."""
LOSSES = (
    "cross_entropy",
    "nll_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "mse_loss",
    "l1_loss",
)


class Recorder:
    """Writes a trace while it is entered.

    Attributes:
        trace: What was seen.
        frames: Whose code it was.
        fast: Whether epochs are being passed over; only `cutting` sets it.
    """

    def __init__(self, frames: Frames) -> None:
        self.trace = Trace()
        self.frames = frames
        self.fast = False
        self.loader: int | None = None
        self.batch: Any = None
        self.rounds: tuple[int | None, int] | None = None
        self._open: list[int] = []
        self._drawn_of: dict[int | None, int] = {}
        self._depth = 0
        self._undo: contextlib.ExitStack = contextlib.ExitStack()
        self._pristine = False
        self._followed: set[type[Any]] = set()

    def note(self, kind: str, **data: Any) -> Event:
        """Adds an event."""
        event = Event(kind, self.frames.where(), not self.fast, data)
        self.trace.events.append(event)
        return event

    # What subclasses change.

    def forward(self, module: nn.Module, call: Callable[[], Any], arguments: tuple[Any, ...]) -> Any:
        """Runs a network; see `cutting`."""
        return call()

    def batches(self, loader: DataLoader[Any], iterate: Callable[[], Iterator[Any]]) -> Iterator[Any]:
        """The batches of a loader; see `cutting`."""
        return iterate()

    def written(self, write: Callable[[], Any], file: Any, keys: tuple[str, ...]) -> Any:
        """What `torch.save` gives back, of a checkpoint with some keys."""
        return write()

    # Patches.

    def patch(self, home: Any, name: str, make: Callable[[Any], Any]) -> None:
        """Puts `make(original)` in the place of an attribute until the recorder is left."""
        own = name in vars(home) if isinstance(home, type) else True
        original = getattr(home, name)
        setattr(home, name, make(original))
        self._undo.callback(setattr, home, name, original) if own else self._undo.callback(delattr, home, name)

    def __enter__(self) -> Self:
        self.patch(nn.Module, "__call__", self._module_call)
        self.patch(nn.Module, "load_state_dict", self._load_state_dict)
        self.patch(Tensor, "backward", self._backward)
        self.patch(Optimizer, "zero_grad", self._zero_grad)
        self.patch(nn.Module, "zero_grad", self._zero_grad)
        self.patch(Optimizer, "__init__", self._optimizer_init)
        self.patch(DataLoader, "__init__", self._loader_init)
        self.patch(DataLoader, "__iter__", self._loader_iter)
        self.patch(torch, "save", self._save)
        for name in LOSSES:
            self.patch(F, name, functools.partial(self._loss, name))
        for home in (nn.utils, nn.utils.clip_grad):
            self.patch(home, "clip_grad_norm_", self._clip)
        for kind in dict.fromkeys(_schedulers(lr_scheduler.LRScheduler)):
            if "__init__" in vars(kind):
                self.patch(kind, "__init__", self._scheduler_init)
            self._patch_step(kind)
        self._undo.callback(register_optimizer_step_pre_hook(self._before_step).remove)
        self._undo.callback(register_optimizer_step_post_hook(self._after_step).remove)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()
        self._followed.clear()

    def _patch_step(self, kind: type[Any]) -> None:
        """Notes the steps of a kind of schedule that steps in a manner of its own."""
        if "step" in vars(kind) and kind not in self._followed:
            self._followed.add(kind)
            self.patch(kind, "step", self._scheduler_step)

    def _module_call(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            if self._depth or not is_network(module, args):
                return original(module, *args, **kwargs)
            self._depth += 1
            try:
                output = self.forward(module, lambda: original(module, *args, **kwargs), args)
            finally:
                self._depth -= 1
            self._note_forward(module, args, output)
            return output

        return call

    def _note_forward(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        key = id(module)
        if key not in self.trace.models:
            place = self.frames.where()
            self.trace.models[key] = Seen(module, place, {"before": fingerprint(module)})
        grad = torch.is_grad_enabled()
        images = next((one for one in args if isinstance(one, Tensor)), None)
        self.note(
            "forward",
            model=key,
            training=module.training,
            grad=grad,
            loader=self.loader,
            size=len(images) if images is not None and images.dim() else None,
        )
        kept = (self.trace.training if module.training and grad else self.trace.evaluation).setdefault(key, [])
        if images is not None and not self.fast and len(kept) < SAMPLES:
            given, labels = parts(self.batch)
            alike = given is not None and (given.shape, given.dtype) == (images.shape, images.dtype)
            same = alike and given is not None and torch.equal(given.cpu(), images.cpu())
            kept.append(
                Sample(
                    images.detach().cpu().clone(),
                    output.detach().cpu().clone() if isinstance(output, Tensor) else None,
                    labels,
                    None if same or given is None else given,
                )
            )

    def _loss(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def loss(*args: Any, **kwargs: Any) -> Any:
            value = original(*args, **kwargs)
            scores = args[0] if args else kwargs.get("input")
            target = args[1] if len(args) > 1 else kwargs.get("target")
            if not self._depth and isinstance(scores, Tensor) and not self.fast:
                smoothing = float(kwargs.get("label_smoothing") or 0.0)
                described = describe_scores(scores, target)
                described["total"] = total(value, kwargs)
                self.note("loss", name=name, **described, value=number(value), smoothing=smoothing)
            return value

        return loss

    def _backward(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def backward(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
            stale = False if self.fast else any(has_gradients(seen.item) for seen in self.trace.optimizers.values())
            self.note("backward", value=number(tensor), stale=stale, loader=self.loader)
            return original(tensor, *args, **kwargs)

        return backward

    def _zero_grad(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def zero_grad(item: Any, *args: Any, **kwargs: Any) -> Any:
            self.note("zero_grad")
            return original(item, *args, **kwargs)

        return zero_grad

    def _optimizer_init(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def init(item: Optimizer, *args: Any, **kwargs: Any) -> None:
            original(item, *args, **kwargs)
            self.trace.optimizers[id(item)] = Seen(item, self.frames.where(), {"groups": groups(item)})

        return init

    def _before_step(self, item: Optimizer, args: Any, kwargs: Any) -> None:
        if id(item) not in self.trace.optimizers:
            self.trace.optimizers[id(item)] = Seen(item, None, {"groups": groups(item)})
        noted = self.trace.optimizers[id(item)].notes["groups"]
        if len(noted) < len(item.param_groups):  # some were added after it was made
            noted += groups(item)[len(noted) :]
        if not self._pristine:  # schedules as they are before the first step, to be simulated from there
            self._pristine = True
            for seen in self.trace.schedulers.values():
                seen.notes["pristine"] = dry_copy(seen.item)
        norm = None if self.fast else gradient_norm(item)
        rates = [float(group["lr"]) for group in item.param_groups]
        drawn = self._drawn_of.get(self.loader, 0)
        self.note("step", optimizer=id(item), rates=rates, norm=norm, loader=self.loader, drawn=drawn)

    def _after_step(self, item: Optimizer, args: Any, kwargs: Any) -> None:
        """For `cutting`, which looks at the weights after the steps."""

    def _scheduler_init(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def init(item: Any, *args: Any, **kwargs: Any) -> None:
            for kind in type(item).__mro__:  # those of the program's own exist by now
                if issubclass(kind, lr_scheduler.LRScheduler):
                    self._patch_step(kind)
            before, self._scheduling = self._scheduling, True  # one of several is stepped while they are put together
            try:
                original(item, *args, **kwargs)
            finally:
                self._scheduling = before
            self.trace.schedulers.setdefault(id(item), Seen(item, self.frames.where(), {}))

        return init

    def _scheduler_step(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def step(item: Any, *args: Any, **kwargs: Any) -> Any:
            if self._scheduling:
                return original(item, *args, **kwargs)
            self._scheduling = True
            seen = self.trace.schedulers.get(id(item))  # None while it is still being made
            if seen is not None and self._pristine and "pristine" not in seen.notes:  # made after the first step
                seen.notes["pristine"] = dry_copy(item)
            try:
                result = original(item, *args, **kwargs)
            finally:
                self._scheduling = False
            if seen is not None:
                given = [number(one) for one in (*args, *kwargs.values())]
                loader = self.loader if self.loader in self._open else None
                self.note("schedule", scheduler=id(item), given=given, loader=loader, drawn=self._drawn_of.get(loader))
            return result

        return step

    _scheduling = False

    def _loader_init(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def init(loader: DataLoader[Any], *args: Any, **kwargs: Any) -> None:
            original(loader, *args, **self.loader_options(kwargs))
            self.trace.loaders[id(loader)] = Seen(loader, self.frames.where(), {"asked": dict(kwargs)})

        return init

    def loader_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """Options of a loader that is being made; see `cutting`."""
        return options

    def _loader_iter(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def iterate(loader: DataLoader[Any]) -> Iterator[Any]:
            key = id(loader)
            if key not in self.trace.loaders:
                self.trace.loaders[key] = Seen(loader, None, {})
            self.rounds = self.frames.rounds()
            self.note("iterate", loader=key, rounds=self.rounds)
            return self._yield(key, self.batches(loader, lambda: original(loader)))

        return iterate

    def _yield(self, key: int, batches: Iterator[Any]) -> Iterator[Any]:
        outer = (self.loader, self.batch) if self.loader in self._open else (None, None)
        self._open.append(key)
        try:
            for position, batch in enumerate(batches, start=1):
                self.loader, self.batch, self._drawn_of[key] = key, batch, position
                yield batch
            if self.loader == key:  # what follows comes from elsewhere; not so where one batch alone was drawn
                self.loader, self.batch = outer
        finally:
            self._open.remove(key)

    def _load_state_dict(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def load(module: nn.Module, state_dict: Any, strict: bool = True, *args: Any, **kwargs: Any) -> Any:
            before = fingerprint(module)
            result = original(module, state_dict, strict, *args, **kwargs)
            if not self._depth and self.frames.where() is not None:
                missing, unexpected = list(result.missing_keys), list(result.unexpected_keys)
                self.note(
                    "load",
                    model=id(module),
                    strict=strict,
                    wanted=len(module.state_dict()),
                    missing=missing,
                    unexpected=unexpected,
                    changed=before != fingerprint(module),
                )
            return result

        return load

    def _save(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def save(obj: Any, f: Any, *args: Any, **kwargs: Any) -> Any:
            keys = [str(key) for key in obj] if isinstance(obj, dict) else []
            self.note("save", keys=keys[:50])
            return self.written(lambda: original(obj, f, *args, **kwargs), f, tuple(keys))

        return save

    def _clip(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def clip(parameters: Any, max_norm: float, *args: Any, **kwargs: Any) -> Any:
            norm = original(parameters, max_norm, *args, **kwargs)
            if not self.fast:
                self.note("clip", norm=number(norm), max_norm=float(max_norm))
            return norm

        return clip


def _schedulers(kind: type[Any]) -> list[type[Any]]:
    below: list[type[Any]] = kind.__subclasses__()
    return [kind, *(one for each in below for one in _schedulers(each))]


def is_network(module: nn.Module, args: tuple[Any, ...]) -> bool:
    """Whether a module that is called from outside of any other is a network, and not a loss or a transform."""
    if isinstance(module, nn.modules.loss._Loss):
        return False
    if next(module.parameters(), None) is not None:
        return True
    own = not type(module).__module__.startswith(("torch.", "torchvision."))
    return own and bool(args) and isinstance(args[0], Tensor) and args[0].dim() == 4
