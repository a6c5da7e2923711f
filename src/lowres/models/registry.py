"""Networks by name: each entry-point function registers itself with its options and its published figures.

Everything above asks here for a network (`create_model`) or for what is known of it (`model_info`); a new
family is one new file whose functions carry the decorator.
"""

import fnmatch
import inspect
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

import torch
from torch import nn

from lowres.errors import UserError, unknown
from lowres.models.initialise import initialise

Build = TypeVar("Build", bound=Callable[..., nn.Module])


@dataclass(frozen=True)
class Published:
    """A figure that somebody published for a network on the CIFAR-10 test set: a claim, not measured here.

    Attributes:
        accuracy: In percent.
        source: Whose claim it is, and where it stands.
        parameters: Trainable parameters, exact, of the network described; None where that is not known.
        note: What else decides the figure: the recipe, the choice of epoch, how the network differed.
    """

    accuracy: float
    source: str
    parameters: int | None = None
    note: str = ""


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a network before it is built.

    Attributes:
        name: The name `create_model` takes.
        family: The family it belongs to, such as "ResNet".
        summary: One sentence.
        options: What can be chosen beside the classes, with the defaults.
        published: Figures other people claim for it, the earliest first.
    """

    name: str
    family: str
    summary: str
    options: Mapping[str, Any]
    published: tuple[Published, ...]


@dataclass(frozen=True)
class _Entry:
    info: ModelInfo
    build: Callable[..., nn.Module]


_entries: dict[str, _Entry] = {}


def register(
    family: str, *, options_of: Callable[..., nn.Module] | None = None, published: tuple[Published, ...] = ()
) -> Callable[[Build], Build]:
    """Makes a function that builds a network known under the function's name.

    Args:
        family: The family to list it under.
        options_of: The function whose keyword-only parameters are the network's options, where the entry
            point passes them on as `**options`; by default the entry point itself.
        published: Figures other people claim for it, with their owners.

    Returns:
        A decorator that leaves the function as it is.

    Example:
        >>> @register("Linear")
        ... def linear(*, classes: int = 10, channels: int = 3) -> nn.Module:
        ...     '''A linear classifier of 32x32 images.'''
        ...     return nn.Sequential(nn.Flatten(), nn.Linear(channels * 32 * 32, classes))
    """

    def decorate(build: Build) -> Build:
        name = build.__name__
        if name in _entries:
            raise UserError(f"there is a model {name!r} already: give this one another name")
        parameters = inspect.signature(options_of or build).parameters.values()
        options = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "classes"}
        summary = (inspect.getdoc(build) or "").partition("\n")[0]
        _entries[name] = _Entry(ModelInfo(name, family, summary, MappingProxyType(options), published), build)
        return build

    return decorate


_KINDS: Mapping[type, type] = {bool: bool, float: numbers.Real, str: str}
"""What an option may be, by the type of its default; counts are looked at where layers are made of them."""


def list_models(pattern: str = "*") -> list[str]:
    """The names of all networks that match a shell pattern such as `"se*"`, in families, smaller first."""
    return fnmatch.filter(_entries, pattern.lower())


def model_info(name: str) -> ModelInfo:
    """What is known of a network before it is built.

    Raises:
        UserError: There is no such network.
    """
    return _entry(name).info


def create_model(name: str, *, classes: int = 10, seed: int | None = None, **options: Any) -> nn.Module:
    """Builds a network and initialises it (see `initialise`).

    Args:
        name: One of `list_models()`.
        classes: How many outputs it has.
        seed: Decides the initial weights. None draws one from torch's global generator, so that
            `torch.manual_seed` decides; nothing else of that generator is used.
        options: As `model_info(name).options` lists them.

    Returns:
        The network, float32, in training mode, on the default device; it takes images (N, channels, H, W) and
        gives logits (N, classes).

    Raises:
        UserError: There is no such network, it has no such option, or an option's value is not possible.

    Example:
        >>> model = create_model("resnet20", seed=1, shortcut="B")
        >>> sum(p.numel() for p in model.parameters())
        272474
    """
    entry = _entry(name)
    for option in options:
        if option not in entry.info.options:
            raise unknown(f"option of {entry.info.name}", option, entry.info.options)
        default, value = entry.info.options[option], options[option]
        kind = _KINDS.get(type(default))
        if kind and (not isinstance(value, kind) or isinstance(value, bool) != isinstance(default, bool)):
            raise UserError(f"{option} of {name} is {value!r}, but must be of the kind of its default, {default!r}")
    if seed is None:
        seed = int(torch.randint(2**63 - 1, (), device="cpu"))
    with torch.random.fork_rng(devices=[]):  # PyTorch's own initial values are drawn and then replaced
        model = entry.build(classes=classes, **options)
    initialise(model, seed)
    return model


def _entry(name: str) -> _Entry:
    if name not in _entries:
        raise unknown("model", name, _entries, hint="`lowres models` lists them")
    return _entries[name]
