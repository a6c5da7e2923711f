"""From a recipe to a finished run folder: builds what the recipe names, trains it, keeps all that resume needs."""

import contextlib
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lowres import recipes
from lowres.data import content_checksum, load_dataset
from lowres.errors import UserError
from lowres.files import expanded, write_json
from lowres.models.surgery import adaptation
from lowres.observers.curves import Curves
from lowres.observers.history import History
from lowres.recipes import Recipe
from lowres.runs import checkpoint, folder, manifest
from lowres.runs.build import Built, build
from lowres.runs.failures import explained
from lowres.runs.folder import Run
from lowres.runs.network import require_model, weights_checksum
from lowres.runs.weights import Facts, write_weights
from lowres.training.device import memory_told, place, undisturbed
from lowres.training.events import EpochDone, Event, Finished, Observer, Started, Stopped
from lowres.training.loop import Learner, fit


def train(
    recipe: Recipe | str | None = None,
    *,
    data_dir: str | Path | None = None,
    out: str | Path = "runs",
    device: str = "auto",
    resume: str | Path | None = None,
    observers: Sequence[Observer] = (),
    keep_weights: int = 0,
    strict_data: bool = False,
) -> Run:
    """Trains a recipe into a new run folder, or goes on with one that was interrupted.

    >>> run = train("digits", out="runs")  # doctest: +SKIP
    >>> run.result["accuracy"], run.result["interval"]  # doctest: +SKIP

    Args:
        recipe: A recipe or the name of one; may be left out with `resume`.
        data_dir: Where the data lie; None: the folder that was named when a run that is resumed began; otherwise
            the one that LOWRES_DATA_DIR names, or `data/` here.
        out: The folder that run folders are made in.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        resume: A run folder to go on with; ends with the very weights an undisturbed run has.
        observers: Told what happens, beside the run folder's own history and curves.
        keep_weights: Keep the weights of every so many epochs in `weights/`; 0: of none.
        strict_data: Refuse data whose bytes differ from the official release.

    Returns:
        The finished run.

    Raises:
        UserError: Bad input, a full disk, or a loss that is not a number.
        KeyboardInterrupt: Stopped by the user; every finished epoch is kept.
    """
    if isinstance(recipe, str):
        recipe = recipes.load_recipe(recipe)
    begun = None if resume is None else _begun(expanded(resume), recipe)
    if begun is not None:
        recipe = begun.recipe
    if recipe is None:
        raise UserError("nothing to train: name a recipe (`lowres recipes` lists them) or a run to resume")
    if keep_weights < 0:
        raise UserError(f"keep_weights is {keep_weights}, but must be at least 0")
    require_model(recipe)
    placement = place(recipe, device)
    if data_dir is None and begun is not None:
        data_dir = begun.manifest.get("data", {}).get("dir")
    data_dir = None if data_dir is None else expanded(data_dir)
    with memory_told(torch.device("cpu")):  # images are kept whole
        dataset = load_dataset(recipe.data, data_dir, image_size=recipe.image_size, strict=strict_data)
    with undisturbed(placement.device, deterministic=recipe.deterministic):  # training reseeds every epoch
        constants, state = None, None
        if begun is not None:
            constants = _constants(begun)
            state = _checkpoint(begun.folder, recipe)[0]["learner"]["model"] if recipe.probe else None
        with memory_told(placement.device):
            built = build(recipe, dataset, placement, begun=constants, state=state, gradients=8)
        place_of_run = begun.folder if begun is not None else folder.create(expanded(out), recipe)
        with folder.lock(place_of_run):
            if begun is not None:
                _begun(begun.folder, recipe)  # somebody may have finished it meanwhile
            session = _Session(place_of_run, built, observers, data_dir, keep_weights)
            session.run(resumed=begun is not None)
    return folder.load_run(place_of_run)


class _Session:
    """One sitting of a run: the folder's files are written here and nowhere else."""

    def __init__(
        self, path: Path, built: Built, observers: Sequence[Observer], data_dir: Path | None, keep_weights: int
    ) -> None:
        self.path = path
        self.built = built
        self.data_dir = data_dir
        self.keep_weights = keep_weights
        self.history = History(path / folder.HISTORY)
        self.listeners: list[Observer] = [
            Curves(path / folder.HISTORY, path / folder.CURVES, recipes.published(built.recipe)),
            *observers,
        ]
        self.content = content_checksum(built.dataset)
        self.weights_content = weights_checksum(built.recipe)
        self.started = manifest.now()
        self.preparation = built.preparation
        self.kept = 0  # epochs that a checkpoint holds
        self.earlier: list[dict[str, Any]] = []  # sittings on another machine or with other threads
        self.description = {
            **manifest.describe(built.placement.device),
            "git": manifest.git_state(Path.cwd()),
            "command": sys.argv,
        }

    def emit(self, event: Event) -> None:
        for listener in self.listeners:
            listener(event)

    def run(self, *, resumed: bool) -> None:
        """Trains to the end, or says why not."""
        built, learner = self.built, self.built.learner
        report = adaptation(built.learner.model)
        notes = [*built.placement.notes, *built.dataset.warnings, *(report.lines(table=False) if report else ())]
        if resumed:
            notes += self._resume()
        started = Started(
            run=self.path,
            name=built.recipe.name,
            epochs=built.recipe.epochs,
            epoch=learner.epoch,
            steps_per_epoch=len(built.batches),
            parameters=built.parameters,
            images=built.training_images,
            notes=tuple(notes),
        )
        try:
            self._write_manifest("running")  # first: it has the constants that a run with a checkpoint goes on with
            if report is not None and not resumed:  # its gradients are those of the first weights
                write_json(self.path / folder.ADAPTATION, report.to_dict())
            if not resumed:
                self._save()
            self.history(started)
            self.emit(started)
            fit(
                learner,
                built.batches,
                built.plan(),
                evaluate=self._evaluate,
                evaluated_on="test" if built.validation is None else "validation",
                emit=self.emit,
                keep=self._keep,
            )
            result = self._finish()
        except KeyboardInterrupt:
            reason = f"interrupted: `lowres train --resume {shlex.quote(str(self.path))}` goes on"
            self._stop("interrupted", reason)
            raise KeyboardInterrupt(reason) from None
        except UserError as error:
            self._stop("failed", str(error))
            raise
        except OSError as error:
            reason = f"{error.filename or self.path}: {error.strerror or error}; the last good checkpoint is kept"
            self._stop("failed", reason)
            raise UserError(f"{reason}; then `lowres train --resume {shlex.quote(str(self.path))}`") from None
        except Exception as error:
            reason, advice = explained(error, built.placement.device)
            self._stop("failed", reason)
            if not advice:
                raise
            raise UserError(f"{reason}; {advice}") from None
        self.emit(Finished(self.path, result))

    def _evaluate(self, model: nn.Module) -> tuple[float, float]:
        return self.built.watch(model)

    def _resume(self) -> list[str]:
        """Takes up the last checkpoint; returns what there is to say about it."""
        state, warning = _checkpoint(self.path, self.built.recipe)
        self.built.learner.load_state_dict(state["learner"])
        begun = folder.load_run(self.path).manifest
        before = begun.get("data", {}).get("content", self.content)
        if before != self.content:
            raise UserError(
                f"{self.path} was begun on other images called {self.built.recipe.data!r}: their checksums differ; "
                "point --data-dir to those it had, or train anew without --resume"
            )
        self.weights_content = begun.get(
            "weights_content"
        )  # the file is not needed any more, and may be another by now
        self.started = begun.get("started", self.started)
        self.preparation = begun.get("preparation_seconds", 0.0)
        self.kept = self.built.learner.epoch
        notes = [warning] if warning else []
        placement = self.built.placement
        computed = {"precision": placement.precision, "channels_last": placement.channels_last}
        here, there = _sitting({**self.description, **computed}), _sitting(begun)
        self.earlier = begun.get("earlier_sittings", [])
        other = [name for name in here if name in there and there[name] != here[name]]
        if other:
            self.earlier = [*self.earlier, there]
            notes.append(f"{', '.join(other)} differ from the run's first part: the weights will differ, too")
        return notes

    def _save(self) -> None:
        state = {"recipe": recipes.fingerprint(self.built.recipe), "learner": self.built.learner.state_dict()}
        checkpoint.save(self.path, state)
        self.kept = self.built.learner.epoch

    def _keep(self, learner: Learner, record: EpochDone) -> None:
        # History before checkpoint: killed in between, the run resumes an epoch back and writes the line again.
        self.history(record)
        if self.keep_weights and record.epoch % self.keep_weights == 0:
            self._write_weights(self.path / folder.WEIGHTS / f"epoch-{record.epoch:04d}.safetensors")
        self._save()

    def _write_weights(self, path: Path) -> None:
        built = self.built
        facts = Facts(
            recipe=built.recipe,
            recipe_sha256=recipes.fingerprint(built.recipe),
            classes=built.classes,
            mean=built.mean,
            std=built.std,
            precision=built.placement.precision,
            channels_last=built.placement.channels_last,
            epoch=built.learner.epoch,
        )
        write_weights(path, built.learner.final, facts)

    def _finish(self) -> dict[str, Any]:
        built = self.built
        started = time.perf_counter()
        final = built.final_score(built.learner.final, built.test)
        seconds = time.perf_counter() - started
        records = folder.load_run(self.path).history()
        result = final.to_dict() | {
            "evaluated_on": "test",
            "epochs": built.recipe.epochs,
            "parameters": built.parameters,
            "seconds": sum(record.seconds for record in records),
            "evaluation_seconds": seconds,
            "preparation_seconds": self.preparation,
            "images_per_second": _mean([record.images_per_second for record in records]),
        }
        if built.validation is not None:
            held_out = built.final_score(built.learner.final, built.validation)
            result["validation_accuracy"] = held_out.accuracy
        self._write_weights(self.path / folder.MODEL)
        self._write_manifest("finished", result=result)
        return result

    def _stop(self, outcome: str, reason: str) -> None:
        """Writes and tells it; on a full disk the reason on the screen has to do."""
        with contextlib.suppress(OSError):
            self._write_manifest(outcome, reason=reason)
        stopped = Stopped(self.path, self.kept, reason)
        for listener in self.listeners:
            with contextlib.suppress(OSError):
                listener(stopped)

    def _write_manifest(self, outcome: str, **facts: Any) -> None:
        built = self.built
        content = {
            **self.description,
            "recipe": built.recipe.name,
            "recipe_sha256": recipes.fingerprint(built.recipe),
            "precision": built.placement.precision,
            "channels_last": built.placement.channels_last,
            "data": {
                "name": built.dataset.name,
                "dir": None if self.data_dir is None else str(self.data_dir.resolve()),
                "files": dict(built.dataset.files),
                "content": self.content,
                "warnings": list(built.dataset.warnings),
                "training_images": built.training_images,
                "mean": built.mean,
                "std": built.std,
            },
            **({"weights_content": self.weights_content} if self.weights_content else {}),
            "started": self.started,
            "preparation_seconds": self.preparation,
            "ended": None if outcome == "running" else manifest.now(),
            "outcome": outcome,
            **({"earlier_sittings": self.earlier} if self.earlier else {}),
            **facts,
        }
        write_json(self.path / folder.MANIFEST, content)


def _sitting(facts: dict[str, Any]) -> dict[str, Any]:
    """Of a manifest, what the weights depend on beside the recipe and the data."""
    names = ("device", "hardware", "threads", "precision", "channels_last")
    found = {name: facts[name] for name in names if facts.get(name) is not None}
    torch = facts.get("versions", {}).get("torch")
    return found | ({"versions": {"torch": torch}} if torch else {})


def _begun(path: Path, recipe: Recipe | None) -> Run:
    """The run to resume, which must be of this recipe where one is given, and not finished yet."""
    run = folder.load_run(path)
    if recipe is not None:
        different = recipes.differences(run.recipe, recipe)
        if different:
            field, (there, here) = next(iter(different.items()))
            raise UserError(
                f"{path} is a run of another recipe: {field} is {there!r} there, {here!r} here "
                f"({len(different)} difference{'s' if len(different) > 1 else ''}); "
                "resume it as it is, or train anew without --resume"
            )
    if run.result is not None:
        raise UserError(
            f"{path} has finished with {run.result['accuracy']:.2f} %: nothing is left to resume; "
            f"`lowres evaluate {path}` looks closer"
        )
    return run


def _checkpoint(path: Path, recipe: Recipe) -> tuple[dict[str, Any], str]:
    """What `checkpoint.load` gives, if it is of this recipe."""
    state, warning = checkpoint.load(path)
    if state.get("recipe") != recipes.fingerprint(recipe) or not isinstance(state.get("learner"), dict):
        raise UserError(f"the checkpoint in {path} belongs to another recipe than its recipe.json")
    return state, warning


def _constants(begun: Run) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The mean and deviation that a run began with."""
    data = begun.manifest.get("data", {})
    return tuple(data.get("mean", ())), tuple(data.get("std", ()))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
