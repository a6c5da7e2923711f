"""Facts of a network, from a few passes of one batch through a copy of it.

Sizes of maps, kernel positions that see nothing but padding, calls of each layer, what the autograd graph is made
of, signals and gradients layer by layer, and whether an image's scores depend on chance or on its neighbours.
"""

# mypy: allow-untyped-calls
import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)
BATCH_NORMS = nn.modules.batchnorm._BatchNorm
ACTIVATIONS = (
    "Relu", "Gelu", "Silu", "Mish", "Hardtanh", "LeakyRelu", "Elu", "Prelu", "Softplus", "Hardswish", "Sigmoid",
    "Tanh", "Selu", "Celu", "Clamp", "Threshold", "Hardsigmoid", "Rrelu", "Maximum",
)  # fmt: skip
"""How the autograd nodes of activations begin."""


@dataclass(frozen=True)
class Layer:
    """A convolution, pool or linear layer as it was called.

    Attributes:
        name: Its qualified name.
        kind: conv, pool or linear.
        before: Height and width of its input; () of a vector.
        after: Of its output.
        weights: Entries of its weight.
        kernel: Height and width.
        stride: In both directions.
        groups: Of a convolution.
        width: Channels that come out.
        dead: Share of the weights whose gradient is exactly zero, whatever the image: they see padding alone.
        least: Least value of its input.
        greatest: Greatest.
        spread: Standard deviation of its output.
        gradient: Root mean square of the gradient of its weight.
    """

    name: str
    kind: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    weights: int = 0
    kernel: tuple[int, ...] = (1, 1)
    stride: tuple[int, ...] = (1, 1)
    groups: int = 1
    width: int = 0
    dead: float = 0.0
    least: float = 0.0
    greatest: float = 0.0
    spread: float = 0.0
    gradient: float = 0.0


@dataclass(frozen=True)
class Network:
    """What a network does to a batch of images of the size that it is given.

    Attributes:
        layers: In the order of execution.
        parameters: All that are registered.
        norms: Normalisation layers.
        size: Height and width of the images.
        outputs: Width of the scores; 0 if the output is no matrix.
        calls: How often each normalisation layer was called in one pass.
        unregistered: Layers with parameters that were called and that the network does not know: the class, and
            whether a second pass called the same object.
        graph: How many autograd nodes of each kind made the output.
        chance: Greatest change of the scores between two passes in evaluation mode.
        mixed: Greatest change of the other images' scores when one image is changed, in evaluation mode.
        modes: Greatest change of the scores between training and evaluation mode, as a share of their size.
        constant: Greatest spread of a score over different images, in training mode.
        finite: Whether the scores are finite.
    """

    layers: tuple[Layer, ...] = ()
    parameters: int = 0
    norms: int = 0
    size: tuple[int, ...] = ()
    outputs: int = 0
    calls: dict[str, int] = field(default_factory=dict)
    unregistered: tuple[tuple[str, bool], ...] = ()
    graph: Counter[str] = field(default_factory=Counter)
    chance: float = 0.0
    mixed: float = 0.0
    modes: float = 0.0
    constant: float | None = None
    finite: bool = True

    @property
    def convolutions(self) -> list[Layer]:
        """Those that work on maps; gates on pooled vectors (squeeze-and-excite) are left out."""
        convs = [(i, one) for i, one in enumerate(self.layers) if one.kind == "conv"]
        last_map = max((i for i, one in convs if max(one.after, default=1) > 1), default=-1)
        return [one for i, one in convs if i > last_map or max(one.before, default=1) > 1]

    def share_below(self, side: int) -> float:
        """The share of convolution weights that give maps of at most `side` by `side`."""
        total = sum(one.weights for one in self.convolutions)
        small = sum(one.weights for one in self.convolutions if max(one.after, default=1) <= side)
        return small / total if total else 0.0

    @property
    def dead(self) -> float:
        """The share of convolution weights that never learn, since they see padding alone."""
        total = sum(one.weights for one in self.convolutions)
        return sum(one.weights * one.dead for one in self.convolutions) / total if total else 0.0

    @property
    def last_map(self) -> tuple[int, ...]:
        """The size that the last convolutions work on."""
        return self.convolutions[-1].after if self.convolutions else ()

    def activations(self) -> int:
        """Non-linear functions on the way to the scores; a function that brings its own gradient is taken for one."""
        own = "Backward"  # a node of PyTorch's has a number behind that
        return sum(count for name, count in self.graph.items() if name.startswith(ACTIVATIONS) or name.endswith(own))

    @property
    def attention(self) -> bool:
        """Whether it attends."""
        return any("Attention" in name for name in self.graph) or (
            self.graph["SoftmaxBackward0"] >= 2 and self.graph["BmmBackward0"] >= 4
        )


def look(model: nn.Module, images: Tensor) -> Network:
    """Passes a batch through a network, whose gradients, buffers, modes and frozen layers it changes: give it a copy.

    Args:
        model: A copy of the network.
        images: As the network takes them, at least two.
    """
    layers: list[dict[str, Any]] = []
    calls: Counter[str] = Counter()
    names = {id(module): name for name, module in model.named_modules()}
    model.train()
    for parameter in model.parameters():  # what is frozen leaves no graph
        parameter.requires_grad_(parameter.is_floating_point() or parameter.is_complex())
    with _watched(model, names, layers, calls):
        scores = _scores(model(images))
        matrix = scores is not None and scores.dim() == 2
        if scores is not None and scores.requires_grad:
            target = torch.arange(len(scores)) % max(scores.shape[-1], 1)
            loss = F.cross_entropy(scores.float(), target) if matrix else scores.float().square().mean()
            loss.backward()
    graph = count_nodes(scores) if scores is not None else Counter()
    found = tuple(_layer(one) for one in layers)
    finite = scores is None or bool(scores.isfinite().all())
    constant = float(scores.detach().float().std(dim=0).max()) if scores is not None and matrix else None
    modes = _between_modes(model, images, scores)
    chance, mixed = _dependence(model, images)
    return Network(
        layers=found,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        norms=sum(isinstance(module, NORMS) for module in model.modules()),
        size=tuple(images.shape[-2:]),
        outputs=int(scores.shape[1]) if scores is not None and matrix else 0,
        calls=dict(calls),
        unregistered=_unregistered(model, images),
        graph=graph,
        chance=chance,
        mixed=mixed,
        modes=modes,
        constant=constant,
        finite=finite,
    )


def drops(module: nn.Module) -> bool:
    """Whether a layer drops units, channels or branches in training: PyTorch's, torchvision's, timm's, one named so."""
    known = isinstance(module, nn.modules.dropout._DropoutNd)
    if not known and not type(module).__name__.startswith(("DropPath", "DropBlock", "StochasticDepth")):
        return False
    p = getattr(module, "p", getattr(module, "drop_prob", 1.0))
    return p is not None and (not isinstance(p, int | float) or p > 0)


def _scores(output: Any) -> Tensor | None:
    """The scores in what a network returns: the tensor, its attribute `logits`, or the first tensor of several."""
    if isinstance(output, Tensor):
        return output
    logits = getattr(output, "logits", None)
    if isinstance(logits, Tensor):
        return logits
    values = list(output.values()) if isinstance(output, dict) else output
    return next((one for one in values if isinstance(one, Tensor)), None) if isinstance(values, list | tuple) else None


@contextlib.contextmanager
def _watched(
    model: nn.Module, names: dict[int, str], layers: list[dict[str, Any]], calls: Counter[str]
) -> Iterator[None]:
    def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        before = inputs[0] if inputs and isinstance(inputs[0], Tensor) else None
        if before is None or not isinstance(output, Tensor):
            return
        kind = "conv" if isinstance(module, nn.Conv2d) else "linear" if isinstance(module, nn.Linear) else "pool"
        spread = float(output.detach().float().std()) if output.numel() > 1 else 0.0
        least, greatest = (float(one) for one in before.detach().aminmax()) if before.numel() else (0.0, 0.0)
        layers.append(
            {"module": module, "name": names[id(module)], "kind": kind, "spread": spread}
            | {"least": least, "greatest": greatest}
            | {"before": tuple(before.shape[2:]), "after": tuple(output.shape[2:]) if output.dim() == 4 else ()}
        )

    def count(module: nn.Module, inputs: Any, output: Any) -> None:
        calls[names[id(module)]] += 1

    pools = (nn.modules.pooling._MaxPoolNd, nn.modules.pooling._AvgPoolNd)
    with contextlib.ExitStack() as hooks:
        for module in model.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear, *pools)):
                hooks.callback(module.register_forward_hook(note).remove)
            elif isinstance(module, BATCH_NORMS):
                hooks.callback(module.register_forward_hook(count).remove)
        yield


def _layer(found: dict[str, Any]) -> Layer:
    module = found.pop("module")
    if not isinstance(module, nn.Conv2d):
        weight = getattr(module, "weight", None)
        gradient = 0.0 if weight is None or weight.grad is None else float(weight.grad.square().mean().sqrt())
        stride = getattr(module, "stride", 1)
        stride = stride if isinstance(stride, tuple) else (stride, stride)
        return Layer(**found, weights=0 if weight is None else weight.numel(), stride=stride, gradient=gradient)
    dead, gradient = 0.0, 0.0
    if module.weight.grad is not None:
        gradient = float(module.weight.grad.square().mean().sqrt())
        idle = (module.weight.grad == 0).all(dim=0).all(dim=0)
        dead = float(idle.float().mean()) if gradient else 0.0
    return Layer(
        **found,
        weights=module.weight.numel(),
        kernel=tuple(module.kernel_size),
        stride=tuple(module.stride),
        groups=module.groups,
        width=module.out_channels,
        dead=dead,
        gradient=gradient,
    )


def count_nodes(output: Tensor) -> Counter[str]:
    """How many nodes of each kind the autograd graph of a tensor has, accumulations into weights left out."""
    seen: set[Any] = set()
    waiting = [output.grad_fn]
    names: Counter[str] = Counter()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        above = [one for one, _ in node.next_functions if one is not None]
        if (
            node.name() == "AddBackward0"
            and len([one for one in above if one.name() != "torch::autograd::AccumulateGrad"]) < 2
        ):
            names["AddConstant"] += 1
        elif node.name() != "torch::autograd::AccumulateGrad":
            names[node.name()] += 1
        waiting += above
    return names


def _between_modes(model: nn.Module, images: Tensor, trained: Tensor | None) -> float:
    """Change of the scores from training mode, where they were `trained`, to evaluation mode, as a share of them."""
    model.eval()
    with torch.no_grad():
        scores = _scores(model(images))
    if scores is None or trained is None or scores.shape != trained.shape:
        return 0.0
    change = (scores - trained.detach()).abs().max()
    return float(change / trained.detach().abs().max().clamp_min(1e-12)) if change.isfinite() else 0.0


def _dependence(model: nn.Module, images: Tensor) -> tuple[float, float]:
    """Change of the scores between two passes, and of the others' when one image is changed; in evaluation mode."""
    model.eval()
    with torch.no_grad():
        first, second = _scores(model(images)), _scores(model(images))
        if first is None or second is None or first.shape != second.shape or not first.isfinite().all():
            return 0.0, 0.0
        chance = float((first - second).abs().max())
        if chance > 0 or len(images) < 2 or len(first) != len(images):
            return chance, 0.0
        changed = images.clone()
        changed[0] = images[1].flip(-1) * 0.5 + images[0].flip(-2)
        other = _scores(model(changed))
        scale = float(first.abs().max()) or 1.0
        return chance, float((first - other)[1:].abs().max()) / scale if other is not None else 0.0


def _unregistered(model: nn.Module, images: Tensor) -> tuple[tuple[str, bool], ...]:
    """Layers with parameters that a pass calls and that are no part of the network."""
    known = {id(module) for module in model.modules()}
    passes: list[dict[int, nn.Module]] = []

    def note(module: nn.Module, inputs: Any) -> None:
        if id(module) not in known and next(module.parameters(recurse=False), None) is not None:
            passes[-1][id(module)] = module

    model.eval()
    remove = nn.modules.module.register_module_forward_pre_hook(note)
    try:
        for _ in range(2):
            passes.append({})
            with torch.no_grad():
                model(images)
    finally:
        remove.remove()
    return tuple((type(module).__name__, key in passes[0]) for key, module in passes[1].items())
