"""The rules that give a convolutional network its resolution back: stem, early pooling, later strides, in order.

What reduces a map is known from a trace at the network's native size. Layers that reduce the same map (a block's
convolution and its shortcut) form a group and are changed together.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.models.swin_transformer import PatchMerging

from lowres.models.blocks import SameConv2d
from lowres.models.surgery.heads import put
from lowres.models.surgery.kernels import HOW, Method, shrink
from lowres.models.surgery.measure import Trace, label
from lowres.models.surgery.report import Change


@dataclass(frozen=True)
class Group:
    """Layers that reduce the same map.

    Attributes:
        side: Of the map, at the native size.
        names: The layers.
        stem: Whether the first convolution is among them.
        fixed: Why it cannot be undone; "" where it can.
    """

    side: int
    names: tuple[str, ...]
    stem: bool
    fixed: str


class DenseMerging(nn.Module):
    """Swin's merging of 2x2 patches at every position instead of every second: the map keeps its size.

    Weights are those of the merging it takes the place of. At the right and the bottom the last patch is repeated.
    """

    def __init__(self, merging: nn.Module) -> None:
        super().__init__()
        self.reduction = merging.get_submodule("reduction")
        self.norm = merging.get_submodule("norm")
        self.norm_first = isinstance(merging, PatchMerging)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, H, W, C) to (N, H, W, 2 C)."""
        x = torch.cat([x, x[:, -1:]], dim=1)
        x = torch.cat([x, x[:, :, -1:]], dim=2)
        x = torch.cat([x[:, :-1, :-1], x[:, 1:, :-1], x[:, :-1, 1:], x[:, 1:, 1:]], dim=-1)
        merged: Tensor = self.reduction(self.norm(x)) if self.norm_first else self.norm(self.reduction(x))
        return merged


def groups(model: nn.Module, native: Trace) -> list[Group]:
    """What reduces maps, from the first to the last that a convolution or a merging follows."""
    working = [i for i, call in enumerate(native.calls) if call.kind in ("convolution", "merging") and call.after > 1]
    first = next((call.name for call in native.calls if call.kind == "convolution"), "")
    found: dict[int, list[str]] = {}
    fixed: dict[int, str] = {}
    for call in native.calls[: working[-1] + 1] if working else ():
        layer = model.get_submodule(call.name) if call.name else None
        if call.after >= call.before or call.after <= 1 or not _strided(layer, call.before, call.after):
            continue
        names = found.setdefault(call.before, [])
        if call.name not in names:
            names.append(call.name)
        if call.kind == "function":
            fixed[call.before] = f"a function inside a block ({call.label.rpartition('.')[2]}) reduces the map, too"
        elif isinstance(layer, nn.Conv2d) and layer.padding_mode != "zeros":
            fixed[call.before] = f"{call.name} pads by {layer.padding_mode!r}"
        elif call.kind == "pooling" and _channels(native, call.name) != call.channels:
            fixed[call.before] = f"{call.name} turns pixels into channels"
    return [
        Group(side, tuple(name for name in names if name), first in names, fixed.get(side, ""))
        for side, names in found.items()
    ]


def undo(
    model: nn.Module, group: Group, method: Method, generator: torch.Generator | None, *, to_one: bool = False
) -> tuple[list[Change], dict[str, str]] | None:
    """Halves a group's stride, in place.

    Args:
        model: Changed.
        group: Which layers.
        method: How a stem's kernel becomes smaller.
        generator: For a kernel that is drawn afresh.
        to_one: Whether a stem of patches may lose its stride altogether; else it keeps 2, and later strides go.

    Returns:
        The changes, and how kernels were made smaller, by their tensors' names; None where nothing is left to undo.
    """
    changes: list[Change] = []
    kernels: dict[str, str] = {}
    for name in group.names:
        layer = model.get_submodule(name)
        if isinstance(layer, nn.Conv2d):
            stride = max(layer.stride)
            if stride == 1 or (group.stem and _patches(layer) and stride <= 2 and not to_one):
                continue
            before = label(layer)
            kernel = layer.kernel_size[0]
            _stride(model, name, stride // 2 if stride % 2 == 0 else 1, group.stem, method, generator)
            layer = model.get_submodule(name)
            assert isinstance(layer, nn.Conv2d)
            if layer.kernel_size[0] != kernel:
                side = layer.kernel_size[0]
                kernels[f"{name}.weight"] = f"{HOW[method]} {kernel}x{kernel} -> {side}x{side}"
            changes.append(Change(name, f"{before} -> {label(layer)}", _reason(group)))
        elif hasattr(layer, "reduction"):
            if not isinstance(layer, DenseMerging):
                put(model, name, DenseMerging(layer))
                changes.append(Change(name, "merges 2x2 patches at every position", _reason(group)))
        elif not isinstance(layer, nn.Identity):
            put(model, name, nn.Identity())
            changes.append(Change(name, f"{label(layer)} -> dropped", _reason(group)))
    return (changes, kernels) if changes else None


def _stride(
    model: nn.Module, name: str, stride: int, stem: bool, method: Method, generator: torch.Generator | None
) -> None:
    """Gives a convolution a smaller stride; in the stem a smaller kernel, too."""
    layer = model.get_submodule(name)
    assert isinstance(layer, nn.Conv2d)
    kernel, old = layer.kernel_size[0], max(layer.stride)
    square = layer.kernel_size[0] == layer.kernel_size[1]
    if _patches(layer) and stem:
        side = stride
    elif stem and square and kernel > 3:
        side = max(3, 2 * math.floor(kernel * stride / old / 2) + 1)
    else:
        side = kernel
    layer.stride = (stride, stride)
    if side != kernel:
        layer.kernel_size = (side, side)
        with torch.no_grad():
            kernels = shrink(layer.weight.detach(), side, method, generator)
            layer.weight = nn.Parameter(kernels, requires_grad=layer.weight.requires_grad)
    if side == stride and stem:
        layer.padding = (0, 0)
    elif all(k % 2 for k in layer.kernel_size):
        high, wide = ((k - 1) // 2 * d for k, d in zip(layer.kernel_size, layer.dilation, strict=True))
        layer.padding = (high, wide)
    elif stride == 1 and type(layer) is nn.Conv2d:
        put(model, name, _padded(layer))
    elif stride == 1:
        layer.padding = "same"


def _padded(layer: nn.Conv2d) -> SameConv2d:
    """The same convolution, of an even kernel, with one more pixel of padding at the right and the bottom."""
    padded = SameConv2d(layer.in_channels, layer.out_channels, (1, 1), groups=layer.groups, bias=layer.bias is not None)
    padded.kernel_size, padded.weight, padded.bias = layer.kernel_size, layer.weight, layer.bias
    return padded


def _reason(group: Group) -> str:
    return "the stem threw pixels away" if group.stem else "the last stage would see too small a map"


def _patches(layer: nn.Conv2d) -> bool:
    """Whether it cuts the map into squares that do not overlap."""
    return layer.kernel_size == layer.stride and layer.kernel_size[0] > 1


def _strided(layer: nn.Module | None, before: int, after: int) -> bool:
    """Whether a layer reduces by its stride, not only by an edge that it does not pad."""
    if isinstance(layer, nn.Conv2d):
        return max(layer.stride) > 1
    return after <= (before + 3) // 2 + 1 and (before - after > 3 or before < 8)


def _channels(native: Trace, name: str) -> int:
    """Channels of the map that comes into a pooling: those that it gives, unless it makes new ones."""
    calls = native.calls
    index = next(i for i, call in enumerate(calls) if call.name == name)
    same = [call.channels for call in calls[:index] if call.after == calls[index].before]
    return calls[index].channels if not same or calls[index].channels <= 4 * max(same) - 1 else -1
