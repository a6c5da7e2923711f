"""Trains small-image classifiers that match the papers.

The library in a few names; each is loaded when it is first used, so that `import lowres` costs nothing.

    >>> import lowres
    >>> model = lowres.create_model("resnet20", seed=0)
    >>> sum(p.numel() for p in model.parameters())
    269722
"""

import importlib
import random
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lowres.data import Augmentation, Batches, load_dataset
    from lowres.doctor import diagnose
    from lowres.errors import UserError
    from lowres.ladder import Ladder, Rung, climb, list_ladders, load_ladder
    from lowres.models import create_model, list_models, load_weights, summarise
    from lowres.models.surgery import adapt, adaptation
    from lowres.recipes import Recipe, list_recipes, load_recipe
    from lowres.runs import Run, evaluate, load_run, predict, train

__version__ = "0.1.0"

_HOMES = {
    "lowres.data": ("Augmentation", "Batches", "load_dataset"),
    "lowres.doctor": ("diagnose",),
    "lowres.errors": ("UserError",),
    "lowres.ladder": ("Ladder", "Rung", "climb", "list_ladders", "load_ladder"),
    "lowres.models.surgery": ("adapt", "adaptation"),
    "lowres.models": ("create_model", "list_models", "load_weights", "summarise"),
    "lowres.recipes": ("Recipe", "list_recipes", "load_recipe"),
    "lowres.runs": ("Run", "evaluate", "load_run", "predict", "train"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Augmentation",
    "Batches",
    "Ladder",
    "Recipe",
    "Run",
    "Rung",
    "UserError",
    "adapt",
    "adaptation",
    "climb",
    "create_model",
    "diagnose",
    "evaluate",
    "list_ladders",
    "list_models",
    "list_recipes",
    "load_dataset",
    "load_ladder",
    "load_recipe",
    "load_run",
    "load_weights",
    "predict",
    "summarise",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(_load(_HOME_OF[name]), name)
    if f"{__name__}.{name}" in (*_HOMES, "lowres.evaluation", "lowres.observers", "lowres.training"):
        return _load(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _load(home: str) -> ModuleType:
    """Imports unseen: importing Rich draws from Python's generator, which a user may have seeded before."""
    state = random.getstate()
    try:
        return importlib.import_module(home)
    finally:
        random.setstate(state)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
