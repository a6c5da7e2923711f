"""ImageNet classifiers of other libraries, by name, and the weights that were published for them.

`torchvision:resnet50` and `timm:resnet50d`; a plain `resnet50` is torchvision's. Weights come through the
libraries' own loaders, or from a file; nothing is downloaded unless it is asked for.
"""

import contextlib
import difflib
import importlib.util
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lowres.errors import UserError, unknown
from lowres.models.initialise import seeded
from lowres.models.names import plain
from lowres.models.registry import list_models
from lowres.models.weights import read_tensors, versioned

LIBRARIES = ("torchvision", "timm")
COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Published:
    """The weights a library has for a network.

    Attributes:
        name: As the library calls them.
        file: Where they lie on this machine, or would; of a hub's that are not here, the name alone, for only the
            hub's own client can put them where it finds them.
        here: Whether they do.
        source: Where the library gets them.
        mean: Per channel, taken off the pixels (in [0, 1]) in their training.
        std: Per channel, that the pixels were divided by.
    """

    name: str
    file: Path
    here: bool
    source: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


def imagenet_name(name: str) -> str | None:
    """The full name of an ImageNet classifier: "torchvision:resnet50" for "resnet50"; None for a network of ours.

    Raises:
        UserError: The library has no such classifier, or is not installed.
    """
    library, colon, short = name.partition(":")
    if not colon:
        return None if name in list_models() or name not in torchvision_models() else f"torchvision:{name}"
    if library not in LIBRARIES:
        raise unknown("library", library, LIBRARIES)
    if library == "torchvision":
        if short not in torchvision_models():
            raise unknown("torchvision classifier", short, torchvision_models(), hint="torchvision lists them")
    elif not _timm().is_model(short):
        near = difflib.get_close_matches(short, _timm().list_models(), 1)
        raise UserError(f"timm has no model {short!r}" + (f": did you mean {near[0]!r}?" if near else ""))
    return name


def torchvision_models() -> list[str]:
    """All classifiers of torchvision."""
    names: list[str] = _torchvision().list_models(module=_torchvision())
    return names


def build(name: str, *, seed: int | None = None, pretrained: bool = False, classes: int | None = None) -> nn.Module:
    """An ImageNet classifier as its library builds it.

    Args:
        name: As `imagenet_name` gives it.
        seed: Of the initial weights; PyTorch's generator stays as it was. None: that generator decides.
        pretrained: With the library's weights, which its loader downloads if they are not on this machine.
        classes: Outputs; None: those of ImageNet.

    Raises:
        UserError: The weights cannot be had; the error names their file and where to put it.
    """
    library, _, short = name.partition(":")
    options: dict[str, Any] = {} if classes is None else {"num_classes": classes}
    with seeded(seed), warnings.catch_warnings(action="ignore"):
        if library == "torchvision":
            if short in ("googlenet", "inception_v3") and not pretrained:
                options["init_weights"] = True
            weights = "DEFAULT" if pretrained else None
            with _weights_wanted(name) if pretrained else contextlib.nullcontext():
                model: nn.Module = _torchvision().get_model(short, weights=weights, **options)
        else:
            with _weights_wanted(name) if pretrained else contextlib.nullcontext():
                model = _timm().create_model(short, pretrained=pretrained, **options)
    if pretrained and hasattr(model, "transform_input"):
        vars(model)["transform_input"] = False  # the batches are normalised by the weights' own constants already
    return model


def published(name: str) -> Published | None:
    """The weights that a classifier's library has for it; None where it has none."""
    library, _, short = name.partition(":")
    if library == "torchvision":
        try:
            weights = _torchvision().get_model_weights(short).DEFAULT
        except AttributeError:
            return None
        file = _checkpoints() / weights.url.rpartition("/")[2]
        preset = weights.transforms()
        # These two take images by ImageNet's constants and turn them into this, which `build` switches off.
        halves = (0.5, 0.5, 0.5) if short in ("googlenet", "inception_v3") else None
        mean, std = halves or tuple(preset.mean), halves or tuple(preset.std)
        return Published(str(weights), file, file.is_file(), weights.url, mean, std)
    config = _timm().get_pretrained_cfg(short)
    if config is None or not config.has_weights:
        return None
    source = f"{config.hf_hub_id}/model.safetensors" if config.hf_hub_id else str(config.url)
    file = _hub_file(config.hf_hub_id) if config.hf_hub_id else _checkpoints() / source.rpartition("/")[2]
    return Published(config.architecture, file, file.is_file(), source, tuple(config.mean), tuple(config.std))


def load_file(model: nn.Module, path: Path, head: str) -> None:
    """Loads weights of a file into the network they belong to, by name; its head may be of other classes.

    Args:
        model: Changed in place; left as it was if anything does not fit.
        path: A .safetensors file, or one of PyTorch's, which is read as data only.
        head: The name of the layer that gives the logits: its tensors are skipped where their shapes differ.

    Raises:
        UserError: The file cannot be read or holds weights of another architecture.
    """
    ours = model.state_dict()
    theirs = {_renamed(plain(name).removeprefix("network.")): tensor for name, tensor in read_tensors(path).items()}
    lacking = [name for name in ours if name not in theirs and not name.endswith(COUNTER)]
    lacking = [name for name in lacking if not _auxiliary(name)]
    extra = [name for name in theirs if name not in ours and not _auxiliary(name)]
    other = [n for n in ours if n in theirs and ours[n].shape != theirs[n].shape and n.rpartition(".")[0] != head]
    if lacking or extra or other:
        first = next(iter(other), None) or next(iter(lacking), None) or extra[0]
        sizes = f", {tuple(theirs[first].shape)} there, {tuple(ours[first].shape)} here" if other else ""
        raise UserError(
            f"{path} holds weights of another architecture: {len(lacking)} tensors of the network are not in it, "
            f"{len(extra)} of its tensors have no place, {len(other)} have another shape ({first}{sizes}); "
            "name the model that they were trained with"
        )
    fitting = {n: t for n, t in theirs.items() if n in ours and ours[n].shape == t.shape}
    model.load_state_dict(versioned(model, fitting), strict=False)


def constants_of(name: str, path: Path | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation that weights were trained with, by their own metadata.

    Args:
        name: The classifier's full name.
        path: The file of weights; None: the library's.

    Raises:
        UserError: The weights tell none.
    """
    if path is not None and path.suffix == ".safetensors" and (facts := _facts(path)) is not None:
        return tuple(facts["mean"]), tuple(facts["std"])
    own = published(name) if ":" in name else None
    if own is not None and (path is None or path.name == own.file.name):
        return own.mean, own.std
    if path is None:
        raise UserError(f"there are no published weights for {name}: give --mean and --std instead")
    if not path.is_file():
        raise UserError(f"no weights file {path}")
    raise UserError(
        f"{path} does not tell the mean and deviation its weights were trained with: "
        "give them, --mean and --std, or --normalise data for those of the images"
    )


def _facts(path: Path) -> dict[str, Any] | None:
    import json

    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            facts: dict[str, Any] = json.loads((file.metadata() or {}).get("lowres", "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is not a readable safetensors file: {error}") from None
    return facts if "mean" in facts and "std" in facts else None


def _renamed(name: str) -> str:
    """The present name of a tensor in torchvision's older files: its DenseNets and ViTs were named otherwise."""
    name = re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", name)
    return name.replace(".mlp.linear_1.", ".mlp.0.").replace(".mlp.linear_2.", ".mlp.3.")


def _auxiliary(name: str) -> bool:
    return name.startswith(("aux", "AuxLogits"))


@contextlib.contextmanager
def _weights_wanted(name: str) -> Iterator[None]:
    """Says which file was wanted, and where to put it, when a library cannot get its weights."""
    own = published(name)
    if own is None:
        raise UserError(
            f"there are no published weights for {name}: train without --pretrained, or give --weights FILE"
        )
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:  # URLError is an OSError; hubs raise their own of these
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        place = f"put it at {own.file}, or anywhere and " if own.file.is_absolute() else ""
        raise UserError(
            f"cannot get the weights of {name} ({reason}): "
            f"get {own.source} on another machine and {place}name it: --weights FILE"
        ) from None


def _checkpoints() -> Path:
    """Where PyTorch's loader keeps what it downloads."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def _hub_file(repository: str) -> Path:
    """Where the hub's client keeps a model's file; its name alone where it has none."""
    name = "model.safetensors"
    if importlib.util.find_spec("huggingface_hub") is None:
        return Path(name)
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, name)
    return Path(found) if isinstance(found, str) else Path(name)


def _torchvision() -> Any:
    import torchvision.models  # here, since it takes as long as PyTorch itself, and networks of ours do without

    return torchvision.models


def _timm() -> Any:
    try:
        import timm
    except ImportError:
        raise UserError("models of timm need it installed: pip install timm") from None
    return timm
