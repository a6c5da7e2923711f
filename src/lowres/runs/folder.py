"""A run folder: one training of one recipe on disk, and how it is opened, locked and read back."""

import contextlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
from torch import nn

from lowres import recipes
from lowres.errors import UserError
from lowres.files import expanded, write_json
from lowres.observers.history import read_history
from lowres.recipes import Recipe
from lowres.runs.weights import Weights, read_weights
from lowres.training.events import EpochDone

RECIPE = "recipe.json"
MANIFEST = "manifest.json"
HISTORY = "history.jsonl"
CURVES = "curves.png"
ADAPTATION = "adaptation.json"
MODEL = "model.safetensors"
WEIGHTS = "weights"
LOCK = ".lock"


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

    @property
    def outcome(self) -> str:
        """How it ended: "finished", "interrupted", "failed", "killed" without a word; or that it is "running"."""
        outcome = str(self.manifest.get("outcome", "running"))
        return "killed" if outcome == "running" and not is_training(self.folder) else outcome

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
            outcome, goes_on = self.outcome, f"`lowres train --resume {self.folder}` finishes it"
            hints = {"running": "wait for it", "failed": str(self.manifest.get("reason") or goes_on)}
            raise UserError(f"{self.folder} has no {MODEL}: its outcome is {outcome!r}; {hints.get(outcome, goes_on)}")
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
    folder = expanded(folder)
    if not (folder / RECIPE).exists():
        there = f"it holds no {RECIPE}" if folder.is_dir() else "it is a file"
        reason = there if folder.exists() else "there is no such folder"
        raise UserError(f"{folder} is not a run folder: {reason}")
    recipe = recipes.read(folder / RECIPE)
    manifest: dict[str, Any] = {}
    if (folder / MANIFEST).exists():
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{folder / MANIFEST} is damaged: {error}") from None
    if not isinstance(manifest, dict) or not (_is_result(manifest.get("result")) and _has_facts(manifest)):
        raise UserError(f"{folder / MANIFEST} is damaged: it is not what lowres writes")
    return Run(folder, recipe, manifest)


def _is_result(result: Any) -> bool:
    """Whether these can be a run's final figures; None are those of a run that has not finished."""
    if result is None:
        return True
    if not isinstance(result, dict) or "accuracy" not in result:
        return False
    interval = result.get("interval", [0.0, 0.0])
    figures = [result.get(name, 0) for name in ("accuracy", "parameters", "seconds", "images_per_second")]
    return (
        isinstance(interval, list)
        and len(interval) == 2
        and all(isinstance(one, int | float) for one in (*figures, *interval))
    )


def _has_facts(manifest: dict[str, Any]) -> bool:
    """Whether what a run goes on with is of its kind, as far as it is there."""
    data, versions = manifest.get("data", {}), manifest.get("versions", {})
    if not isinstance(data, dict) or not isinstance(versions, dict):
        return False
    figures = [data.get(name, []) for name in ("mean", "std")]
    numbers = all(isinstance(one, list) and all(isinstance(x, int | float) for x in one) for one in figures)
    return numbers and isinstance(data.get("dir"), str | None)


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
        try:
            write_json(folder / RECIPE, recipes.to_dict(recipe))
        except OSError as error:
            with contextlib.suppress(OSError):
                folder.rmdir()
            raise UserError(f"cannot write {folder / RECIPE}: {error.strerror}") from None
        return folder


def is_training(folder: Path) -> bool:
    """Whether a process is training in a run folder just now."""
    if not (folder / LOCK).exists():
        return False
    try:
        with filelock.FileLock(folder / LOCK, timeout=0):
            return False
    except filelock.Timeout:
        return True
    except OSError:  # a folder that only can be read: nobody trains in it
        return False


def lock(folder: Path) -> filelock.BaseFileLock:
    """Takes a run folder for this process; the lock falls with the process, however it ends.

    Raises:
        UserError: Another process is training in it.
    """
    guard = filelock.FileLock(folder / LOCK)
    try:
        guard.acquire(timeout=1)  # somebody who only looks has it for a moment
    except filelock.Timeout:
        raise UserError(f"another process is training in {folder}: wait for it or stop it") from None
    except OSError as error:
        raise UserError(f"cannot train in {folder}: {error.filename or LOCK}: {error.strerror or error}") from None
    return guard
