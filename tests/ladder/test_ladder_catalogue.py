import dataclasses
import itertools

import pytest

from lowres.errors import UserError
from lowres.ladder import list_ladders, load_ladder
from lowres.models import create_model
from lowres.recipes import anand2020, differences, fingerprint, load_recipe, recipe_entry

STANDS_FOR = {
    "seresnet20": [
        None,
        "xresnet20",
        "mxresnet20",
        "semxresnet20-step",
        "semxresnet20-cosine",
        "semxresnet20-smoothing",
        "semxresnet20-mixup",
        "semxresnet20",
    ],
    "seresnet-depth": ["semxresnet20", "semxresnet32", "semxresnet44", "semxresnet56"],
    "seresnext29": ["xresnet29", "xresnext29", "semxresnext29"],
    "he-depth": ["resnet20", "resnet32", "resnet44", "resnet56", "resnet110"],
    "replicate-resnet20": ["resnet20", None, None, None, "resnet20-cosine", None],
    "modern": [*[None] * 7, "resnet20-quick"],
}


def test_every_ladder_is_tested():
    assert list_ladders() == list(STANDS_FOR)


@pytest.mark.parametrize("name", STANDS_FOR)
def test_each_rung_is_the_recipe_of_the_catalogue_it_stands_for(name):
    ladder = load_ladder(name)
    assert (ladder.name, len(ladder.rungs)) == (name, len(STANDS_FOR[name]))
    assert ladder.summary.endswith("?")
    for rung, recipe, stands_for in zip(ladder.rungs, ladder.recipes(), STANDS_FOR[name], strict=True):
        if stands_for is None:
            continue
        assert fingerprint(recipe) == fingerprint(load_recipe(stands_for)), rung.name
        if rung.published is not None:
            assert rung.published == recipe_entry(stands_for).published


def test_the_figures_of_anands_table():
    published = [rung.published for rung in load_ladder("seresnet20").rungs]
    assert published == [91.25, 91.82, 92.07, 92.19, 92.47, 92.51, 92.97, 93.10]
    ground = load_ladder("seresnet20").recipes()[0]
    assert fingerprint(ground) == fingerprint(anand2020.step("resnet20"))


def test_the_replication_changes_one_setting_at_a_time():
    recipes = load_ladder("replicate-resnet20").recipes()
    assert [r.model_options.get("shortcut", "A") for r in recipes] == ["A", "B", "B", "B", "B", "B"]
    assert [r.schedule.name for r in recipes] == ["multistep", "multistep", "cosine", "cosine", "cosine", "cosine"]
    assert [r.held_out for r in recipes] == [5000, 5000, 5000, 0, 0, 0]
    assert [r.epochs for r in recipes] == [182, 182, 182, 182, 200, 200]
    assert [r.std for r in recipes] == [*[None] * 5, (0.2023, 0.1994, 0.2010)]


def test_modern_goes_from_hes_recipe_to_ours_one_change_a_rung():
    rungs = load_ladder("modern").recipes()
    he = dataclasses.replace(load_recipe("resnet20"), epochs=30, held_out=0)
    assert fingerprint(rungs[0]) == fingerprint(he)
    changed = [set(differences(a, b)) for a, b in itertools.pairwise(rungs)]
    assert changed[:-1] == [
        {"schedule.name", "schedule.warmup"},
        {"optimizer.nesterov"},
        {"optimizer.weight_decay"},
        {"optimizer.decay"},
        {"augmentation.padding"},
        {"augmentation.flip"},
    ]
    assert changed[-1] == {"optimizer.name", "optimizer.lr", "optimizer.muon_lr"}
    assert {recipe.epochs for recipe in rungs} == {30}


@pytest.mark.parametrize("name", STANDS_FOR)
def test_every_rung_names_a_network_that_exists(name):
    for recipe in load_ladder(name).recipes():
        create_model(recipe.model, **recipe.model_options)


def test_a_name_that_is_none_is_refused():
    with pytest.raises(UserError, match="unknown ladder 'seresnet21': did you mean 'seresnet20'"):
        load_ladder("seresnet21")
