"""The catalogue of named recipes. A recipe enters it by a decorator on the function that returns it."""

import dataclasses
import fnmatch
import inspect
from collections.abc import Callable
from dataclasses import dataclass

from lowres.errors import unknown
from lowres.recipes.recipe import Recipe


@dataclass(frozen=True)
class Entry:
    """A named recipe and what it is expected to reach.

    Attributes:
        name: As typed after `lowres train`.
        build: Gives the recipe.
        published: Test accuracy somebody published for it, in percent; None where nobody did.
        measured: Test accuracy we measured, last epoch, in percent; None where nobody did.
        source: Who published it, and where; or the file that holds our measurement.
    """

    name: str
    build: Callable[[], Recipe]
    published: float | None
    measured: float | None
    source: str

    @property
    def description(self) -> str:
        """What the recipe is and is expected to reach: its docstring."""
        return inspect.getdoc(self.build) or ""

    @property
    def summary(self) -> str:
        """The first line of the description."""
        return self.description.partition("\n")[0]


_catalogue: dict[str, Entry] = {}


def register(
    *, published: float | None = None, measured: float | None = None, source: str = ""
) -> Callable[[Callable[[], Recipe]], Callable[[], Recipe]]:
    """Registers a function that returns a recipe, under its own name with dashes for underscores.

    Args:
        published: Test accuracy in percent that somebody published for it.
        measured: Test accuracy in percent, last epoch, that we measured.
        source: Who published it, and where; or the file in `benchmarks/results/` that holds our measurement.
    """

    def decorate(build: Callable[[], Recipe]) -> Callable[[], Recipe]:
        name = build.__name__.replace("_", "-")
        if name in _catalogue:
            raise ValueError(f"two recipes are called {name!r}")
        _catalogue[name] = Entry(name, build, published, measured, source)
        return build

    return decorate


def list_recipes(pattern: str = "*") -> list[str]:
    """The names of recipes that match a glob, in the order of the catalogue.

    >>> list_recipes("semxresnet20*")[0]
    'semxresnet20-step'
    """
    return [name for name in _catalogue if fnmatch.fnmatchcase(name, pattern)]


def recipe_entry(name: str) -> Entry:
    """The catalogue's entry of that name.

    Raises:
        UserError: There is none; the nearest name is suggested.
    """
    if name not in _catalogue:
        raise unknown("recipe", name, _catalogue, "`lowres recipes` lists them")
    return _catalogue[name]


def published(recipe: Recipe) -> float | None:
    """The test accuracy in percent published for a recipe of the catalogue, whatever its seed; else None."""
    entry = _catalogue.get(recipe.name)
    if entry is None or dataclasses.replace(load_recipe(recipe.name), seed=recipe.seed) != recipe:
        return None
    return entry.published


def load_recipe(name: str) -> Recipe:
    """A recipe of the catalogue.

    >>> load_recipe("resnet20").epochs
    182

    Raises:
        UserError: There is none of that name; the nearest one is suggested.
    """
    return dataclasses.replace(recipe_entry(name).build(), name=name)
