"""`lowres train`: trains a recipe, or goes on with an interrupted run."""

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from lowres import recipes
from lowres.app.command import parse
from lowres.errors import UserError
from lowres.files import expanded
from lowres.models.imagenet import imagenet_name
from lowres.recipes import Recipe
from lowres.training.events import Observer


@dataclass(frozen=True)
class Train:
    """Trains a recipe, or goes on with an interrupted run.

    The first word names a recipe of the catalogue (`lowres recipes`), a JSON file, a run folder whose recipe is
    meant, or an ImageNet network (resnet50, torchvision:resnet50, timm:resnet50d), which is trained from scratch,
    or fine-tuned where --pretrained or --weights is given; every field of the recipe is an option.

        lowres train resnet20-quick --data-dir ~/data
        lowres train resnet20 --epochs 30 --optimizer.lr 0.05 --seed 1
        lowres train resnet50 --adapt
        lowres train --resume runs/resnet20-quick-cifar10-s0

    Attributes:
        recipe: What decides the weights.
        data_dir: Where the data lie; by default data/ here, or the folder that LOWRES_DATA_DIR names.
        out: Where run folders are made.
        device: auto, cpu, cuda, cuda:1, mps.
        resume: A run folder to go on with.
        keep_weights: Keep the weights of every so many epochs; 0: of none.
        strict_data: Refuse data that a warning goes with, such as bytes that differ from the official release.
        tensorboard: Write TensorBoard event files into the run folder, too.
        quiet: Print nothing but errors.
    """

    recipe: Annotated[Recipe, tyro.conf.arg(name="")]
    data_dir: Path | None = None
    out: Path = Path("runs")
    device: str = "auto"
    resume: Path | None = None
    keep_weights: int = 0
    strict_data: bool = False
    tensorboard: bool = False
    quiet: bool = False


def run(words: Sequence[str]) -> int:
    """Trains; see `Train`."""
    name, rest = (words[0], words[1:]) if words and not words[0].startswith("-") else (None, words)
    resumed = _resumed(rest) if name is None else None
    if name is None and resumed is None and not {"-h", "--help"} & set(rest):
        raise UserError(
            "`lowres train` needs first a recipe or a run to resume: `lowres train resnet20-quick`, "
            "`lowres train --resume RUN`; `lowres recipes` lists the recipes"
        )
    start = resumed or (_recipe(name, rest) if name is not None else Recipe())
    asked = parse(Train, rest, "train", Train(start), shown="train [RECIPE|FILE]")

    from lowres.observers import Console, TensorBoard
    from lowres.runs import train
    from lowres.training.allocator import keep_memory

    keep_memory()  # here and not in the library: the process is ours
    options = {**start.model_options, **asked.recipe.model_options}
    with Console(quiet=asked.quiet) as console:
        observers: list[Observer] = [console]
        if asked.tensorboard:
            observers.append(TensorBoard())
        done = train(
            dataclasses.replace(asked.recipe, model_options=options),
            data_dir=asked.data_dir,
            out=asked.out,
            device=asked.device,
            resume=asked.resume,
            observers=observers,
            keep_weights=asked.keep_weights,
            strict_data=asked.strict_data,
        )
    if not asked.quiet:
        print(done.folder)
    return 0


def _recipe(name: str, options: Sequence[str]) -> Recipe:
    if name.endswith(".json"):
        return recipes.read(Path(name))
    if (Path(name) / "recipe.json").exists():
        return recipes.read(Path(name) / "recipe.json")
    if name not in recipes.list_recipes() and (network := imagenet_name(name)) is not None:
        given = {option.partition("=")[0] for option in options}
        return recipes.for_imagenet(network, weights=bool(given & {"--pretrained", "--weights"}))
    return recipes.load_recipe(name)


def _resumed(words: Sequence[str]) -> Recipe | None:
    """The recipe of the run that `--resume` names, so that options given beside it are compared with it."""
    from lowres.runs import load_run

    for word, following in itertools.pairwise([*words, ""]):
        if word == "--resume" and following:
            return load_run(expanded(following)).recipe
        if word.startswith("--resume="):
            return load_run(expanded(word.partition("=")[2])).recipe
    return None
