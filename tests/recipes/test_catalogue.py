import dataclasses
import inspect
import itertools
import re
from pathlib import Path

import pytest

from lowres.errors import UserError
from lowres.models import list_models
from lowres.models.imagenet import imagenet_name
from lowres.recipes import Recipe, list_recipes, load_recipe, published, recipe_entry, registry
from lowres.runs.network import recipe_network
from lowres.training.schedules import factor


def figure(pattern, text):
    """The one number a docstring gives, or None; two of a kind are an error."""
    found = re.findall(pattern, text)
    assert len(found) <= 1, found
    return found[0].replace(",", "") if found else None


@pytest.mark.parametrize("name", list_recipes())
class TestEveryRecipe:
    def test_is_known_by_its_name_and_names_a_network_there_is(self, name):
        recipe = load_recipe(name)
        assert recipe.name == name
        assert recipe.model in list_models() or imagenet_name(recipe.model) == recipe.model
        assert recipe == load_recipe(name)

    def test_says_how_many_parameters_are_trained(self, name):
        recipe = load_recipe(name)
        model = recipe_network(recipe, classes=10, channels=3, load=False)
        claimed = figure(r"([\d,]+) parameters\.", recipe_entry(name).description)
        assert int(claimed) == sum(p.numel() for p in model.parameters() if p.requires_grad)

    def test_says_what_was_published_and_by_whom(self, name):
        entry = recipe_entry(name)
        claimed = figure(r"Published ([\d.]+) %", entry.description)
        assert entry.published == (None if claimed is None else float(claimed))
        assert bool(entry.source) == (entry.published is not None or entry.measured is not None)
        assert entry.published is None or 50 < entry.published < 100

    def test_says_what_was_measured_and_the_file_that_holds_it_is_there(self, name):
        entry = recipe_entry(name)
        claimed = figure(r"[Mm]easured ([\d.]+) %", entry.description)
        assert entry.measured == (None if claimed is None else float(claimed))
        if entry.measured is not None:
            (file,) = re.findall(r"benchmarks/results/[\w./-]+\w", entry.source)
            assert (Path(__file__).parents[2] / file).is_file()

    def test_says_how_many_epochs_it_takes(self, name):
        assert int(figure(r"(\d+) epochs\.", recipe_entry(name).description)) == load_recipe(name).epochs

    def test_is_summed_up_in_a_sentence(self, name):
        summary = recipe_entry(name).summary
        assert summary[0].isupper()
        assert summary.endswith(".")
        assert "\n" not in summary

    def test_learns_from_its_first_step_to_its_last(self, name):
        recipe = load_recipe(name)
        steps = 45_000 // recipe.batch_size * recipe.epochs
        factors = [factor(recipe.schedule, step, steps) for step in {0, steps - 1, *range(0, steps, steps // 200)}]
        assert max(factors) == pytest.approx(1, abs=0.02)
        assert min(factors) > 0


def test_the_paper_and_the_repositories_are_there():
    assert list_recipes("resnet*") == [
        *("resnet20", "resnet32", "resnet44", "resnet56", "resnet110", "resnet1202"),
        *("resnet20-cosine", "resnet20-quick"),
    ]
    table = {name: recipe_entry(name).published for name in list_recipes("*semxresnet20*")}
    assert table == {
        "semxresnet20-step": 92.19,
        "semxresnet20-cosine": 92.47,
        "semxresnet20-smoothing": 92.51,
        "semxresnet20-mixup": 92.97,
        "semxresnet20-mixup-image-only": 92.97,
        "semxresnet20": 93.10,
    }
    assert list_recipes("nothing*") == []
    assert set(list_recipes()) >= {"digits", "xresnet29", "semxresnext29"}


def test_the_papers_steps_are_the_papers():
    """He 2015, section 4.2: batch 128, 45,000 images, divided by 10 at 32k and 48k of 64k iterations."""
    recipe = load_recipe("resnet20")
    per_epoch = 45_000 // recipe.batch_size
    steps = per_epoch * recipe.epochs
    assert abs(steps - 64_000) < per_epoch
    factors = [factor(recipe.schedule, step, steps) for step in range(steps)]
    drops = [step for step in range(1, steps) if factors[step] != factors[step - 1]]
    assert [factors[0], *(factors[step] for step in drops)] == pytest.approx([1, 0.1, 0.01])
    assert drops == [steps // 2, steps * 3 // 4]
    assert (recipe.optimizer.lr, recipe.optimizer.momentum, recipe.optimizer.weight_decay) == (0.1, 0.9, 1e-4)
    assert (recipe.augmentation.crop, recipe.augmentation.flip, recipe.held_out) == (4, "random", 5000)


def test_the_deepest_ones_warm_up_for_400_steps_at_a_tenth():
    recipe = load_recipe("resnet110")
    factors = [factor(recipe.schedule, step, 64_000) for step in range(402)]
    assert factors[:400] == [0.1] * 400
    assert factors[400:] == [1.0, 1.0]


def test_each_row_of_the_table_changes_what_it_says():
    rows = [load_recipe(f"semxresnet20{row}") for row in ("-step", "-cosine", "-smoothing", "-mixup", "")]
    changed = [
        {f.name for f in dataclasses.fields(Recipe) if getattr(a, f.name) != getattr(b, f.name)} - {"name"}
        for a, b in itertools.pairwise(rows)
    ]
    assert changed == [{"schedule"}, {"label_smoothing"}, {"augmentation"}, {"augmentation"}]


@pytest.mark.parametrize(
    ("typed", "near"), [("resnet-20", "resnet20"), ("semxresnet20_mixup", "semxresnet20-mixup"), ("Digits", "digits")]
)
def test_an_unknown_name_suggests_the_nearest(typed, near):
    with pytest.raises(UserError) as error:
        load_recipe(typed)
    assert str(error.value).startswith(f"unknown recipe {typed!r}: did you mean {near!r}?")


def test_a_published_figure_belongs_to_the_recipe_as_published_whatever_its_seed():
    recipe = load_recipe("resnet20")
    assert published(recipe) == 91.25
    assert published(dataclasses.replace(recipe, seed=7)) == 91.25
    assert published(dataclasses.replace(recipe, epochs=10)) is None
    assert published(dataclasses.replace(recipe, name="mine")) is None
    assert published(load_recipe("digits")) is None


def test_a_recipe_enters_by_a_decorator(monkeypatch):
    monkeypatch.setattr(registry, "_catalogue", dict(registry._catalogue))

    def my_own() -> Recipe:
        """Mine.

        More of it.
        """
        return Recipe(epochs=3)

    assert registry.register(published=99.0, source="me")(my_own) is my_own
    assert list_recipes("my*") == ["my-own"]
    assert load_recipe("my-own") == Recipe(name="my-own", epochs=3)
    entry = recipe_entry("my-own")
    assert (entry.summary, entry.description) == ("Mine.", inspect.getdoc(my_own))
    with pytest.raises(ValueError, match="two recipes are called 'my-own'"):
        registry.register()(my_own)
