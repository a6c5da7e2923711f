"""Loads weights that another program saved, under whatever names, into a network here.

Files are read as data and never executed. Tensors are matched by name, or else by structure and shape; only
when each has found its place is the network changed.
"""

import pickle
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from lowres.errors import UserError
from lowres.models.keras import from_keras, is_keras
from lowres.models.names import natural_key, plain, role

CONTAINERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params")
COUNTER = "num_batches_tracked"
PYTORCH = (".pt", ".pth", ".th", ".ckpt", ".bin", ".tar")


@dataclass(frozen=True)
class MatchReport:
    """What went where.

    Attributes:
        how: "name", or "structure" where the names differ.
        pairs: The network's tensor and the source's, by name, in the network's order.
        ignored: Entries of the source that are no weights.
    """

    how: Literal["name", "structure"]
    pairs: tuple[tuple[str, str], ...]
    ignored: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"{len(self.pairs)} tensors matched by {self.how}"
        if self.how == "structure":
            first, last = self.pairs[0], self.pairs[-1]
            text += f" ({first[0]} <- {first[1]} ... {last[0]} <- {last[1]})"
        return text + (f"; ignored {_some(self.ignored)}" if self.ignored else "")


@dataclass
class _Layer:
    """The tensors that share a path, by their last name."""

    path: str
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def signature(self) -> tuple[object, ...]:
        return role(self.path), *sorted((name, tuple(t.shape)) for name, t in self.tensors.items())

    def names(self) -> list[str]:
        return [f"{self.path}.{name} {tuple(tensor.shape)}" for name, tensor in self.tensors.items()]


def load_weights(model: nn.Module, source: Path | str | Mapping[str, Tensor]) -> MatchReport:
    """Loads weights into a network, matching names or, where they differ, structure and shapes.

    The prefixes of torch.compile and data parallelism are taken off on both sides. If all names then agree,
    names decide. Otherwise layers (tensors that share a path) are sorted by role (shortcut,
    squeeze-and-excite, inside a block, stem or head) and by their tensors' names and shapes, and the k-th of
    a sort here takes the k-th of that sort there. Names in alphabetical order say nothing of the order of
    layers; then the numbers in them do. Batch norm's `num_batches_tracked` may be absent.

    Args:
        model: The network. It is left as it was if anything does not fit.
        source: A file, or tensors by name. Files are .safetensors; .pt, .pth, .th, .ckpt, .bin or .tar as
            torch.save writes them, bare or within {"state_dict": ...}, {"net": ...} and the like; .npz, also
            with arrays in Keras's layout.

    Returns:
        What went where.

    Raises:
        UserError: The file is missing, damaged or holds more than data; a tensor on one side has none on the
            other.

    Example:
        >>> from lowres.models import create_model
        >>> model = create_model("resnet20")
        >>> print(load_weights(model, {f"module.{k}": v for k, v in model.state_dict().items()}))
        97 tensors matched by name
    """
    label = "the source" if isinstance(source, Mapping) else Path(source).name
    found, ignored = _tensors(source) if isinstance(source, Mapping) else _read(Path(source))
    ours = {plain(name): tensor for name, tensor in model.state_dict().items()}
    theirs = {plain(name): tensor for name, tensor in found.items()}
    if not theirs or len(theirs) < len(found):
        raise UserError(f"{label} holds {'the same names twice' if theirs else 'no tensors'}: give a state_dict")
    by_name = _weights(ours).keys() == _weights(theirs).keys()
    places = {name: name for name in _weights(ours)} if by_name else _by_structure(ours, theirs, label)
    for mine, other in places.items():
        kinds = [(tensor.shape, tensor.is_floating_point()) for tensor in (ours[mine], theirs[other])]
        if kinds[0] != kinds[1]:
            raise UserError(
                f"{other} in {label} is {_describe(theirs[other])}, in the network {_describe(ours[mine])}: "
                "build the network with the options it was trained with"
            )
    counters = {_counter(mine): _counter(other) for mine, other in places.items()}
    for mine, other in (places | counters).items():
        if mine in ours and other in theirs:  # as all weights are by now; counters need not be
            ours[mine].copy_(theirs[other])
    return MatchReport("name" if by_name else "structure", tuple(places.items()), ignored)


def read_tensors(path: Path | str) -> dict[str, Tensor]:
    """The tensors of a file of weights, by name, as `load_weights` reads it.

    Raises:
        UserError: The file is missing, damaged or holds more than data.
    """
    return _read(Path(path))[0]


def versioned(model: nn.Module, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Tensors by name, as `load_state_dict` wants them: with the versions of this network's layers.

    Files hold tensors alone; some layers (torchvision's MNASNet) refuse a state without their version.
    """
    state = OrderedDict(tensors)
    state._metadata = getattr(model.state_dict(), "_metadata", {})  # type: ignore[attr-defined]
    return state


def _counter(name: str) -> str:
    return f"{name.rpartition('.')[0]}.{COUNTER}"


def _weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if not name.endswith(COUNTER)}


def _by_structure(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], label: str) -> dict[str, str]:
    """The k-th layer of a sort on one side to the k-th on the other: source names by network names."""
    mine, other = _sorts(ours), _sorts(theirs)
    fit = {key for key in mine.keys() & other.keys() if len(mine[key]) == len(other[key])}
    here, there = (
        [n for key in side if key not in fit for x in side[key] for n in x.names()] for side in (mine, other)
    )
    if here or there:
        raise UserError(
            f"{label} does not fit: {len(here)} tensors of the network find none ({_some(here)}), "
            f"{len(there)} of {label} have no place ({_some(there)}); check the model's name and options"
        )
    partner = {a.path: b.path for key in fit for a, b in zip(mine[key], other[key], strict=True)}
    split = ((name, *name.rpartition(".")) for name in _weights(ours))
    return {name: f"{partner[path]}{dot}{last}" for name, path, dot, last in split}


def _sorts(tensors: Mapping[str, Tensor]) -> dict[tuple[object, ...], list[_Layer]]:
    """Layers by role, tensors' names and shapes; each list in the network's order."""
    names = list(_weights(tensors))
    if names == sorted(names):
        names.sort(key=natural_key)
    layers: dict[str, _Layer] = {}
    for name in names:
        path, _, last = name.rpartition(".")
        layers.setdefault(path, _Layer(path)).tensors[last] = tensors[name]
    sorts: dict[tuple[object, ...], list[_Layer]] = {}
    for layer in layers.values():
        sorts.setdefault(layer.signature(), []).append(layer)
    return sorts


def _read(path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The tensors of a file, and the names of what else it holds."""
    if path.is_dir():
        raise UserError(f"{path} is a folder: name the file of weights in it")
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    if path.suffix.lower() not in (".safetensors", ".npz", *PYTORCH):
        known = ", ".join((".safetensors", ".npz", *PYTORCH))
        raise UserError(f"{path.name} is none of the files that can be read: {known}")
    try:
        return _parse(path)
    except Exception as error:  # whatever a parser makes of a damaged file
        if isinstance(error, pickle.UnpicklingError) and "GLOBAL" in str(error):
            raise UserError(
                f"{path.name} holds Python objects, which are not executed here: save the tensors alone, "
                "torch.save(model.state_dict(), ...), or as .safetensors"
            ) from error
        raise UserError(f"{path.name} is damaged or no checkpoint: get it again") from error


def _parse(path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    if path.suffix.lower() in PYTORCH:
        with warnings.catch_warnings(action="ignore"):  # an error follows where one of them matters
            return _tensors(torch.load(path, map_location="cpu", weights_only=True))
    ignored: tuple[str, ...] = ()
    if path.suffix.lower() == ".safetensors":
        tensors = safetensors.torch.load_file(path)
    else:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = dict(file)
        if is_keras(arrays):
            tensors, ignored = from_keras(arrays)
        else:
            tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return dict(sorted(tensors.items())), ignored  # these formats keep no order of their own


def _tensors(source: Any) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The tensors of a checkpoint, out of its container if it has one, and the names of other entries."""
    if not isinstance(source, Mapping):
        return {}, ()
    for container in CONTAINERS:
        if isinstance(source.get(container), Mapping):
            return _tensors(source[container])
    tensors = {str(name): value for name, value in source.items() if isinstance(value, Tensor)}
    return tensors, tuple(str(name) for name, value in source.items() if not isinstance(value, Tensor))


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _some(names: list[str] | tuple[str, ...]) -> str:
    """The first few names."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
