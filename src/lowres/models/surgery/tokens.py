"""Transformers on small images: patches, windows, partitions and their position tables planned anew.

The rules go by the kind of layer (a grid of tokens with a table of positions, shifted windows, partitions), which
torchvision's ViT, Swin and MaxViT are built from.
"""

import functools
import math
from collections.abc import Iterable

import torch
from torch import nn
from torchvision.models import VisionTransformer
from torchvision.models.maxvit import PartitionAttentionLayer, RelativePositionalMultiHeadAttention
from torchvision.models.swin_transformer import ShiftedWindowAttention, ShiftedWindowAttentionV2

from lowres.errors import UserError
from lowres.models.surgery.kernels import HOW, Method, resize_table, shrink
from lowres.models.surgery.report import Change

TOKENS = 8
"""Side of the grid of tokens that a transformer of one resolution keeps, where it has that many natively."""

COMPUTED = "computed anew"


def is_vit(model: nn.Module) -> bool:
    """Whether a network has one resolution from its patches to its end."""
    return isinstance(model, VisionTransformer)


def plan_patches(
    model: nn.Module, image_size: int, method: Method, generator: torch.Generator | None
) -> tuple[list[Change], dict[str, str]]:
    """Cuts a ViT's image into smaller patches and interpolates its positions, in place.

    Such a network has one resolution from its patches to its end, so that it needs more than the last map of a
    pyramid: a grid of 8x8 tokens, or its native one if that is smaller.

    Raises:
        UserError: Its patches come from several convolutions.
    """
    if not isinstance(model, VisionTransformer):
        return [], {}
    projection = model.conv_proj
    if not isinstance(projection, nn.Conv2d):
        raise UserError("a ViT whose patches come from several convolutions is not adapted")
    old, native = model.patch_size, model.image_size // model.patch_size
    patch = max(
        (p for p in range(1, old + 1) if image_size % p == 0 and image_size // p >= min(TOKENS, native)), default=1
    )
    grid = image_size // patch
    changes: list[Change] = []
    tensors: dict[str, str] = {}
    if patch != old:
        projection.kernel_size = projection.stride = (patch, patch)
        kernels = shrink(projection.weight.detach(), patch, method, generator)
        projection.weight = nn.Parameter(kernels, requires_grad=projection.weight.requires_grad)
        tensors["conv_proj.weight"] = f"{HOW[method]} {old}x{old} -> {patch}x{patch}"
        few = image_size // old
        reason = f"{few}x{few} tokens tell little" if few else "a patch is larger than the image"
        changes.append(Change("conv_proj", f"patches of {old}x{old} -> {patch}x{patch} pixels", reason))
    if grid != native:
        old_table = model.encoder.pos_embedding
        table = old_table.detach()[0]
        extra = len(table) - native * native  # the class token, which has no place in the image
        positions = torch.cat([table[:extra], resize_table(table[extra:], grid)])
        model.encoder.pos_embedding = nn.Parameter(positions[None].contiguous(), requires_grad=old_table.requires_grad)
        how = f"interpolated {native}x{native} -> {grid}x{grid}"
        tensors["encoder.pos_embedding"] = how
        changes.append(Change("encoder.pos_embedding", how, "another grid of tokens"))
    model.image_size, model.patch_size = image_size, patch
    model.seq_length = grid * grid + 1
    return changes, tensors


def plan_windows(model: nn.Module, sides: Iterable[int]) -> tuple[list[Change], dict[str, str]]:
    """Fits windows and partitions of attention to the maps there are, in place; position tables are interpolated.

    Args:
        model: Changed.
        sides: Of the maps that attention works on.
    """
    shared = functools.reduce(math.gcd, sides, 0)
    layers = dict(model.named_modules())
    found: dict[str, list[str]] = {}  # one change for all layers that change alike
    tensors: dict[str, str] = {}
    for name, layer in layers.items():
        if isinstance(layer, ShiftedWindowAttention):
            old = layer.window_size[0]
            if (side := _divisor(shared, old)) != old:
                tensors |= _window(name, layer, side)
                found.setdefault(f"windows of {old}x{old} -> {side}x{side}", []).append(name)
        elif isinstance(layer, RelativePositionalMultiHeadAttention):
            old = layer.size
            if (side := _divisor(shared, old)) != old:
                tensors |= _table(name, layer, old, side) | {f"{name}.relative_position_index": COMPUTED}
                layer.size, layer.max_seq_len = side, side * side
                layer.relative_position_index = _relative_index(side).to(layer.relative_position_index.device)
                found.setdefault(f"partitions of {old}x{old} -> {side}x{side}", []).append(name)
    reason = f"the maps' sides are multiples of {shared}"
    changes = [Change(f"{names[0]} and {len(names) - 1} more", what, reason) for what, names in found.items()]
    return changes, tensors


def plan_partitions(model: nn.Module, side_of: dict[str, int]) -> None:
    """Tells MaxViT's layers the side of their maps, in place.

    Args:
        model: Whose attention layers have their partition size already.
        side_of: The side of the map that each partitioned layer gets, by its name.
    """
    for name, layer in model.named_modules():
        if isinstance(layer, PartitionAttentionLayer):
            side = side_of[name]
            partition = next(m.size for m in layer.modules() if isinstance(m, RelativePositionalMultiHeadAttention))
            layer.grid_size = (side, side)
            layer.n_partitions = side // partition
            windows = layer.partition_type == "window"
            layer.p, layer.g = (partition, side // partition) if windows else (side // partition, partition)


def attention_sides(model: nn.Module) -> list[str]:
    """Names of the layers whose windows or partitions have to fit their maps."""
    kinds = (ShiftedWindowAttention, PartitionAttentionLayer)
    return [name for name, layer in model.named_modules() if isinstance(layer, kinds)]


def _window(name: str, layer: ShiftedWindowAttention, side: int) -> dict[str, str]:
    old = layer.window_size[0]
    shifted = any(layer.shift_size)
    device = layer.relative_position_index.device
    layer.window_size = [side, side]
    layer.shift_size = [side // 2, side // 2] if shifted else [0, 0]
    tensors: dict[str, str] = {}
    if isinstance(layer, ShiftedWindowAttentionV2):  # positions are computed from coordinates: nothing to interpolate
        layer.define_relative_position_bias_table()
        layer.relative_coords_table = layer.relative_coords_table.to(device)
        tensors = {f"{name}.relative_coords_table": COMPUTED}
    else:
        tensors = _table(name, layer, old, side)
    layer.define_relative_position_index()
    layer.relative_position_index = layer.relative_position_index.to(device)
    return tensors | {f"{name}.relative_position_index": COMPUTED}


def _table(name: str, layer: nn.Module, old: int, side: int) -> dict[str, str]:
    table = layer.relative_position_bias_table
    assert isinstance(table, nn.Parameter)
    offsets = resize_table(table.detach(), 2 * side - 1)
    layer.relative_position_bias_table = nn.Parameter(offsets, requires_grad=table.requires_grad)
    span, new = 2 * old - 1, 2 * side - 1
    return {f"{name}.relative_position_bias_table": f"interpolated {span}x{span} -> {new}x{new}"}


def _relative_index(side: int) -> torch.Tensor:
    """For each pair of positions in a square, the row of its offset in the table of offsets: (side², side²)."""
    row, column = (axis.flatten() for axis in torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij"))
    down = row[:, None] - row[None] + side - 1
    across = column[:, None] - column[None] + side - 1
    return down * (2 * side - 1) + across


def _divisor(shared: int, limit: int) -> int:
    """The largest side, up to the old one, that divides all maps; 2 at least, below which nothing is attended to."""
    return max((d for d in range(2, limit + 1) if shared % d == 0), default=min(limit, 2))
