"""`adapt`: an ImageNet classifier becomes one for small images, by rule, with its weights kept where they fit."""

import copy
from collections.abc import Iterator

import torch
from torch import nn

from lowres.errors import UserError
from lowres.models.initialise import seeded
from lowres.models.surgery import heads, strides, tokens
from lowres.models.surgery.kernels import Method, other_channels
from lowres.models.surgery.measure import DoesNotFit, Trace, native_trace, trace
from lowres.models.surgery.report import Change, Report
from lowres.models.surgery.suitability import figures

SMALLEST = 4


def adapt(
    model: nn.Module,
    image_size: int = 32,
    classes: int = 10,
    *,
    stem: Method = "resize",
    channels: int = 3,
    smallest_map: int = SMALLEST,
    head: str | None = None,
    seed: int | None = None,
    gradients: int = 8,
) -> nn.Module:
    """Turns an ImageNet classifier into one for small images. The network that is given stays as it is.

    Sizes are measured by passing one image through, at the size the network is made for. Then, until the last
    stage keeps `smallest_map` pixels a side: the stem's kernel and stride become smaller, the early pooling is
    dropped, later strides go, from the first to the last. Classifiers that are cut for one size of map become one
    linear layer; transformers get smaller patches and windows, their positions interpolated; the head is replaced.

    Args:
        model: A classifier of images: torchvision's, timm's convolutional ones, somebody's own.
        image_size: Side of the images in pixels, at least 8.
        classes: Outputs, at least 2.
        stem: How a kernel becomes smaller: "crop" keeps its centre, "resize" is the least-squares solution, "new"
            draws it afresh (for training from scratch). See `lowres.models.surgery.kernels.Method`.
        channels: Of the images.
        smallest_map: Side of the smallest map that a convolution may give.
        head: The name of the layer that gives the logits; None: found by what it gives.
        seed: Of new weights; None: they are drawn from PyTorch's generator.
        gradients: Images of the one backward pass that measures the gradients which are zero, before and after;
            0: not measured.

    Returns:
        A network of its own, with the names of the old one's tensors; `adaptation(network)` gives the report.

    Raises:
        UserError: The network has no convolution or no head that is found, or an argument is out of range.

    Example:
        >>> import torchvision
        >>> network = adapt(torchvision.models.resnet18(), image_size=32, classes=10)
        >>> sum(p.numel() for p in network.parameters())
        11173962
    """
    _check(image_size, classes, smallest_map)
    adapted = copy.deepcopy(model)
    changes, tensors = _take_channels(adapted, channels)
    native = native_trace(adapted, channels)
    _require_convolutions(adapted, native)
    head = head or heads.find_head(adapted, native)
    heads.require_free(native)
    old = dict(model.state_dict())
    drawn = int(torch.randint(2**63 - 1, (), device="cpu")) if seed is None else seed
    generator = torch.Generator().manual_seed(drawn)
    changes += heads.drop_auxiliary(adapted)
    with seeded(seed):
        changes.append(heads.replace_head(adapted, head, classes))
        before = figures(adapted, image_size, channels=channels, vectors=native.vectors, batch=gradients)
        if (shrunk := heads.shrink_head(adapted, head, native, classes)) is not None:
            changes[-1], head = shrunk
        for more, how in _resized(adapted, image_size, channels, native, stem, smallest_map, generator):
            changes += more
            tensors |= how
    after = figures(adapted, image_size, channels=channels, vectors=native.vectors, batch=gradients)
    if after.error:
        raise UserError(f"this network cannot be adapted to {image_size} pixels: {after.error}")
    limit = ""
    if after.smallest_map is not None and after.smallest_map < smallest_map:
        fixed = "; ".join(f"{g.side}x{g.side}: {g.fixed}" for g in strides.groups(adapted, native) if g.fixed)
        limit = (
            f"the smallest map stays {after.smallest_map}x{after.smallest_map}: {fixed or 'no stride is left to undo'}"
        )
    new = adapted.state_dict()
    fresh = [n for n, t in new.items() if n.rpartition(".")[0] == head or n not in old or t.shape != old[n].shape]
    fresh = [name for name in fresh if name not in tensors]
    adapted.adaptation = Report(  # type: ignore[assignment]
        image_size=image_size,
        classes=classes,
        native_size=native.size,
        native_map=native.smallest(native.vectors),
        changes=tuple(changes),
        before=before,
        after=after,
        kept=len(new) - len(fresh) - len(tensors),
        changed=tensors,
        new=tuple(fresh),
        dropped=tuple(name for name in old if name not in new),
        limit=limit,
    )
    return adapted


def with_head(
    model: nn.Module, classes: int, *, channels: int = 3, head: str | None = None, seed: int | None = None
) -> nn.Module:
    """A copy of a classifier as it stands, with nothing replaced but its head; auxiliary heads are taken off.

    Raises:
        UserError: No head is found.
    """
    _check(8, classes, 1)
    changed = copy.deepcopy(model)
    _take_channels(changed, channels)
    heads.drop_auxiliary(changed)
    with seeded(seed):
        heads.replace_head(changed, head or heads.find_head(changed, native_trace(changed, channels)), classes)
    return changed


def head_of(model: nn.Module, image_size: int | None = None, channels: int = 3) -> str:
    """The name of the layer that gives a classifier's logits.

    Args:
        model: The classifier.
        image_size: Side of the images it takes; None: its native one.
        channels: Of the images.

    Raises:
        UserError: There is none; the layers that were considered are named.
    """
    seen = native_trace(model, channels) if image_size is None else trace(model, image_size, channels=channels)
    return heads.find_head(model, seen)


def shrinks_a_pixel(model: nn.Module, image_size: int, channels: int = 3) -> bool:
    """Whether a convolution with a stride meets a map of one pixel, squeeze-excite and the like aside."""
    try:
        seen = trace(model, image_size, channels=channels)
    except DoesNotFit:
        return False
    return any(call.kind == "convolution" and call.before == 1 and "/" in call.label for call in seen.calls)


def _resized(
    model: nn.Module,
    image_size: int,
    channels: int,
    native: Trace,
    stem: Method,
    smallest_map: int,
    generator: torch.Generator,
) -> Iterator[tuple[list[Change], dict[str, str]]]:
    """Makes the changes that concern sizes, a step at a time."""
    patches, how = tokens.plan_patches(model, image_size, stem, generator)
    if patches:
        yield patches, how
    elif not tokens.is_vit(model):
        enough = min(smallest_map, native.smallest(native.vectors))
        reducing = [group for group in strides.groups(model, native) if not group.fixed]
        for group, to_one in [*((g, False) for g in reducing), *((g, True) for g in reducing if g.stem)]:
            while _smallest(model, image_size, channels, native) < enough:
                step = strides.undo(model, group, stem, generator, to_one=to_one)
                if step is None:
                    break
                yield step
    names = tokens.attention_sides(model)
    if names:
        sides = _map_sides(model, image_size, channels, names)
        yield tokens.plan_windows(model, sides.values())
        tokens.plan_partitions(model, sides)


def _smallest(model: nn.Module, image_size: int, channels: int, native: Trace) -> int:
    try:
        return trace(model, image_size, channels=channels, plan=True).smallest(native.vectors)
    except DoesNotFit:
        return 0


def _map_sides(model: nn.Module, image_size: int, channels: int, names: list[str]) -> dict[str, int]:
    """The side of the map that each windowed layer gets."""
    sides: dict[str, int] = {}
    skeleton = copy.deepcopy(model)

    def note(name: str, shape: torch.Size) -> None:
        sides[name] = shape[2]  # H in both layouts' middle: (N, C, H, W) and, for windows, (N, H, W, C)

    for name in names:
        skeleton.get_submodule(name).register_forward_pre_hook(
            lambda layer, inputs, name=name: note(name, inputs[0].shape)
        )
    trace(skeleton, image_size, channels=channels, plan=True)
    return sides


def _take_channels(model: nn.Module, channels: int) -> tuple[list[Change], dict[str, str]]:
    """Has the first convolution take images of that many channels; what that changes, layers and tensors."""
    name, first = next(((n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d)), ("", None))
    if first is None or first.in_channels == channels or first.groups != 1:
        return [], {}
    old, kernels = first.in_channels, other_channels(first.weight.detach(), channels)
    first.weight = nn.Parameter(kernels, requires_grad=first.weight.requires_grad)
    first.in_channels = channels
    how = "mean over channels, scaled"
    return [Change(name, f"{old} -> {channels} input channels", how)], {f"{name}.weight": how}


def _require_convolutions(model: nn.Module, native: Trace) -> None:
    if not native.on_maps(native.vectors):
        kinds = sorted({type(m).__name__ for m in model.modules() if next(m.children(), None) is None})
        raise UserError(
            f"the network has neither convolutions nor patches (it is made of {', '.join(kinds[:6])}): "
            "there is no resolution to adapt; give one that works on maps"
        )


def _check(image_size: int, classes: int, smallest_map: int) -> None:
    if image_size < 8:
        raise UserError(f"image_size is {image_size}, but must be at least 8")
    if classes < 2:
        raise UserError(f"classes is {classes}, but must be at least 2: one class is nothing to tell apart")
    if smallest_map < 1:
        raise UserError(f"smallest_map is {smallest_map}, but must be at least 1")
