"""What a network does to the size of its maps, seen by passing one image through it.

Works on a copy whose tensors have shapes and no values (PyTorch's meta device), so that the largest networks cost
a fraction of a second. The rules of the surgery read nothing but what is recorded here.
"""

# mypy: allow-untyped-calls
import contextlib
import copy
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.maxvit import PartitionAttentionLayer
from torchvision.models.swin_transformer import PatchMerging, PatchMergingV2

from lowres.errors import UserError

aten = torch.ops.aten
REDUCING = (aten.max_pool2d_with_indices, aten.avg_pool2d, aten.convolution, aten.pixel_unshuffle)

NATIVE_SIZES = (224, 256, 299, 384, 512, 128, 64, 32)
"""Sides that networks are tried at, where they do not say which images they are made for."""


class DoesNotFit(UserError):
    """A network that cannot take images of a size."""


@dataclass(frozen=True)
class Call:
    """One call of a layer that works on maps.

    Attributes:
        name: The layer's qualified name; "" for a bare function, such as `F.max_pool2d` inside a block.
        kind: "convolution", "pooling" (a layer without parameters that changes the size), "merging" (of patches),
            "function".
        label: For people: "Conv2d 7x7 /2".
        before: Side of the map that comes in.
        after: Side of the map that goes out.
        channels: Of the map that goes out.
        parameters: Its own.
    """

    name: str
    kind: str
    label: str
    before: int
    after: int
    channels: int
    parameters: int


@dataclass(frozen=True)
class Trace:
    """What was seen of one image on its way.

    Attributes:
        size: Side of the image.
        calls: In the order of execution.
        weighted: Linear layers and convolutions with the shape of what they gave, in the order of execution.
        output: Shape of what the network gave.
        multiply_adds: Of all matrix products and convolutions, those of attention too; 0 where not counted.
    """

    size: int
    calls: tuple[Call, ...]
    weighted: tuple[tuple[str, tuple[int, ...]], ...]
    output: tuple[int, ...]
    multiply_adds: int

    def on_maps(self, vectors: frozenset[str] = frozenset()) -> list[Call]:
        """The convolutions, and mergings of patches, that see a map: not those that see a pooled vector."""
        return [c for c in self.calls if c.kind in ("convolution", "merging") and c.name not in vectors]

    def smallest(self, vectors: frozenset[str] = frozenset()) -> int:
        """The side of the smallest map that such a layer gives; 0 where there is none."""
        return min((call.after for call in self.on_maps(vectors)), default=0)

    @property
    def vectors(self) -> frozenset[str]:
        """Convolutions that see 1x1 here; at the native size they are those behind a pooling (squeeze-excite)."""
        return frozenset(call.name for call in self.calls if call.kind == "convolution" and call.before == 1)


def trace(model: nn.Module, size: int, *, channels: int = 3, plan: bool = False, count: bool = False) -> Trace:
    """Passes one image through a copy of the network that has shapes only.

    Args:
        model: Left as it is.
        size: Side of the image.
        channels: Of the image.
        plan: Take partitioned attention, which keeps sizes, for the identity: its partitions are planned later,
            from the sizes seen here.
        count: Count multiply-adds, which takes twice the time.

    Raises:
        DoesNotFit: The network does not take such images.
    """
    skeleton = meta_copy(model).eval()
    recorder = _Recorder()
    flops = FlopCounterMode(display=False) if count else None
    image = torch.empty(1, channels, size, size, device="meta")
    for layer in skeleton.modules():
        # A normalisation changes no size; without values it would be taken apart into a dozen operations.
        if isinstance(layer, nn.BatchNorm2d) or (plan and isinstance(layer, PartitionAttentionLayer)):
            layer.forward = _same  # type: ignore[method-assign]
    try:
        with recorder.hooked(skeleton), flops or contextlib.nullcontext(), recorder:
            output = skeleton(image)
    except Exception as error:  # whatever a foreign network raises at a size that it cannot take
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DoesNotFit(f"the network does not take {channels}x{size}x{size} images: {reason}") from error
    shape = tuple(output.shape) if isinstance(output, Tensor) else ()
    multiply_adds = flops.get_total_flops() // 2 if flops else 0
    return Trace(size, tuple(recorder.calls), tuple(recorder.weighted), shape, multiply_adds)


def native_trace(model: nn.Module, channels: int = 3) -> Trace:
    """The trace at the size that the network is made for: the one it names, or the first of the usual it takes.

    Raises:
        DoesNotFit: It takes none of them.
    """
    named = [getattr(model, "image_size", None)]
    config = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None)
    if isinstance(config, dict):
        named.append((config.get("input_size") or (None,))[-1])
    sizes = dict.fromkeys([*(size for size in named if isinstance(size, int)), *NATIVE_SIZES])
    first: DoesNotFit | None = None
    for size in sizes:
        try:
            return trace(model, size, channels=channels)
        except DoesNotFit as error:
            first = first or error
    assert first is not None
    raise DoesNotFit(f"no size measured: {first} (nor of sides {', '.join(map(str, list(sizes)[1:]))})") from first


def meta_copy(model: nn.Module) -> nn.Module:
    """A copy whose parameters and buffers have shapes and no values."""
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        empty = torch.empty_like(parameter, device="meta")
        memo[id(parameter)] = nn.Parameter(empty, requires_grad=parameter.requires_grad)
    for buffer in model.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    return copy.deepcopy(model, memo)


def label(layer: nn.Module) -> str:
    """A layer's class with kernel, stride and groups."""
    name = type(layer).__name__
    kernel, stride = getattr(layer, "kernel_size", None), getattr(layer, "stride", 1)
    if kernel is None:
        return name
    high, wide = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    step = stride[0] if isinstance(stride, tuple) else stride
    groups = getattr(layer, "groups", 1)
    return f"{name} {high}x{wide}{f' /{step}' if step > 1 else ''}{f', {groups} groups' if groups > 1 else ''}"


def _same(x: Tensor) -> Tensor:
    return x


def _side(tensor: Any, merging: bool = False) -> tuple[int, int]:
    """Side and channels of a map; (0, 0) for what is none. Merging of patches has its channels last."""
    if not isinstance(tensor, Tensor) or tensor.dim() != 4:
        return 0, 0
    high, wide, channels = tensor.shape[1:] if merging else (*tensor.shape[2:], tensor.shape[1])
    return min(high, wide), channels


@dataclass
class _Recorder(TorchDispatchMode):
    """Hooks on layers, and an ear for the functions called between them."""

    calls: list[Call] = field(default_factory=list)
    weighted: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    inside: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    def __hash__(self) -> int:
        return id(self)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if not self.inside and func.overloadpacket in REDUCING:
            output = result[0] if isinstance(result, tuple) else result
            (before, _), (after, channels) = _side(args[0]), _side(output)
            if before > after > 1:
                self.calls.append(Call("", "function", str(func.overloadpacket), before, after, channels, 0))
        return result

    @contextlib.contextmanager
    def hooked(self, model: nn.Module) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for name, layer in model.named_modules():
                if isinstance(layer, nn.Conv2d | PatchMerging | PatchMergingV2) or _bare(layer):
                    stack.callback(layer.register_forward_pre_hook(self._enter).remove)
                    stack.callback(layer.register_forward_hook(functools.partial(self._leave, name)).remove)
                elif isinstance(layer, nn.Linear):
                    stack.callback(layer.register_forward_hook(functools.partial(self._linear, name)).remove)
            yield

    def _enter(self, layer: nn.Module, inputs: Any) -> None:
        self.inside += 1

    def _leave(self, name: str, layer: nn.Module, inputs: Any, output: Any) -> None:
        self.inside -= 1
        merging = isinstance(layer, PatchMerging | PatchMergingV2)
        before, _ = _side(inputs[0] if inputs else None, merging)
        after, channels = _side(output, merging)
        if not before or not after:
            return
        parameters = sum(p.numel() for p in layer.parameters())
        kind = "convolution" if isinstance(layer, nn.Conv2d) else "merging" if merging else "pooling"
        if kind != "pooling" or before != after:
            self.calls.append(Call(name, kind, label(layer), before, after, channels, parameters))
        if kind == "convolution":
            self.weighted.append((name, tuple(output.shape)))

    def _linear(self, name: str, layer: nn.Module, inputs: Any, output: Any) -> None:
        self.weighted.append((name, tuple(output.shape)))


def _bare(layer: nn.Module) -> bool:
    """A layer without parts and parameters, such as a pooling or an activation."""
    return next(layer.children(), None) is None and next(layer.parameters(), None) is None
