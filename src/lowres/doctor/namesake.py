"""Finds which network lowres can build a seen one is, by the shapes of its weights."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from lowres.doctor.seen import structure
from lowres.errors import UserError
from lowres.models import create_model, list_models, model_info
from lowres.models.imagenet import torchvision_models
from lowres.recipes import Option

RESIDUAL = "torchvision.models.resnet"
"""The family that people copy into their own files."""


@dataclass(frozen=True)
class Namesake:
    """A network as a recipe names it.

    Attributes:
        model: The name.
        options: Of a network of lowres.
        small: Whether the seen one has a stem for small images where the library's has one for large ones.
    """

    model: str
    options: dict[str, Option] = field(default_factory=dict)
    small: bool = False


def namesake(seen: Mapping[str, Any], classes: int) -> Namesake:
    """The network that lowres can build in place of a seen one.

    Args:
        seen: What `structure` says of it, with its number of parameters and `pooled`.
        classes: Its outputs.

    Raises:
        UserError: There is none; the message says which were considered.
    """
    if seen["library"].startswith("timm.") and seen["architecture"]:
        return Namesake(f"timm:{seen['architecture']}", small=_small(seen))
    if not seen["library"]:
        for name, options in _own():
            if _fits(seen, _built(name, classes, tuple(options.items()))):
                return Namesake(name, options)
    found = [name for name in _torchvisions(seen["library"] or RESIDUAL) if _alike(seen, _torchvision(name, classes))]
    if found:
        return Namesake(f"torchvision:{found[0]}", small=_small(seen))
    raise UserError(
        f"no recipe: {seen['class']} with {seen['parameters']:,} parameters is no network that lowres can build "
        f"(considered: {len(list_models())} of `lowres models`, "
        f"{(seen['library'] or RESIDUAL).replace('.models.', ':').replace('_', ' ')}); register it, as the guide "
        "to recipes says, and name it in one"
    )


def _small(seen: Mapping[str, Any]) -> bool:
    return bool(seen["stem"] and seen["stem"]["stride"] == 1 and not seen["pooled"])


def _own() -> Iterator[tuple[str, dict[str, Option]]]:
    for name in list_models():
        if name == "resnet1202":  # too large to build for a look
            continue
        default = model_info(name).options.get("shortcut")
        if default in ("A", "B"):
            for shortcut in ("A", "B"):
                yield name, {} if shortcut == default else {"shortcut": shortcut}
        else:
            yield name, {}


def _torchvisions(library: str) -> list[str]:
    from torchvision.models import get_model_builder

    return [name for name in torchvision_models() if get_model_builder(name).__module__ == library]


@cache
def _built(name: str, classes: int, options: tuple[tuple[str, Option], ...]) -> Mapping[str, Any]:
    with torch.device("meta"), _Blank():
        model = create_model(name, classes=classes, seed=0, **dict(options))
    return _described(model)


@cache
def _torchvision(name: str, classes: int) -> Mapping[str, Any]:
    from torchvision.models import get_model

    with torch.device("meta"), _Blank():
        return _described(get_model(name, weights=None, num_classes=classes))


class _Blank(TorchFunctionMode):
    """Leaves out what is done to tensors in place: initial weights, which are of no interest and take seconds."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name.endswith("_") and not name.endswith("__") and args:
            return args[0]
        return func(*args, **(kwargs or {}))


def _described(model: nn.Module) -> dict[str, Any]:
    return structure(model) | {"parameters": sum(one.numel() for one in model.parameters())}


def _fits(seen: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    """Whether they are the same in everything that is seen."""
    return all(seen[name] == known[name] for name in ("convolutions", "parameters", "mish"))


def _alike(seen: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    """Whether they are the same behind the stem and before the head."""

    def behind(one: Mapping[str, Any]) -> Counter[str]:
        shapes = Counter(one["convolutions"])
        shapes[one["stem"]["shape"]] -= 1
        return +shapes

    both = seen["stem"] is not None and known["stem"] is not None
    return both and behind(seen) == behind(known) and all(seen[name] == known[name] for name in ("between", "mish"))
