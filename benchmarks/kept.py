"""Trainings that scripts here keep in a folder, so that they may be ended at any moment and called again."""

from pathlib import Path

from lowres.recipes import Recipe, fingerprint
from lowres.runs import Run, load_run, train


def find(folder: Path, recipe: Recipe) -> Run | None:
    """A run of the recipe and its seed: one that has finished, or else the last that was begun."""
    begun = None
    for path in sorted(folder.glob("*/recipe.json")):
        run = load_run(path.parent)
        if fingerprint(run.recipe) == fingerprint(recipe):
            if run.result is not None:
                return run
            begun = run
    return begun


def run_of(recipe: Recipe, folder: Path, data_dir: Path | None, device: str) -> Run:
    """The finished run of a recipe: found, gone on with, or made."""
    run = find(folder, recipe)
    if run is not None and run.result is not None:
        return run
    return train(recipe, data_dir=data_dir, out=folder, device=device, resume=None if run is None else run.folder)
