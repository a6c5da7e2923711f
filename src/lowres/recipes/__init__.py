"""Recipes: what a training run is, as frozen data, and a catalogue of named ones."""

import importlib
import pkgutil

from lowres.recipes.imagenet import for_imagenet
from lowres.recipes.recipe import Optimizer, Option, Precision, Recipe, Schedule
from lowres.recipes.registry import Entry, list_recipes, load_recipe, published, recipe_entry, register
from lowres.recipes.serial import convert, differences, fingerprint, from_dict, read, read_object, to_dict

for _module in pkgutil.iter_modules(__path__):  # a file of recipes registers them: adding some is adding a file
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = [
    "Entry",
    "Optimizer",
    "Option",
    "Precision",
    "Recipe",
    "Schedule",
    "convert",
    "differences",
    "fingerprint",
    "for_imagenet",
    "from_dict",
    "list_recipes",
    "load_recipe",
    "published",
    "read",
    "read_object",
    "recipe_entry",
    "register",
    "to_dict",
]
