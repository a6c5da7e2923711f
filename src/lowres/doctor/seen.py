"""The setup in figures, for people and for programs; a recipe is written from them."""

import functools
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from lowres.doctor.paths import at_home
from lowres.doctor.pipeline import Pipeline
from lowres.doctor.setup import Setup
from lowres.doctor.shapes import shape_of


def seen(setup: Setup) -> dict[str, Any]:
    """Plain values: network, loaders, optimizer, rates, epochs, counts of events."""
    figures: dict[str, Any] = {}
    if setup.network is not None:
        figures["network"] = _network(setup)
    for name, one in (("train", setup.train), *((f"{p.role}_loader", p) for p in setup.evals)):
        if one is not None:
            figures[name] = setup.attempt(f"the loader {name}", functools.partial(_loader, one)) or {}
    if setup.train is not None:
        figures["train"] |= setup.attempt("the training images", lambda: _training(setup.train, setup.home)) or {}
    if setup.optimizer is not None:
        figures["optimizer"] = {"class": setup.algorithm} | _options(setup.groups)
        if setup.algorithm == "SGD":  # what a schedule makes of it
            figures["optimizer"]["momentum"] = setup.momentum
    if setup.rates is not None:
        curve = setup.rates.curve
        figures["rates"] = {"source": setup.rates.source, "cadence": setup.rates.cadence}
        figures["rates"]["at"] = [float(f"{setup.rates.at(share):.3g}") for share in (0, 0.25, 0.5, 0.75, 1)]
        figures["rates"]["peak"] = float(f"{max(curve):.3g}")
        schedule = shape_of(curve)
        figures["rates"]["schedule"] = asdict(schedule) if schedule is not None else None
    losses = [event.data for event in setup.trace.of("loss", real=True)]
    if losses:
        figures["loss"] = {"name": losses[0]["name"], "label_smoothing": losses[0].get("smoothing", 0.0)}
    clips = [event["max_norm"] for event in setup.trace.of("clip", real=True)]
    if clips:
        figures["clip"] = clips[0]
    if setup.modules:
        figures["modules"] = setup.modules
    if setup.read:
        figures["read"] = setup.read
    figures["classes"] = setup.classes
    figures["epochs"] = setup.epochs
    figures["events"] = {kind: setup.trace.count(kind) for kind in ("forward", "backward", "step", "schedule")}
    return figures


def _loader(one: Pipeline) -> dict[str, Any]:
    return {
        "data": type(one.base).__name__,
        "images": one.size,
        "batch_size": one.batch_size,
        "transforms": one.names,
    }


def _network(setup: Setup) -> dict[str, Any]:
    assert setup.network is not None
    first = next((one for one in setup.network.layers if one.kind == "conv"), None)
    return {
        "class": type(setup.model).__name__,
        "parameters": setup.network.parameters,
        "image_size": setup.image_size,
        "last_map": list(setup.network.last_map),
        "norms": setup.network.norms,
        "pretrained": setup.pretrained or None,
        "first_map": list(first.before) if first is not None else [],
        "pooled": _pooled([one.kind for one in setup.network.layers]),
    } | structure(setup.model)


def structure(model: nn.Module | None) -> dict[str, Any]:
    """What tells a network from others: its convolutions, its other weights, whether it uses Mish, its library."""
    modules = [] if model is None else list(model.modules())
    convs = [one for one in modules if isinstance(one, nn.Conv2d)]
    homes = {type(one).__module__ for one in modules}
    libraries = sorted(one for one in homes if one.startswith(("torchvision.models.", "timm.models.")))
    described = (getattr(one, "pretrained_cfg", None) or getattr(one, "default_cfg", None) for one in modules)
    named = next((one.get("architecture") for one in described if isinstance(one, dict)), None)
    return {
        "convolutions": dict(Counter(_shape(one) for one in convs)),
        "stem": {"shape": _shape(convs[0]), "stride": convs[0].stride[0]} if convs else None,
        "between": _between(model, modules),
        "mish": any("mish" in type(one).__name__.lower() for one in modules),
        "library": libraries[0] if libraries else "",
        "architecture": named,
    }


def _between(model: nn.Module | None, modules: list[nn.Module]) -> dict[str, int]:
    """Shapes of all parameters but those of the first convolution and the last linear layer, and how many have each."""
    ends = [
        next((one for one in modules if isinstance(one, nn.Conv2d)), None),
        next((one for one in reversed(modules) if isinstance(one, nn.Linear)), None),
    ]
    left_out = {id(weight) for end in ends if end is not None for weight in end.parameters()}
    weights = [] if model is None else [one for one in model.parameters() if id(one) not in left_out]
    return dict(Counter("x".join(str(side) for side in one.shape) for one in weights if not is_lazy(one)))


def _shape(conv: nn.Conv2d) -> str:
    return "x".join(str(side) for side in conv.weight.shape)


def _pooled(kinds: Iterable[str]) -> bool:
    """Whether a pool stands between the first convolution and the second."""
    order = [one for one in kinds if one in ("conv", "pool")]
    return order[:2] == ["conv", "pool"]


def _training(one: Pipeline | None, home: Path | None) -> dict[str, Any]:
    """What a recipe says of the training images."""
    assert one is not None
    names = {type(part).__name__: part for part in one.transforms}
    crop, jitter = names.get("RandomCrop"), names.get("ColorJitter")
    padding = getattr(crop, "padding", None)
    root = getattr(one.base, "root", None)
    constants = one.constants or (None, None)
    return {
        "of": len(one.base) if hasattr(one.base, "__len__") else None,
        "root": str(at_home(Path(str(root)), home or Path.cwd())) if root is not None else None,
        "crop": (max(padding) if isinstance(padding, list | tuple) else padding or 0) if crop is not None else None,
        "padding": str(getattr(crop, "padding_mode", "constant")),
        "flip": "RandomHorizontalFlip" in names,
        "jitter": _jitter(jitter),
        "mean": constants[0],
        "std": constants[1],
    }


def _jitter(transform: Any) -> float:
    spread = getattr(transform, "brightness", None)
    return round(spread[1] - 1, 4) if isinstance(spread, list | tuple) else 0.0


def _options(groups: list[dict[str, Any]]) -> dict[str, Any]:
    """Options of the first group, and whether some parameters are spared from decay."""
    if not groups:
        return {}
    names = ("lr", "momentum", "weight_decay", "nesterov", "betas", "eps", "dampening")
    decays = {group.get("weight_decay", 0) for group in groups}
    options = {name: value for name, value in groups[0].items() if name in names}
    options["lr"] = max(float(group.get("lr", 0)) for group in groups)
    options["weight_decay"] = max(float(one) for one in decays)
    return options | {"spared": len(decays) > 1 and 0 in decays}
