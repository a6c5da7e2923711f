"""`lowres recipes`: the recipes there are, and one in full."""

from collections.abc import Sequence
from dataclasses import dataclass

import tyro
from rich.table import Table

from lowres import recipes
from lowres.app.command import console, parse, print_json
from lowres.errors import unknown
from lowres.runs.network import recipe_network


@dataclass(frozen=True)
class Recipes:
    """The recipes there are, with what they are expected to reach; or one in full.

        lowres recipes "se*"
        lowres recipes resnet20-quick --json > mine.json

    Attributes:
        pattern: A glob, or the name of one recipe.
        json: Print JSON; of one recipe: the file that `lowres train FILE` reads.
    """

    pattern: tyro.conf.Positional[str] = "*"
    json: bool = False


def run(words: Sequence[str]) -> int:
    """Lists; see `Recipes`."""
    asked = parse(Recipes, words, "recipes")
    names = recipes.list_recipes(asked.pattern)
    if not names:
        raise unknown("recipe", asked.pattern, recipes.list_recipes(), "`lowres recipes` lists them")
    if asked.pattern in names:
        _show_one(asked.pattern, as_json=asked.json)
    elif asked.json:
        print_json([_plain(name) for name in names])
    else:
        _show_list(names)
    return 0


def _plain(name: str) -> dict[str, object]:
    entry = recipes.recipe_entry(name)
    recipe = recipes.load_recipe(name)
    return {
        "name": name,
        "summary": entry.summary,
        "published": entry.published,
        "measured": entry.measured,
        "source": entry.source,
        "parameters": _parameters(recipe),
        "recipe": recipes.to_dict(recipe),
    }


def _parameters(recipe: recipes.Recipe) -> int:
    model = recipe_network(recipe, classes=10, channels=3, load=False)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _show_list(names: list[str]) -> None:
    table = Table("recipe", "parameters", "epochs", "published, %", "measured, %", "what", box=None, pad_edge=False)
    for column in table.columns[1:5]:
        column.justify = "right"
    for name in names:
        entry = recipes.recipe_entry(name)
        recipe = recipes.load_recipe(name)
        figures = ["" if f is None else f"{f:.2f}" for f in (entry.published, entry.measured)]
        table.add_row(name, f"{_parameters(recipe):,}", str(recipe.epochs), *figures, entry.summary)
    console().print(table)


def _show_one(name: str, *, as_json: bool) -> None:
    recipe = recipes.load_recipe(name)
    if as_json:
        print_json(recipes.to_dict(recipe))
        return
    out = console()
    out.print(f"{name}  {recipes.recipe_entry(name).description}\n")
    out.print_json(data=recipes.to_dict(recipe))
    out.print(f"\nlowres train {name}")
