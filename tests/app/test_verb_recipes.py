import json

import pytest

from lowres.recipes import from_dict, list_recipes, load_recipe, recipe_entry, to_dict


def test_recipes_are_listed_with_what_they_are_expected_to_reach(lowres):
    done = lowres("recipes", "resnet*")
    assert (done.code, done.err) == (0, "")
    for name in list_recipes("resnet*"):
        (line,) = (line for line in done.out.splitlines() if line.startswith(f"{name} "))
        entry, recipe = recipe_entry(name), load_recipe(name)
        assert f" {recipe.epochs} " in line
        assert entry.published is None or f" {entry.published:.2f} " in line
    words = done.out.split()
    assert set(recipe_entry("resnet110").summary.split()) <= set(words)
    assert " 269,722 " in done.out


def test_the_list_as_json_is_exact(lowres):
    rows = lowres("recipes", "semx*", "--json").json
    assert [row["name"] for row in rows] == list_recipes("semx*")
    for row in rows:
        entry = recipe_entry(row["name"])
        for key in ("published", "measured", "source", "summary"):
            assert row[key] == getattr(entry, key)
        assert from_dict(row["recipe"]) == load_recipe(row["name"])
        assert f"{row['parameters']:,} parameters" in entry.description


def test_one_recipe_is_shown_in_full(lowres):
    done = lowres("recipes", "resnet20-cosine")
    assert (done.code, done.err) == (0, "")
    shown = done.out[done.out.index("{") : done.out.rindex("}") + 1]
    assert json.loads(shown) == to_dict(load_recipe("resnet20-cosine"))
    assert "Published 92.07 %" in done.out
    assert done.out.endswith("lowres train resnet20-cosine\n")


def test_one_recipe_as_json_is_the_file_that_train_reads(lowres):
    done = lowres("recipes", "semxresnet20", "--json")
    assert from_dict(done.json) == load_recipe("semxresnet20")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("resnet-20",), "unknown recipe 'resnet-20': did you mean 'resnet20'? (`lowres recipes` lists them)"),
        (("resnet20_quick",), "did you mean 'resnet20-quick'?"),
        (("zz*",), "unknown recipe 'zz*'"),
        (("resnet20", "--jso"), "unknown option '--jso': did you mean '--json'?"),
        (("resnet20", "resnet32"), "'resnet32' is too much"),
    ],
)
def test_bad_input(refused, words, says):
    assert says in refused("recipes", *words)
