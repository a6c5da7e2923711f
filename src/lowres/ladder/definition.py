"""A ladder: a base recipe and named changes, each a rung that stands on all rungs below it.

Data only. `lowres.ladder.catalogue` names the built-in ones, `lowres.ladder.runner` trains their cells.
"""

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lowres import recipes
from lowres.errors import UserError, unknown
from lowres.recipes import Recipe, Schedule

LONGEST_WARMUP = 0.1
"""The share of a shortened run that its warm-up may take, unless it takes more at full length."""
_NO_CHANGE = {"name": "rungs have names of their own", "seed": "every rung is run with the same seeds"}


@dataclass(frozen=True)
class Rung:
    """One step of a ladder.

    Attributes:
        name: Of the step, unique in its ladder: "cosine".
        changes: Recipe fields and their new values: {"augmentation.padding": "reflect"}. A part may be given as
            a whole, {"schedule": {"name": "cosine"}}: what it leaves out has the part's default. Only the first
            rung of a ladder, its base, may change nothing.
        published: Test accuracy in percent that somebody published for the recipe of this rung.
    """

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    published: float | None = None


@dataclass(frozen=True)
class Ladder:
    """Recipes in order, each adding one rung's changes to the one below.

    Attributes:
        name: As typed after `lowres ladder`.
        base: The recipe that the first rung changes, or is.
        rungs: From the ground up, at least two.
        summary: What the ladder asks, in a sentence.
        own_epochs: The base recipe's own epochs, where the ladder is run at another length; else None.
        full: The ladder at its own length, where `resized` made this one of it.

    Raises:
        UserError: A rung changes a field that does not exist, or nothing, or one field twice; two rungs share a
            name; a recipe is out of range.

    Example:
        >>> ladder = Ladder("smooth", Recipe(), (Rung("plain"), Rung("smoothed", {"label_smoothing": 0.1})))
        >>> [recipe.label_smoothing for recipe in ladder.recipes()]
        [0.0, 0.1]
    """

    name: str
    base: Recipe
    rungs: tuple[Rung, ...]
    summary: str = ""
    own_epochs: int | None = None
    full: "Ladder | None" = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.name or set(self.name) & set('/\\:*?"<>|') or self.name.startswith("."):
            raise UserError(f"a ladder cannot be called {self.name!r}: its name becomes a folder")
        if len(self.rungs) < 2:
            raise UserError(f"ladder {self.name!r} has {len(self.rungs)} rungs, but needs two at least to compare")
        names = [rung.name for rung in self.rungs]
        for name in names:
            if not name:
                raise UserError(f"ladder {self.name!r} has a rung without a name")
            if names.count(name) > 1:
                raise UserError(f"ladder {self.name!r} has two rungs called {name!r}: give each a name of its own")
        self.recipes()

    @property
    def data(self) -> str:
        """The data set that all rungs are trained on."""
        return str(self.rungs[0].changes.get("data", self.base.data))

    @property
    def epochs(self) -> int:
        """The epochs of the base recipe."""
        return self.base.epochs

    def recipes(self) -> tuple[Recipe, ...]:
        """The recipe of each rung, from the ground up, with the base recipe's seed."""
        found: list[Recipe] = []
        recipe = self.base
        for number, rung in enumerate(self.rungs):
            where = f"ladder {self.name!r}, rung {rung.name!r}"
            if not rung.changes and number > 0:
                raise UserError(f"{where}: it changes nothing; only the first rung may")
            if "data" in rung.changes and number > 0:
                raise UserError(
                    f"{where}: accuracies on two test sets cannot be compared; only the first rung sets data"
                )
            recipe = dataclasses.replace(changed(recipe, rung.changes, where), name=f"{self.name} {rung.name}")
            found.append(recipe)
        return tuple(found)

    def recipe_of(self, rung: str | Rung) -> Recipe:
        """The recipe of one rung: the base with the changes of all rungs up to this one.

        Raises:
            UserError: The ladder has no such rung.
        """
        name = rung if isinstance(rung, str) else rung.name
        names = [one.name for one in self.rungs]
        if name not in names:
            raise unknown(f"rung of ladder {self.name!r}:", name, names)
        return self.recipes()[names.index(name)]

    def resized(self, *, epochs: int | None = None, data: str | None = None) -> "Ladder":
        """The same ladder at another length or on other data.

        Times of a schedule are shares of the run and shrink with it, all but the warm-up: how many steps a network
        takes to settle does not depend on how many follow. A shortened run warms up for as many as the full one, at
        most for `LONGEST_WARMUP` of itself. A warm-up of a few steps can end a deep
        network's training before it has begun.

        Args:
            epochs: Of the base recipe. Rungs that set the epochs keep their ratio to it.
            data: As in a recipe.

        Raises:
            UserError: A rung sets the data itself, or has no change left at this length.
        """
        values = {name: value for name, value in (("epochs", epochs), ("data", data)) if value is not None}
        if not values:
            return self
        if data is not None and any("data" in rung.changes for rung in self.rungs):
            raise UserError(f"ladder {self.name!r} has rungs that change the data: it cannot be moved to {data!r}")
        full = self.full or self  # a warm-up once stretched would not shrink again
        base = recipes.from_dict(
            {**recipes.to_dict(full.base), "data": self.base.data, "epochs": self.epochs, **values}
        )
        ratio = base.epochs / full.base.epochs
        base = dataclasses.replace(base, schedule=_warmed(base.schedule, ratio))
        rungs = tuple(dataclasses.replace(rung, changes=_scaled(rung.changes, ratio)) for rung in full.rungs)
        own = full.own_epochs or full.base.epochs
        own_epochs = None if own == base.epochs else own
        return dataclasses.replace(self, base=base, rungs=rungs, own_epochs=own_epochs, full=full)


def _scaled(changes: Mapping[str, Any], ratio: float) -> dict[str, Any]:
    """A rung's changes at another length."""
    found: dict[str, Any] = {}
    for key, value in changes.items():
        if key == "epochs" and isinstance(value, int):
            value = max(1, round(value * ratio))
        elif key == "schedule.warmup" and isinstance(value, float):
            value = _kept(value, ratio)
        elif key == "schedule" and isinstance(value, Schedule):
            value = _warmed(value, ratio)
        elif key == "schedule" and isinstance(value, Mapping) and isinstance(value.get("warmup"), float):
            value = {**value, "warmup": _kept(value["warmup"], ratio)}
        found[key] = value
    return found


def _warmed(schedule: Schedule, ratio: float) -> Schedule:
    return dataclasses.replace(schedule, warmup=_kept(schedule.warmup, ratio))


def _kept(share: float, ratio: float) -> float:
    """The share of a run's length that a warm-up takes when the run becomes shorter and it does not."""
    return share if ratio >= 1 else max(share, min(share / ratio, LONGEST_WARMUP))


def fields(kind: type = Recipe, prefix: str = "") -> list[str]:
    """The dotted names that a rung may change: "epochs", "schedule", "schedule.warmup", ..."""
    names: list[str] = []
    for name, annotation in typing.get_type_hints(kind).items():
        names.append(f"{prefix}{name}")
        if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
            names += fields(annotation, f"{prefix}{name}.")
    return names


def changed(recipe: Recipe, changes: Mapping[str, Any], where: str) -> Recipe:
    """A recipe with a rung's changes, all at once.

    Args:
        recipe: Stays as it is.
        changes: As in `Rung`.
        where: What to call the place in errors.

    Raises:
        UserError: A change names no field (the nearest is suggested), alters nothing, contradicts another one
            or has an impossible value.
    """
    before = recipes.to_dict(recipe)
    after = recipes.to_dict(recipe)
    for key, value in changes.items():
        _check(key, changes, where)
        *parts, last = key.split(".", 1)
        target = after[parts[0]] if parts else after
        is_instance = dataclasses.is_dataclass(value) and not isinstance(value, type)
        target[last] = dataclasses.asdict(value) if is_instance else value
    result = recipes.from_dict(after, where)
    made = recipes.to_dict(result)
    for key in changes:
        if _get(made, key) == _get(before, key):
            raise UserError(f"{where}: {key} is {_get(before, key)!r} already, so that it changes nothing")
    return result


def _check(key: str, changes: Mapping[str, Any], where: str) -> None:
    if key in _NO_CHANGE:
        raise UserError(f"{where}: {key} is no change: {_NO_CHANGE[key]}")
    option = key.startswith("model_options.") and key != "model_options."
    if key not in (known := fields()) and not option:
        names = [name for name in known if name not in _NO_CHANGE]
        raise unknown(f"field in {where}:", key, names, "`lowres train --help` shows the fields")
    part = key.partition(".")[0]
    if part != key and part in changes:
        raise UserError(f"{where}: {part} is changed as a whole and {key} beside it: put the one into the other")


def _get(values: Mapping[str, Any], key: str) -> Any:
    part, _, rest = key.partition(".")
    return values[part].get(rest) if rest else values[part]


@dataclass(frozen=True)
class _FileRung:
    name: str
    changes: dict[str, Any] = field(default_factory=dict)
    published: float | None = None


@dataclass(frozen=True)
class _File:
    name: str
    base: Any
    rungs: tuple[_FileRung, ...]
    summary: str = ""
    own_epochs: int | None = None


def read_ladder(path: Path) -> Ladder:
    """The ladder of a JSON file.

    Its fields are those of `Ladder` and `Rung`; `base` is the name of a recipe or the fields of one.

    Raises:
        UserError: The file is missing, is not JSON or holds no valid ladder.
    """
    return from_dict(recipes.read_object(path, "ladder", "`lowres ladder` lists the built-in ones"), str(path))


def from_dict(values: Mapping[str, Any], where: str = "ladder") -> Ladder:
    """A ladder from plain JSON values, as `to_dict` gives them.

    Args:
        values: Fields of `Ladder` and `Rung`; `base` is the name of a recipe or the fields of one.
        where: What to call the place in errors, such as a file's name.

    Raises:
        UserError: They are no valid ladder.
    """
    file = recipes.convert(_File, values, where)
    base = recipes.load_recipe(file.base) if isinstance(file.base, str) else _base(file.base, where)
    try:
        rungs = tuple(Rung(rung.name, rung.changes, rung.published) for rung in file.rungs)
        return Ladder(file.name, base, rungs, file.summary, file.own_epochs)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _base(values: Any, where: str) -> Recipe:
    if not isinstance(values, dict):
        raise UserError(f"{where}: base is {values!r}, but must be the name of a recipe or its fields")
    return recipes.from_dict(values, f"{where}, base")


def to_dict(ladder: Ladder) -> dict[str, Any]:
    """The ladder as plain JSON values, as `read_ladder` reads them; values of changes as the recipe has them."""
    rungs = []
    for rung, recipe in zip(ladder.rungs, ladder.recipes(), strict=True):
        made = recipes.to_dict(recipe)
        changes = {key: _get(made, key) for key in rung.changes}
        rungs.append({"name": rung.name, "changes": changes, "published": rung.published})
    return {
        "name": ladder.name,
        "summary": ladder.summary,
        "own_epochs": ladder.own_epochs,
        "base": recipes.to_dict(ladder.base),
        "rungs": rungs,
    }
