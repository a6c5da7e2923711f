"""Cells: one recipe with one seed each, found again on the disk by the recipe's fingerprint.

Ladders that share a recipe share its cells, and a result of another recipe is refused whatever it is called.
"""

import dataclasses
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowres import recipes
from lowres.errors import UserError
from lowres.ladder import words
from lowres.ladder.definition import Ladder
from lowres.recipes import Recipe
from lowres.runs import Run, load_run
from lowres.runs.checkpoint import NAME as CHECKPOINT
from lowres.runs.checkpoint import PREVIOUS
from lowres.runs.folder import MODEL, RECIPE
from lowres.runs.network import weights_checksum

FOLDER = "cells"


@dataclass(frozen=True)
class Cell:
    """One training of a ladder.

    Attributes:
        rung: The name of its rung.
        seed: Of everything random in it.
        recipe: With that seed.
    """

    rung: str
    seed: int
    recipe: Recipe

    def __hash__(self) -> int:
        return hash((self.rung, self.seed))  # the recipe holds a dictionary

    @property
    def fingerprint(self) -> str:
        """Sha256 of the recipe with its seed."""
        return recipes.fingerprint(self.recipe)

    @property
    def name(self) -> str:
        """Of its folder: the fingerprint's first figures, the same for all seeds of a rung, and the seed."""
        return f"{recipe_key(self.recipe)[:12]}-s{self.seed}"


def recipe_key(recipe: Recipe) -> str:
    """The fingerprint of a recipe whatever its seed."""
    return recipes.fingerprint(dataclasses.replace(recipe, seed=0))


def cells_of(ladder: Ladder, seeds: Sequence[int], further: Mapping[str, Iterable[int]] | None = None) -> list[Cell]:
    """Every cell of a ladder; seed after seed, so that each finished round can be compared.

    Args:
        ladder: Its rungs.
        seeds: Of every rung.
        further: Seeds of single rungs besides.

    Raises:
        UserError: There are no seeds, or one stands twice.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise UserError(f"the seeds are {list(seeds)}, but must be at least one, each once")
    wanted = {rung.name: {*seeds, *(further or {}).get(rung.name, ())} for rung in ladder.rungs}
    rungs = list(zip(ladder.rungs, ladder.recipes(), strict=True))
    return [
        Cell(rung.name, seed, dataclasses.replace(recipe, seed=seed))
        for seed in sorted(set().union(*wanted.values()))
        for rung, recipe in rungs
        if seed in wanted[rung.name]
    ]


def seeds_there(ladder: Ladder, out: Path) -> dict[str, set[int]]:
    """The seeds that each rung has a folder of, finished or not."""
    found: dict[str, set[int]] = {}
    for rung, recipe in zip(ladder.rungs, ladder.recipes(), strict=True):
        stem = recipe_key(recipe)[:12] + "-s"
        seeds = (path.name.removeprefix(stem) for path in (out / FOLDER).glob(f"{stem}*"))
        found[rung.name] = {int(seed) for seed in seeds if seed.isdecimal()}
    return found


def runs_of(out: Path, cell: Cell) -> list[Run]:
    """The run folders of a cell, finished ones first.

    Raises:
        UserError: One is damaged, or is of another recipe than the cell.
    """
    place = out / FOLDER / cell.name
    runs = [_verified(load_run(path.parent), cell.recipe) for path in sorted(place.glob(f"*/{RECIPE}"))]
    return sorted(runs, key=lambda run: run.result is None)


def finished(out: Path, cell: Cell) -> Run | None:
    """The cell's finished run, if it has one."""
    return next((run for run in runs_of(out, cell) if run.result is not None), None)


def begun(out: Path, cell: Cell) -> Run | None:
    """The cell's unfinished run that left a checkpoint, if it has one."""
    for run in runs_of(out, cell):
        if run.result is None and any((run.folder / name).exists() for name in (CHECKPOINT, PREVIOUS)):
            return run
    return None


@dataclass(frozen=True)
class Plan:
    """What a ladder has and lacks.

    Attributes:
        cells: All of them.
        done: Finished ones, by the cell's place in `cells`.
    """

    cells: tuple[Cell, ...]
    done: dict[int, Run]

    @property
    def missing(self) -> list[Cell]:
        """The cells without a result."""
        return [cell for index, cell in enumerate(self.cells) if index not in self.done]

    def accuracies(self) -> dict[str, dict[int, float]]:
        """Last-epoch test accuracy in percent, by rung and seed."""
        found: dict[str, dict[int, float]] = {cell.rung: {} for cell in self.cells}
        for index, run in self.done.items():
            found[self.cells[index].rung][self.cells[index].seed] = float(result_of(run)["accuracy"])
        return found

    def machines(self) -> dict[str, int]:
        """How many cells were trained on which machine, in words; most first."""
        return dict(Counter(words.machine(run.manifest) for run in self.done.values()).most_common())


def plan(ladder: Ladder, seeds: Sequence[int], out: Path, further: Mapping[str, Iterable[int]] | None = None) -> Plan:
    """Looks for every cell of a ladder below `out`.

    Args:
        ladder: Its rungs.
        seeds: Of every rung.
        out: The folder of all ladders.
        further: Seeds of single rungs besides.

    Raises:
        UserError: A cell's folder holds results of another recipe, or two cells were trained on other images or
            began with other weights.
    """
    cells = cells_of(ladder, seeds, further)
    runs = {index: finished(out, cell) for index, cell in enumerate(cells)}
    done = {index: run for index, run in runs.items() if run is not None}
    refuse_other_images(done.values())
    refuse_other_weights(done.values())
    return Plan(tuple(cells), done)


Data = tuple[str, int]
"""What names a recipe's images: `data` and `image_size`."""


def data_of(recipe: Recipe) -> Data:
    """What names the images of a recipe."""
    return recipe.data, recipe.image_size


def refuse_other_images(runs: Iterable[Run], here: Mapping[Data, str] | None = None) -> None:
    """Refuses runs of one data set's name that saw different images.

    Args:
        runs: Those that do not say what they saw, from before manifests did, are taken on trust.
        here: Checksums of what is loaded now.

    Raises:
        UserError: There are such.
    """
    seen = {data: (checksum, "the data that are loaded now") for data, checksum in (here or {}).items()}
    for run in runs:
        checksum = run.manifest.get("data", {}).get("content")
        if checksum is None:
            continue
        data = data_of(run.recipe)
        first, where = seen.setdefault(data, (checksum, str(run.folder)))
        _refuse_other(run, checksum, first, f"was trained on other images called {data[0]!r} than {where}")


def refuse_other_weights(runs: Iterable[Run]) -> None:
    """Refuses runs that began with a file of weights that held others than it does now, or than another run's.

    Args:
        runs: Those that do not say what they began with, from before manifests did, are taken on trust.

    Raises:
        UserError: There are such.
    """
    seen: dict[str, tuple[str, str]] = {}
    for run in runs:
        file, checksum = run.recipe.weights, run.manifest.get("weights_content")
        if not file or checksum is None:
            continue
        if file not in seen:
            now = weights_checksum(run.recipe)
            seen[file] = (now, "there are now") if now is not None else (checksum, f"{run.folder} did")
        first, where = seen[file]
        _refuse_other(run, checksum, first, f"began with other weights called {file} than {where}")


def _refuse_other(run: Run, checksum: str, first: str, words: str) -> None:
    """Refuses a run whose checksum is not the first one's, in these words."""
    if checksum != first:
        raise UserError(
            f"{run.folder} {words} ({_short(checksum)} there, {_short(first)} here): "
            "results do not mix; move the one or the other away"
        )


def _short(checksum: str) -> str:
    return checksum.removeprefix("sha256:")[:12]


def result_of(run: Run) -> dict[str, Any]:
    """Final figures of a finished run."""
    if run.result is None:
        raise UserError(f"{run.folder} has not finished")
    return run.result


def merge(ladder: Ladder, seeds: Sequence[int], source: Path, out: Path, every_seed: bool = False) -> list[Cell]:
    """Copies finished cells that another machine made and that are missing here.

    Args:
        ladder: Whose cells are wanted.
        seeds: Of every rung.
        source: The other machine's folder; run folders are found at any depth.
        out: Where `lowres ladder` keeps its cells here.
        every_seed: Whether cells of any other seed are wanted, too.

    Returns:
        The cells that were copied.

    Raises:
        UserError: The folder does not exist, holds no cell of the ladder, one whose result was made by another
            recipe than it says, one of other images, or one that began with other weights.
    """
    if not source.is_dir():
        raise UserError(f"cannot merge {source}: there is no such folder")
    theirs: dict[str, Run] = {}
    last: Run | None = None
    for path in sorted(source.rglob(RECIPE)):
        run = load_run(path.parent)
        if run.result is not None and (run.folder / MODEL).exists():
            last = _verified(run, run.recipe)
            theirs.setdefault(recipes.fingerprint(run.recipe), run)
    found = {run.recipe.seed for run in theirs.values()} if every_seed else set()
    wanted = cells_of(ladder, sorted({*seeds, *found}))
    matching = [cell for cell in wanted if cell.fingerprint in theirs]
    if not matching:
        raise UserError(f"{source} holds no finished cell of this ladder{_why_not(last, wanted)}")
    ours = {cell: finished(out, cell) for cell in wanted}
    copied = [cell for cell in matching if ours[cell] is None]
    new = [theirs[cell.fingerprint] for cell in copied]
    both = [*(run for run in ours.values() if run is not None), *new]
    refuse_other_images(both)
    refuse_other_weights(both)
    for cell, run in zip(copied, new, strict=True):
        _copy(run.folder, out / FOLDER / cell.name)
    return copied


def _copy(run: Path, place: Path) -> None:
    """Copies a run folder below `place`: it appears there as a whole or not at all."""
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".merge-") as temporary:
        copy = shutil.copytree(run, Path(temporary) / run.name, ignore=shutil.ignore_patterns(".lock", "*.part"))
        target, number = place / run.name, 1
        while target.exists():
            number += 1
            target = place / f"{run.name}-{number}"
        os.replace(copy, target)  # noqa: PTH105  of a folder


def _why_not(run: Run | None, wanted: Sequence[Cell]) -> str:
    if run is None:
        return ": there is no finished run in it"
    near = min((recipes.differences(run.recipe, cell.recipe) for cell in wanted), key=len)
    field, (there, here) = next(iter(near.items()))
    return f": {run.folder.name}, for one, has {field} {there!r}, the ladder {here!r}"


def _verified(run: Run, recipe: Recipe) -> Run:
    """The run, if it was made by this recipe and no other."""
    expected = recipes.fingerprint(recipe)
    if recipes.fingerprint(run.recipe) != expected:
        field, (there, here) = next(iter(recipes.differences(run.recipe, recipe).items()))
        raise UserError(
            f"{run.folder} holds results of another recipe: {field} is {there!r} there, {here!r} here; move it away"
        )
    if run.manifest.get("recipe_sha256", expected) != expected:
        raise UserError(
            f"{run.folder} holds results of another recipe than its {RECIPE} (their hashes differ); move it away"
        )
    return run
