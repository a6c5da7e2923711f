"""Examines a network alone: `torchvision:resnet50`, `timm:NAME`, `lowres:NAME`, or a callable of a module."""

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lowres.doctor.report import Report, examine
from lowres.doctor.setup import Setup
from lowres.errors import UserError, unknown


def examine_network(target: str, *, image_size: int = 32, classes: int = 10) -> Report:
    """Builds a network with random weights and examines it for images of a size.

    Args:
        target: `torchvision:NAME`, `timm:NAME`, `lowres:NAME` or `MODULE:CALLABLE`; the callable is given no
            arguments, and its module may lie in the current folder.
        image_size: Side of the images in pixels.
        classes: Outputs, where the builder takes them.

    Raises:
        UserError: There is no such network, or it does not take such images.
    """
    if image_size < 1:
        raise UserError(f"--image-size is {image_size}, but must be at least 1")
    if classes < 2:
        raise UserError(f"--classes is {classes}, but must be at least 2")
    model = build(target, classes)
    return examine_model(model, target, image_size)


def examine_model(model: nn.Module, target: str, image_size: int) -> Report:
    """Examines a network for square images of a size, as many channels as its first convolution takes."""
    first = next((one for one in model.modules() if isinstance(one, nn.Conv2d)), None)
    channels = first.in_channels if first is not None else 3
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, channels, image_size, image_size, generator=generator)
    with torch.random.fork_rng(devices=[]):
        setup = Setup(target, model=model, pristine=model, image=images)
        network = setup.network
        if network is None:
            raise UserError(f"{target} does not take {image_size}-pixel images: {setup.notes[-1].partition(': ')[2]}")
        return examine(setup)


def build(target: str, classes: int) -> nn.Module:
    """The network that a target names, with random weights."""
    home, _, name = target.partition(":")
    maker = {"torchvision": _torchvision, "timm": _timm, "lowres": _lowres}.get(home)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = maker(name, classes) if maker is not None else _callable(home, name)
    if not isinstance(model, nn.Module):
        raise UserError(f"{target} gives a {type(model).__name__}, not a network (torch.nn.Module)")
    return model


def _torchvision(name: str, classes: int) -> nn.Module:
    import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    if name.lower() not in known:
        raise unknown("network of torchvision", name, known, "torchvision.models.list_models() lists them")
    options: dict[str, Any] = {"num_classes": classes}
    if name.lower() in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": True}
    return torchvision.models.get_model(name, weights=None, **options)  # type: ignore[no-any-return]


def _timm(name: str, classes: int) -> nn.Module:
    try:
        import timm
    except ImportError:
        raise UserError(f"timm:{name} needs timm: pip install timm") from None
    if not timm.is_model(name):
        raise unknown("network of timm", name, timm.list_models(), "timm.list_models() lists them")
    return timm.create_model(name, pretrained=False, num_classes=classes)


def _lowres(name: str, classes: int) -> nn.Module:
    from lowres.models import create_model

    return create_model(name, classes=classes, seed=0)


def _callable(home: str, name: str) -> Any:
    whole = f"{home}:{name}"
    if home.endswith(".py") or not home.replace(".", "_").isidentifier():
        example = f"{Path(home).stem or 'mymodule'}:{name or 'build'}"
        raise UserError(f"{whole}: name a module and a function or class in it, such as {example}")
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as `python -m` does
    try:
        module = importlib.import_module(home)
    except ModuleNotFoundError as error:
        raise UserError(f"{whole}: there is no module {error.name!r} here or among those installed") from None
    except (Exception, SystemExit) as error:  # whatever the user's module does
        raise UserError(f"{whole}: importing {home} raises {_said(error)}") from None
    finally:
        sys.path.pop(0)
    maker: Callable[[], Any] | None = getattr(module, name, None)
    if not callable(maker):
        made = sorted(one for one in vars(module) if not one.startswith("_"))
        raise unknown(f"callable of {home}", name, made)
    try:
        return maker()
    except TypeError as error:
        raise UserError(f"{whole}() cannot be called without arguments: {error}") from None
    except (Exception, SystemExit) as error:
        raise UserError(f"{whole}() raises {_said(error)}") from None


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
