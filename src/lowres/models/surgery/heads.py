"""The end of a classifier: found, replaced for other classes, and freed of the size of image it was cut for."""

from torch import nn

from lowres.errors import UserError
from lowres.models.surgery.measure import Trace
from lowres.models.surgery.report import Change

AUXILIARY = ("aux", "AuxLogits", "aux_logits")


def find_head(model: nn.Module, seen: Trace) -> str:
    """The name of the layer that gives the logits: the last with weights, as wide as what the network gives.

    Raises:
        UserError: There is none; the layers that were considered are named.
    """
    considered = [name for name, _ in seen.weighted]
    if len(seen.output) != 2:
        got = f"a tensor of shape {seen.output}" if seen.output else "something other than one tensor"
        raise UserError(f"the network is no classifier: for an image it gives {got}, not logits (1, classes)")
    if seen.weighted:
        name, shape = seen.weighted[-1]
        wide = shape[1] if len(shape) == 4 else shape[-1]
        if wide == seen.output[1]:
            return name
    layers = ", ".join(f"{name} ({type(model.get_submodule(name)).__name__})" for name in considered[-5:])
    raise UserError(
        f"no head found: no layer with weights gives the network's {seen.output[1]} outputs last; "
        f"considered, the last ones: {layers or 'none'}; replace the head yourself and pass its name as `head`"
    )


def replace_head(model: nn.Module, name: str, classes: int) -> Change:
    """Puts a fresh layer of that many outputs in the head's place, in place; other classes, other weights."""
    old = model.get_submodule(name)
    new: nn.Module
    if isinstance(old, nn.Linear):
        new = nn.Linear(old.in_features, classes, bias=old.bias is not None)
        width = old.out_features
    elif isinstance(old, nn.Conv2d):
        new = nn.Conv2d(old.in_channels, classes, (old.kernel_size[0], old.kernel_size[1]), bias=old.bias is not None)
        width = old.out_channels
    else:
        raise UserError(f"the head {name} is a {type(old).__name__}; only linear layers and convolutions are replaced")
    new.to(old.weight.device, old.weight.dtype)
    put(model, name, new)
    return Change(name, f"{width:,} outputs -> {classes}", "another set of classes; drawn afresh")


def shrink_head(model: nn.Module, head: str, native: Trace, classes: int) -> tuple[Change, str] | None:
    """Frees a classifier of the map that it was cut for (AlexNet, VGG), in place.

    Such a network pools to a fixed map, flattens it and has linear layers for each of its positions. On small
    images the pooling would only repeat a small map, and those layers hold most of the parameters. One linear
    layer on the pooled channels takes their place.

    Returns:
        The change and the new head's name, or None for a network without such a classifier.
    """
    pools = {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.AdaptiveAvgPool2d)}
    fixed = [call for call in native.calls if call.name in pools and call.after > 1]
    sized = [name for name, layer in pools.items() if _size(layer) > 1]
    if not sized:
        return None
    pool = sized[-1]
    parent, _, _ = head.rpartition(".")
    container = model.get_submodule(parent) if parent else model
    if not parent or not isinstance(container, nn.Sequential):
        raise UserError(f"the classifier behind {pool} is no sequence of layers: it cannot be shrunk by rule")
    first = next(layer for layer in container if isinstance(layer, nn.Linear))
    positions = _size(pools[pool]) ** 2
    channels = first.in_features // positions
    before = sum(p.numel() for p in container.parameters())
    put(model, pool, nn.AdaptiveAvgPool2d(1))
    new = nn.Linear(channels, classes).to(first.weight.device, first.weight.dtype)
    put(model, parent, new)
    after = sum(p.numel() for p in new.parameters())
    side = fixed[-1].after if fixed else _size(pools[pool])
    return Change(
        parent,
        f"{before:,} parameters on a {_size(pools[pool])}x{_size(pools[pool])} map -> one linear layer, {after:,}",
        f"it was cut for {side}x{side} maps, which small images do not give: pooling would repeat smaller ones",
    ), parent


def require_free(native: Trace) -> None:
    """Refuses a classifier that is cut for one size of map and written as a convolution over all of it."""
    for call in native.on_maps(native.vectors):
        if call.after == 1 < call.before:
            raise UserError(
                f"{call.name} ({call.label}) is a classifier cut for {call.before}x{call.before} maps, written as a "
                "convolution: such a network is not adapted; take one that pools before its classifier"
            )


def drop_auxiliary(model: nn.Module) -> list[Change]:
    """Takes off classifiers in the middle of a network, which are cut for the maps of large images, in place."""
    changes = []
    for name, layer in list(model.named_children()):
        if name.startswith(AUXILIARY) and isinstance(layer, nn.Module):
            setattr(model, name, None)
            changes.append(
                Change(
                    name, "taken off", "an auxiliary classifier, cut for the maps of large images; training aid only"
                )
            )
    if changes and hasattr(model, "aux_logits"):
        model.aux_logits = False  # type: ignore[assignment]
    return changes


def put(model: nn.Module, name: str, layer: nn.Module) -> None:
    """Puts a layer in the place of that name."""
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent) if parent else model, last, layer)


def _size(pool: nn.AdaptiveAvgPool2d) -> int:
    size = pool.output_size
    return size if isinstance(size, int) else min(side or 0 for side in size or (0,))
