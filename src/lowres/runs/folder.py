"""A run folder: one training of one recipe on disk, and how it is opened, locked and read back."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from lowres import recipes
from lowres.errors import UserError
from lowres.files import atomic, write_json
from lowres.models import create_model
from lowres.observers.history import read_history
from lowres.recipes import Recipe
from lowres.training.events import EpochDone

RECIPE = "recipe.json"
MANIFEST = "manifest.json"
HISTORY = "history.jsonl"
CURVES = "curves.png"
MODEL = "model.safetensors"
WEIGHTS = "weights"


@dataclass(frozen=True)
class Weights:
    """A trained network's file: weights, and what is needed to use them.

    Attributes:
        path: The safetensors file.
        recipe: What it was trained with.
        classes: Names in the order of the outputs.
        mean: Taken off the pixels (in [0, 1]), per channel.
        std: The pixels are divided by it, per channel.
        precision: Arithmetic it was evaluated in.
        channels_last: Layout it was evaluated in.
    """

    path: Path
    recipe: Recipe
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    precision: str
    channels_last: bool

    def build(self) -> nn.Module:
        """The network with these weights, in evaluation mode, on the CPU."""
        from safetensors.torch import load_file

        options = self.recipe.model_options
        model = create_model(self.recipe.model, classes=len(self.classes), channels=len(self.mean), seed=0, **options)
        model.load_state_dict(load_file(self.path))
        return model.eval()


@dataclass(frozen=True)
class Run:
    """A finished or unfinished run, read from its folder."""

    folder: Path
    recipe: Recipe
    manifest: dict[str, Any]

    @property
    def result(self) -> dict[str, Any] | None:
        """Final figures, or None for a run that has not finished."""
        result: dict[str, Any] | None = self.manifest.get("result")
        return result

    def history(self) -> list[EpochDone]:
        """One record an epoch."""
        path = self.folder / HISTORY
        return read_history(path) if path.exists() else []

    def weights(self) -> Weights:
        """The final weights.

        Raises:
            UserError: The run has not finished.
        """
        path = self.folder / MODEL
        if not path.exists():
            outcome = self.manifest.get("outcome", "unfinished")
            raise UserError(
                f"{self.folder} has no {MODEL}: its outcome is {outcome!r}; "
                f"`lowres train --resume {self.folder}` finishes it"
            )
        return read_weights(path)

    def model(self) -> nn.Module:
        """The final network, in evaluation mode, on the CPU."""
        return self.weights().build()


def load_run(folder: str | Path) -> Run:
    """Reads a run folder.

    >>> load_run("runs/resnet20-cifar10-s0").result["accuracy"]  # doctest: +SKIP

    Raises:
        UserError: It is not a run folder, or what it holds is damaged.
    """
    folder = Path(folder)
    if not (folder / RECIPE).exists():
        reason = f"it holds no {RECIPE}" if folder.is_dir() else "there is no such folder"
        raise UserError(f"{folder} is not a run folder: {reason}")
    recipe = recipes.read(folder / RECIPE)
    manifest: dict[str, Any] = {}
    if (folder / MANIFEST).exists():
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{folder / MANIFEST} is damaged: {error}") from None
    return Run(folder, recipe, manifest)


def create(out: Path, recipe: Recipe) -> Path:
    """Makes a new run folder named for the recipe, its data and its seed, with the recipe in it.

    Returns:
        `out/<recipe>-<data>-s<seed>`, with `-2`, `-3`, ... where that is taken.

    Raises:
        UserError: It cannot be made.
    """
    data = Path(recipe.data.removeprefix("folder:")).name if recipe.data.startswith("folder:") else recipe.data
    stem = re.sub(r"[^\w.-]+", "-", f"{recipe.name}-{data}-s{recipe.seed}")
    number = 1
    while True:
        folder = out / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if not folder.is_dir():
                raise UserError(f"cannot make the run folder {folder}: a file is in its place") from None
            number += 1
            continue
        except OSError as error:
            raise UserError(f"cannot make the run folder {folder}: {error.strerror}") from None
        write_json(folder / RECIPE, recipes.to_dict(recipe))
        return folder


def lock(folder: Path) -> filelock.BaseFileLock:
    """Takes a run folder for this process; the lock falls with the process, however it ends.

    Raises:
        UserError: Another process is training in it.
    """
    guard = filelock.FileLock(folder / ".lock")
    try:
        guard.acquire(timeout=0)
    except filelock.Timeout:
        raise UserError(f"another process is training in {folder}: wait for it or stop it") from None
    return guard


def write_weights(
    path: Path, model: nn.Module, recipe: Recipe, facts: dict[str, Any], *, classes: tuple[str, ...]
) -> None:
    """Writes a network's weights as safetensors, with all that is needed to use them.

    Args:
        path: The file.
        model: Its tensors are stored under its own names.
        recipe: Stored in full, with its fingerprint.
        facts: "mean", "std", "precision", "channels_last", and whatever else is worth keeping.
        classes: Names in the order of the outputs.
    """
    tensors: dict[str, Tensor] = {
        # A copy in the ordinary layout: safetensors knows no other.
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in model.state_dict().items()
    }
    metadata = {
        "format": "pt",
        "recipe": json.dumps(recipes.to_dict(recipe)),
        "recipe_sha256": recipes.fingerprint(recipe),
        "classes": json.dumps(list(classes)),
        **{key: json.dumps(value) for key, value in facts.items()},
    }
    with atomic(path) as temporary:
        save_file(tensors, temporary, metadata)


def read_weights(path: Path) -> Weights:
    """Reads what stands beside the weights in a file of `write_weights`.

    Raises:
        UserError: The file is missing, damaged, or was not written by lowres.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except FileNotFoundError:
        raise UserError(f"no weights file {path}") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is not a readable safetensors file: {error}") from None
    try:
        return Weights(
            path=path,
            recipe=recipes.from_dict(json.loads(metadata["recipe"]), str(path)),
            classes=tuple(json.loads(metadata["classes"])),
            mean=tuple(json.loads(metadata["mean"])),
            std=tuple(json.loads(metadata["std"])),
            precision=json.loads(metadata["precision"]),
            channels_last=json.loads(metadata["channels_last"]),
        )
    except (KeyError, ValueError) as error:
        raise UserError(
            f"{path} lacks what lowres writes beside its weights ({error}): "
            "for weights of another program give --model and --data"
        ) from None
