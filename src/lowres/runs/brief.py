"""Short trainings for comparisons: on a part of a data set, without a run folder, one JSON file for each result.

A comparison that is killed goes on from the results that are there.
"""

import dataclasses
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lowres import recipes
from lowres.data import Dataset, Images, content_checksum, stratified_split
from lowres.errors import UserError
from lowres.files import write_json
from lowres.models.surgery import adaptation
from lowres.recipes import Recipe
from lowres.runs.build import Built, build
from lowres.runs.network import weights_checksum
from lowres.training.device import place, undisturbed
from lowres.training.events import EpochDone, Observer
from lowres.training.loop import fit


def part(dataset: Dataset, train: int, test: int, seed: int = 0) -> Dataset:
    """A stratified part of a data set; 0 leaves a split whole.

    Raises:
        UserError: There are not so many images.
    """
    return dataclasses.replace(dataset, train=_part(dataset.train, train, seed), test=_part(dataset.test, test, seed))


def of_classes(dataset: Dataset, labels: Sequence[int]) -> Dataset:
    """The images of some classes alone, which are numbered anew in the order given."""

    def chosen(images: Images) -> Images:
        new = torch.full((len(images.classes),), -1)
        new[list(labels)] = torch.arange(len(labels))
        rows = (new[images.labels] >= 0).nonzero()[:, 0]
        names = tuple(images.classes[label] for label in labels)
        return Images(images.images[rows], new[images.labels[rows]], names)

    return dataclasses.replace(dataset, train=chosen(dataset.train), test=chosen(dataset.test))


def brief(
    recipe: Recipe,
    dataset: Dataset,
    *,
    device: str = "auto",
    kept: Path | None = None,
    curve: bool = True,
    emit: Observer = lambda event: None,
) -> tuple[dict[str, Any], nn.Module | None]:
    """Trains a recipe on a data set as it is given, and scores it on its test images.

    Args:
        recipe: What to train; its `data` is not looked at.
        dataset: What to train it on.
        device: "auto", "cpu", "cuda", ...
        kept: The file its result is kept in: read where it is there and of this recipe and these images.
        curve: Whether it is scored after every epoch; otherwise after the last alone.
        emit: Told what happens.

    Returns:
        The result as plain values, and the network; None where the result was there already.
    """
    key = {
        "recipe_sha256": recipes.fingerprint(recipe),
        "train_images": len(dataset.train),
        "test_images": len(dataset.test),
        "content": content_checksum(dataset),
        **({"weights_content": weights_checksum(recipe)} if recipe.weights else {}),
    }
    if kept is not None and kept.exists():
        found = recipes.read_object(kept, "result", "")
        if all(found.get(name) == value for name, value in key.items()):
            return found, None
    history: list[dict[str, Any]] = []
    placement = place(recipe, device)
    with undisturbed(placement.device):
        built = build(recipe, dataset, placement)
        started = time.perf_counter()
        watch = built.watch if curve else _unwatched
        fit(built.learner, built.batches, built.plan(), evaluate=watch, emit=emit, keep=_keep(history))
        seconds = time.perf_counter() - started
        final = built.score(built.learner.final, built.test)
    result = {**key, **_result(built, history, seconds), "accuracy": final.accuracy, "loss": final.loss}
    result["interval"] = list(final.interval)
    if kept is not None:
        write_json(kept, result)
    return result, built.learner.final


def _unwatched(model: nn.Module) -> tuple[float, float]:
    return math.nan, math.nan


def _keep(history: list[dict[str, Any]]) -> Any:
    def keep(learner: object, record: EpochDone) -> None:
        names = ("train_loss", "train_accuracy", "loss", "accuracy", "images_per_second")
        values = {name: getattr(record, name) for name in names}
        history.append({name: value for name, value in values.items() if value is not None and math.isfinite(value)})

    return keep


def _result(built: Built, history: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    report = adaptation(built.learner.model)
    return {
        "model": built.recipe.model,
        "epochs": built.recipe.epochs,
        "seed": built.recipe.seed,
        "parameters": built.parameters,
        "precision": built.placement.precision,
        "changes": [] if report is None else [str(change) for change in report.changes],
        "history": history,
        "seconds": seconds,
    }


def _part(images: Images, count: int, seed: int) -> Images:
    if count == 0:
        return images
    if not 0 < count <= len(images):
        raise UserError(f"{count} images are asked for, but there are {len(images)}")
    return images.subset(stratified_split(images.labels, count, seed)[1])
