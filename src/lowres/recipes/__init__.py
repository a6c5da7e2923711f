"""Recipes: what a training run is, as frozen data, and a catalogue of named ones."""

from lowres.recipes import anand2020, he2015, quick
from lowres.recipes.recipe import Optimizer, Option, Precision, Recipe, Schedule
from lowres.recipes.registry import Entry, list_recipes, load_recipe, published, recipe_entry, register
from lowres.recipes.serial import convert, differences, fingerprint, from_dict, read, read_object, to_dict

__all__ = [
    "Entry",
    "Optimizer",
    "Option",
    "Precision",
    "Recipe",
    "Schedule",
    "anand2020",
    "convert",
    "differences",
    "fingerprint",
    "from_dict",
    "he2015",
    "list_recipes",
    "load_recipe",
    "published",
    "quick",
    "read",
    "read_object",
    "recipe_entry",
    "register",
    "to_dict",
]
