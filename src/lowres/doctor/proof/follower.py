"""Follows a program that trains in earnest: cuts its loaders, draws for it, and counts what its network gets right.

Nothing is computed less than the program asks for. It costs little: no events are written while batches pass.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.data import DataLoader

from lowres.doctor.cutting import Enough
from lowres.doctor.frames import Frames
from lowres.doctor.network import BATCH_NORMS
from lowres.doctor.proof.draws import InitialDraws, seed_everything
from lowres.doctor.proof.loaders import Cutter
from lowres.doctor.readings import parts
from lowres.doctor.recorder import Recorder, is_network
from lowres.doctor.trace import Seen


@dataclass
class Pass:
    """One pass over a loader.

    Attributes:
        loader: Its key.
        rounds: How often the loop around it is meant to go round, and its line.
        seen: Images that a network was given.
        right: Those it named rightly.
        backward: Backward passes meanwhile.
        training: Whether the network was in training mode at the last batch.
        alike: Whether the network was given the loader's images as they were.
        steps: Of optimizers, since the program began, when the pass ended.
        seconds: It took.
        ended: Whether the loader was read to its end.
    """

    loader: int
    rounds: tuple[int | None, int] | None
    seen: int = 0
    right: int = 0
    backward: int = 0
    training: bool = False
    alike: bool = True
    steps: int = 0
    seconds: float = 0.0
    ended: bool = False

    @property
    def percent(self) -> float | None:
        """Images named rightly, in percent."""
        return 100 * self.right / self.seen if self.seen else None


class Follower(Recorder):
    """Follows one trial.

    Attributes:
        passes: Over all loaders, in order.
        networks: Those that gradients went through, by how many parameters they have.
        steps: Of optimizers.
        classes: That the network tells apart.
        tracked: Batch norms that took statistics while gradients were recorded, by `id`.
        enough: Whether it was ended after its epochs.

    Args:
        frames: Whose code it is.
        seed: Of the trial.
        cutter: Of its loaders.
        epochs: After so many passes of training the program is ended; 0: it ends by itself.
    """

    def __init__(self, frames: Frames, seed: int, cutter: Cutter, epochs: int) -> None:
        super().__init__(frames)
        self.passes: list[Pass] = []
        self.networks: dict[int, nn.Module] = {}
        self.steps = 0
        self.classes = 0
        self.tracked: set[int] = set()
        self.enough = False
        self.off = False
        self._seed, self._cutter, self._epochs = seed, cutter, epochs
        self._draws = InitialDraws(seed)
        self._pass: Pass | None = None
        self._begun: Counter[bool] = Counter()

    def __enter__(self) -> Self:
        self._draws.patch(self)
        self.patch(nn.Module, "__call__", self._module_call)
        self.patch(Tensor, "backward", self._backward)
        self.patch(DataLoader, "__init__", self._loader_init)
        self.patch(DataLoader, "__iter__", self._loader_iter)
        self._undo.callback(register_optimizer_step_post_hook(self._after_step).remove)
        return self

    def trained(self, loader: int | None = None) -> list[Pass]:
        """Passes in which gradients were taken; of one loader, or of all."""
        return [one for one in self.passes if one.backward and loader in (None, one.loader)]

    def evaluated(self) -> list[Pass]:
        """Passes without gradients; where a loader only served these, such passes alone."""
        trained = {one.loader for one in self.trained()}
        found = [one for one in self.passes if one.seen and not one.backward]
        return [one for one in found if one.loader not in trained] or found

    def batches(self, loader: DataLoader[Any], iterate: Callable[[], Iterator[Any]]) -> Iterator[Any]:
        """All of them, drawn as in every variant."""
        if self.off:
            yield from iterate()
            return
        key = id(loader)
        if self._epochs and len(self.trained(key)) >= self._epochs:
            self.enough = True
            raise Enough(f"{self._epochs} epochs are over")
        trains = bool(self.trace.loaders[key].notes.get("trains"))
        self._begun[trains] += 1
        seed_everything(self._seed, "training" if trains else "evaluation", self._begun[trains])
        for generator in {
            id(g): g for g in (loader.generator, getattr(loader.sampler, "generator", None)) if g
        }.values():
            generator.manual_seed(torch.initial_seed() % 2**63)
        this = Pass(key, self.rounds)
        self.passes.append(this)
        began = time.perf_counter()
        try:
            for batch in iterate():
                self._pass = this
                yield batch
            this.ended = True
        finally:
            this.seconds, this.steps = time.perf_counter() - began, self.steps

    def _loader_init(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def init(loader: DataLoader[Any], *args: Any, **kwargs: Any) -> None:
            if self.off:
                original(loader, *args, **kwargs)
                return
            given, trains = self._cutter.arguments(original, loader, args, kwargs)
            original(loader, **given)
            self.trace.loaders[id(loader)] = Seen(loader, self.frames.where(), {"asked": given, "trains": trains})

        return init

    def _module_call(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            if self._depth or self.off or not is_network(module, args):
                return original(module, *args, **kwargs)
            self._depth += 1
            try:
                output = original(module, *args, **kwargs)
            finally:
                self._depth -= 1
            self._tally(module, args, output)
            return output

        return call

    def _tally(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if torch.is_grad_enabled() and id(module) not in self.networks:
            self.networks[id(module)] = module
        this = self._pass
        scores, (images, labels) = scores_of(output), parts(self.batch)
        if this is None or scores is None or labels is None or len(labels) != len(scores):
            return
        if not this.seen:
            given = next((one for one in args if isinstance(one, Tensor)), None)
            this.alike = given is not None and images is not None and _same(given, images)
            if torch.is_grad_enabled():
                norms = (one for one in module.modules() if isinstance(one, BATCH_NORMS))
                self.tracked |= {id(one) for one in norms if one.training}
        this.training, self.classes = module.training, scores.shape[1]
        this.seen += len(labels)
        this.right += int((scores.detach().argmax(1).cpu() == labels.cpu()).sum())

    def _backward(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def backward(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
            if self._pass is not None:
                self._pass.backward += 1
            self._draws.finish()
            return original(tensor, *args, **kwargs)

        return backward

    def _after_step(self, item: Optimizer, args: Any, kwargs: Any) -> None:
        self.steps += 1


def scores_of(output: Any) -> Tensor | None:
    """Scores of classes, (N, classes): the output, or the first such part of it."""
    if isinstance(output, Tensor):
        return output if output.dim() == 2 and output.shape[1] > 1 else None
    values = list(output.values()) if isinstance(output, dict) else output
    if isinstance(values, list | tuple):
        return next((one for one in map(scores_of, values) if one is not None), None)
    logits = getattr(output, "logits", None)
    return scores_of(logits) if isinstance(logits, Tensor) else None


def _same(given: Tensor, images: Tensor) -> bool:
    return given.shape == images.shape and given.dtype == images.dtype and torch.equal(given.cpu(), images.cpu())
