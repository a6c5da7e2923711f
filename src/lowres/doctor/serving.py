"""What the observed program is served in place of the network: data sets from local files, weights, or stand-ins.

Nothing is downloaded. CIFAR comes through `lowres.data`, which runs nothing that lies in a pickle.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.utils.model_zoo
from torch import nn

from lowres.data import Dataset as Data
from lowres.data import load_dataset
from lowres.doctor.paths import at_home
from lowres.doctor.recorder import Recorder
from lowres.errors import UserError

SHAPES = {
    "MNIST": (1, 28, 10, 60_000, 10_000),
    "FashionMNIST": (1, 28, 10, 60_000, 10_000),
    "KMNIST": (1, 28, 10, 60_000, 10_000),
    "SVHN": (3, 32, 10, 73_257, 26_032),
    "STL10": (3, 96, 10, 5_000, 8_000),
}
"""Channels, side, classes, training and test images of what stand-ins are made of."""


class StandIn(OrderedDict[str, Any]):
    """Weights that are not here: loading them changes nothing, and the network counts as pretrained."""

    name = ""


@dataclass
class Kitchen:
    """Serves data and weights while a recorder is entered.

    Attributes:
        home: The folder that the program's relative paths start from.
        data_dir: Where data lie, before any folder that the program names.
        notes: What was served in the place of something else, a line each.
        pretrained: Networks that were given weights, by identity, and the weights' name.
        made_up: Whether any images are stand-ins.
        loaded: Data sets that were read before, by name.
    """

    home: Path
    data_dir: Path | None
    notes: list[str] = field(default_factory=list)
    pretrained: dict[int, str] = field(default_factory=dict)
    made_up: bool = False
    loaded: dict[str, Any] = field(default_factory=dict)

    def serve(self, recorder: Recorder) -> None:
        """Puts local files in the place of downloads until the recorder is left."""
        from torchvision import datasets
        from torchvision.models import _api

        recorder.patch(datasets.CIFAR10, "__init__", lambda original: _method(self._cifar))
        for name in ("MNIST", "SVHN", "STL10"):
            recorder.patch(getattr(datasets, name), "__init__", self._other)
        recorder.patch(_api.WeightsEnum, "get_state_dict", lambda original: _method(self._weights))
        for module, name in ((torch.hub, "load_state_dict_from_url"), (torch.utils.model_zoo, "load_url")):
            recorder.patch(module, name, lambda original: self._weights_from_url)
        recorder.patch(nn.Module, "load_state_dict", self._load)
        try:
            from timm.models import _builder
        except ImportError:
            return
        recorder.patch(_builder, "load_pretrained", lambda original: self._timm)

    def _cifar(
        self,
        dataset: Any,
        root: Any = "data",
        train: bool = True,
        transform: Any = None,
        target_transform: Any = None,
        download: bool = False,
    ) -> None:
        from torchvision.datasets import CIFAR100, VisionDataset

        VisionDataset.__init__(dataset, root, transform=transform, target_transform=target_transform)
        name = "cifar100" if isinstance(dataset, CIFAR100) else "cifar10"
        loaded = self.loaded.get(name) or self._read(name, root)
        self.loaded[name] = loaded
        images, labels, classes = loaded[0 if train else 1]
        dataset.train, dataset.data, dataset.targets = bool(train), images, list(labels)
        dataset.classes = list(classes)
        dataset.class_to_idx = {one: i for i, one in enumerate(classes)}

    def _read(self, name: str, root: Any) -> Any:
        for place in (self.data_dir, self._place(root)):
            try:
                read = load_dataset(name, place) if place is not None else None
            except UserError as error:
                if place == self.data_dir:
                    self.notes.append(str(error))
                continue
            if read is not None:
                return plain_splits(read)
        classes = 100 if name == "cifar100" else 10
        self._note_stand_in(name)
        return [(*made_up(count, 3, 32, classes, count), range(classes)) for count in (50_000, 10_000)]

    def _place(self, root: Any) -> Path:
        return at_home(Path(str(root).replace("\\", "/")).expanduser(), self.home)

    def _note_stand_in(self, name: str) -> None:
        self.made_up = True
        self.notes.append(
            f"{name} is not here: made-up images of its shape stand in for it, and what the images themselves would "
            f"show is not checked (--data-dir names their folder)"
        )

    def _other(self, original: Callable[..., None]) -> Callable[..., None]:
        def init(dataset: Any, root: Any = "data", *args: Any, **kwargs: Any) -> None:
            kwargs.pop("download", None)
            for place in (one for one in (self.data_dir, self._place(root)) if one is not None and one.is_dir()):
                try:
                    original(dataset, place, *args, **kwargs)
                except (RuntimeError, OSError):
                    continue
                return
            self._stand_in(dataset, root, *args, **kwargs)

        return init

    def _stand_in(self, dataset: Any, root: Any, *args: Any, **kwargs: Any) -> None:
        from torchvision.datasets import VisionDataset

        kind = next((one.__name__ for one in type(dataset).__mro__ if one.__name__ in SHAPES), "MNIST")
        split = args[0] if args else kwargs.get("train", kwargs.get("split", True))
        train = split not in (False, "test")
        rest = dict(zip(("transform", "target_transform"), args[1:], strict=False)) | kwargs
        VisionDataset.__init__(
            dataset, root, transform=rest.get("transform"), target_transform=rest.get("target_transform")
        )
        channels, side, classes, *counts = SHAPES[kind]
        images, labels = made_up(counts[0 if train else 1], channels, side, classes, counts[0 if train else 1])
        self._note_stand_in(kind)
        dataset.train, dataset.split = train, "train" if train else "test"
        if channels == 1:
            dataset.data, dataset.targets = torch.from_numpy(images[..., 0].copy()), torch.tensor(labels)
        else:
            dataset.data, dataset.labels = images.transpose(0, 3, 1, 2), np.array(labels)
            dataset.targets = dataset.labels

    def _weights(self, weights: Any, *args: Any, **kwargs: Any) -> Any:
        return self._weights_from_url(weights.url, name=str(weights))

    def _weights_from_url(self, url: str, *args: Any, name: str = "", **kwargs: Any) -> Any:
        file = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
        if file.is_file():
            state = StandIn(torch.load(file, map_location="cpu", weights_only=True))
        else:
            state = StandIn()
            self.notes.append(f"{name or url} are not here: the network is examined as it is without them")
        state.name = name or url.rpartition("/")[2]
        return state

    def _load(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def load(module: nn.Module, state_dict: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(state_dict, StandIn):
                self.pretrained[id(module)] = state_dict.name
                if not state_dict:
                    return nn.modules.module._IncompatibleKeys([], [])
            return original(module, state_dict, *args, **kwargs)

        return load

    def _timm(self, model: nn.Module, *args: Any, **kwargs: Any) -> None:
        self.pretrained[id(model)] = "timm's weights"
        self.notes.append("timm's weights are not here: the network is examined as it is without them")


def plain_splits(read: Data) -> list[Any]:
    """Training and test images as torchvision keeps them: uint8, (N, H, W, C); labels; names of the classes."""
    splits = (read.train, read.test)
    return [(s.images.permute(0, 2, 3, 1).numpy(), s.labels.tolist(), s.classes) for s in splits]


def _method(bound: Callable[..., Any]) -> Callable[..., Any]:
    """A function that a class binds to its own objects, unlike a method that is bound already."""
    return lambda *args, **kwargs: bound(*args, **kwargs)


def made_up(count: int, channels: int, side: int, classes: int, seed: int) -> tuple[Any, list[int]]:
    """Images that have the variation of photographs and mean nothing: uint8, (N, side, side, C), and labels."""
    generator = np.random.default_rng(seed)
    cells = -(-side // 4)
    coarse = generator.integers(0, 256, (count, cells, cells, channels), dtype=np.uint8)
    images = coarse.repeat(4, axis=1).repeat(4, axis=2)[:, :side, :side]
    return np.ascontiguousarray(images), generator.integers(0, classes, count).tolist()
