"""The built-in ladders: the questions that published tables of single runs leave open."""

import dataclasses
import fnmatch
from collections.abc import Callable
from pathlib import Path

from lowres.errors import unknown
from lowres.files import expanded
from lowres.ladder.definition import Ladder, Rung, read_ladder
from lowres.recipes import Schedule, anand2020, he2015, load_recipe

_catalogue: dict[str, Callable[[], Ladder]] = {}


def register(name: str) -> Callable[[Callable[[], Ladder]], Callable[[], Ladder]]:
    """Registers a function that returns a ladder under the name it has."""

    def decorate(build: Callable[[], Ladder]) -> Callable[[], Ladder]:
        if name in _catalogue:
            raise ValueError(f"two ladders are called {name!r}")
        _catalogue[name] = build
        return build

    return decorate


def list_ladders(pattern: str = "*") -> list[str]:
    """The names of built-in ladders that match a glob.

    >>> list_ladders("se*")
    ['seresnet20', 'seresnet-depth', 'seresnext29']
    """
    return [name for name in _catalogue if fnmatch.fnmatchcase(name, pattern)]


def load_ladder(name: str | Path) -> Ladder:
    """A built-in ladder, or that of a JSON file.

    >>> len(load_ladder("seresnet20").rungs)
    8

    Raises:
        UserError: There is none of that name (the nearest is suggested), or the file holds no ladder.
    """
    if isinstance(name, Path) or name.endswith(".json"):
        return read_ladder(expanded(name))
    if name not in _catalogue:
        raise unknown("ladder", name, _catalogue, "`lowres ladder` lists them")
    return _catalogue[name]()


@register("seresnet20")
def seresnet20() -> Ladder:
    """Anand 2020: eight rungs from ResNet-20 to SE-MXResNet-20 with every trick, published on one run each.

    The published "mixup" blends images only; the rung here is real mixup (Zhang 2017).
    """
    return Ladder(
        "seresnet20",
        anand2020.step("resnet20"),
        (
            Rung("ResNet-20", published=91.25),
            Rung("XResNet-20", {"model": "xresnet20"}, 91.82),
            Rung("MXResNet-20", {"model": "mxresnet20"}, 92.07),
            Rung("SE-MXResNet-20", {"model": "semxresnet20"}, 92.19),
            Rung("+ cosine", {"schedule": Schedule("cosine", warmup=5 / 180)}, 92.47),
            Rung("+ label smoothing", {"label_smoothing": 0.1}, 92.51),
            Rung("+ mixup", {"augmentation.mixup": 0.2}, 92.97),
            Rung("+ reflection padding", {"augmentation.padding": "reflect"}, 93.10),
        ),
        "Which of Anand's seven changes to ResNet-20 pay?",
    )


@register("seresnet-depth")
def seresnet_depth() -> Ladder:
    """Anand 2020: SE-MXResNet of 20, 32, 44 and 56 layers, with every trick."""
    return Ladder(
        "seresnet-depth",
        anand2020.reflection("semxresnet20"),
        (
            Rung("SE-MXResNet-20", published=93.10),
            Rung("SE-MXResNet-32", {"model": "semxresnet32"}, 93.80),
            Rung("SE-MXResNet-44", {"model": "semxresnet44"}, 93.88),
            Rung("SE-MXResNet-56", {"model": "semxresnet56"}, 94.36),
        ),
        "Does depth pay in SE-MXResNet?",
    )


@register("seresnext29")
def seresnext29() -> Ladder:
    """Anand 2020: bottlenecks, grouped bottlenecks, then Mish, squeeze-and-excite and every trick in one step."""
    top = anand2020.reflection("semxresnext29_16x2d")
    return Ladder(
        "seresnext29",
        anand2020.step("xresnet29"),
        (
            Rung("XResNet-29", published=92.38),
            Rung("XResNeXt-29", {"model": "xresnext29_16x2d"}, 93.30),
            Rung(
                "SE-MXResNeXt-29, every trick",
                {
                    "model": top.model,
                    "schedule": top.schedule,
                    "label_smoothing": top.label_smoothing,
                    "augmentation.mixup": top.augmentation.mixup,
                    "augmentation.padding": top.augmentation.padding,
                },
                94.68,
            ),
        ),
        "Do groups pay in a bottleneck network of 29 layers, and the tricks on top?",
    )


@register("he-depth")
def he_depth() -> Ladder:
    """He 2015, table 6: ResNet of 20 to 110 layers; the deepest warms up."""
    return Ladder(
        "he-depth",
        load_recipe("resnet20"),
        (
            Rung("ResNet-20", published=91.25),
            Rung("ResNet-32", {"model": "resnet32"}, 92.49),
            Rung("ResNet-44", {"model": "resnet44"}, 92.83),
            Rung("ResNet-56", {"model": "resnet56"}, 93.03),
            Rung("ResNet-110", {"model": "resnet110", "schedule": he2015.resnet110().schedule}, 93.57),
        ),
        "Does depth pay in the residual networks of He 2015?",
    )


@register("replicate-resnet20")
def replicate_resnet20() -> Ladder:
    """From He 2015's recipe of ResNet-20 to Kim's replication (92.07 %, best epoch), one setting at a time.

    The replication divides by the mean deviation of single images in place of that of all pixels.
    """
    constants = {"mean": (0.4914, 0.4822, 0.4465), "std": (0.2023, 0.1994, 0.2010)}
    return Ladder(
        "replicate-resnet20",
        load_recipe("resnet20"),
        (
            Rung("He 2015", published=91.25),
            Rung("1x1 shortcuts", {"model_options.shortcut": "B"}),
            Rung("cosine", {"schedule": Schedule("cosine")}),
            Rung("all 50,000 images", {"held_out": 0}),
            Rung("200 epochs", {"epochs": 200}),
            Rung("per-image deviation", constants, 92.07),
        ),
        "Which setting of Kim's replication of ResNet-20 makes the difference to the paper?",
    )


@register("modern")
def modern() -> Ladder:
    """From He 2015's ResNet-20 in 30 epochs on all images to the recipe `resnet20-quick`, one change a rung."""
    return Ladder(
        "modern",
        dataclasses.replace(load_recipe("resnet20"), epochs=30, held_out=0),
        (
            Rung("He 2015 in 30 epochs"),
            Rung("+ triangle", {"schedule": Schedule("triangle", warmup=0.1)}),
            Rung("+ Nesterov", {"optimizer.nesterov": True}),
            Rung("+ decay 5e-4", {"optimizer.weight_decay": 5e-4}),
            Rung("+ only kernels decay", {"optimizer.decay": "kernels"}),
            Rung("+ reflection padding", {"augmentation.padding": "reflect"}),
            Rung("+ alternating flip", {"augmentation.flip": "alternating"}),
            # Its two rates belong to it: SGD's is for all but the kernels now.
            Rung("+ Muon", {"optimizer.name": "muon", "optimizer.lr": 0.3, "optimizer.muon_lr": 0.015}),
        ),
        "Which of our changes to He's ResNet-20 in 30 epochs pay?",
    )
