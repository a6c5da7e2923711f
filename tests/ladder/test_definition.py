import json

import pytest

from lowres.errors import UserError
from lowres.ladder import Ladder, Rung, read_ladder
from lowres.ladder.definition import to_dict
from lowres.recipes import Recipe, Schedule, fingerprint


def ladder(*rungs, base=None):
    return Ladder("mine", base or Recipe(), rungs)


def test_changes_add_up_from_the_ground():
    mine = ladder(
        Rung("plain"),
        Rung("wide", {"model": "resnet32", "model_options.shortcut": "B"}),
        Rung("triangle", {"schedule": Schedule("triangle", warmup=0.2), "optimizer.lr": 1}),
        Rung("reflect", {"augmentation.padding": "reflect"}),
    )
    plain, wide, triangle, reflect = mine.recipes()
    assert fingerprint(plain) == fingerprint(Recipe())
    assert (wide.model, wide.model_options) == ("resnet32", {"shortcut": "B"})
    assert triangle.schedule == Schedule("triangle", warmup=0.2)
    assert (triangle.optimizer.lr, triangle.optimizer.momentum) == (1.0, 0.9)
    assert (reflect.model, reflect.augmentation.padding, reflect.schedule.name) == ("resnet32", "reflect", "triangle")
    assert mine.recipe_of("reflect") == reflect
    assert mine.recipe_of(mine.rungs[1]) == wide
    with pytest.raises(UserError, match="did you mean 'wide'"):
        mine.recipe_of("wide1")


def test_a_part_given_as_a_whole_has_its_defaults_where_it_is_silent():
    base = Recipe(schedule=Schedule("multistep", warmup=0.3, milestones=(0.1, 0.2)))
    _, whole = ladder(Rung("plain"), Rung("cosine", {"schedule": {"name": "cosine"}}), base=base).recipes()
    _, single = ladder(Rung("plain"), Rung("cosine", {"schedule.name": "cosine"}), base=base).recipes()
    assert whole.schedule == Schedule("cosine")
    assert single.schedule == Schedule("cosine", warmup=0.3, milestones=(0.1, 0.2))


def test_a_ladder_of_another_length_keeps_the_ratio_of_epochs():
    mine = ladder(Rung("short"), Rung("long", {"epochs": 300}), base=Recipe(epochs=200))
    assert [r.epochs for r in mine.resized(epochs=10).recipes()] == [10, 15]
    assert [r.data for r in mine.resized(data="digits").recipes()] == ["digits", "digits"]
    with pytest.raises(UserError, match="rung 'long': epochs is 1 already"):
        ladder(Rung("short"), Rung("long", {"epochs": 220}), base=Recipe(epochs=200)).resized(epochs=1)
    moved = ladder(Rung("a", {"data": "cifar100"}), Rung("b", {"epochs": 3}))
    with pytest.raises(UserError, match="rungs that change the data"):
        moved.resized(data="digits")


def test_a_shortened_ladder_keeps_the_steps_of_its_warmup_up_to_a_tenth():
    cosine = {"schedule": Schedule("cosine", warmup=0.02)}
    longer, single = {"schedule.warmup": 0.2}, {"schedule": {"name": "triangle", "warmup": 0.03}}
    rungs = (Rung("plain"), Rung("cosine", cosine), Rung("triangle", single), Rung("longer", longer))
    mine = ladder(*rungs, base=Recipe(epochs=100, schedule=Schedule("multistep", warmup=0.01)))

    def warmups(epochs):
        return [recipe.schedule.warmup for recipe in mine.resized(epochs=epochs).recipes()]

    assert warmups(50) == [0.02, 0.04, 0.06, 0.2]
    assert warmups(5) == [0.1, 0.1, 0.1, 0.2]
    assert warmups(200) == [0.01, 0.02, 0.03, 0.2]
    assert mine.resized(epochs=5).resized(epochs=100) == mine
    assert mine.resized(data="digits").resized(epochs=50).data == "digits"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"augmentation.pading": "reflect"}, "did you mean 'augmentation.padding'"),
        ({"lr": 0.3}, "did you mean 'optimizer.lr'"),
        ({"labels_smoothing": 0.3}, "did you mean 'label_smoothing'"),
        ({"label_smoothing": 0}, "label_smoothing is 0.0 already"),
        ({"schedule": {"name": "cosine"}, "epochs": 3}, "schedule is .* already"),
        ({}, "changes nothing; only the first rung may"),
        (
            {"schedule": {"name": "constant"}, "schedule.warmup": 0.1},
            "schedule is changed as a whole and schedule.warm",
        ),
        ({"schedule.name": "cosin"}, "schedule.name is 'cosin', but must be one of"),
        ({"epochs": 0}, "epochs is 0, but must be at least 1"),
        ({"epochs": "3"}, "epochs is '3', but must be int"),
        ({"seed": 3}, "seed is no change: every rung is run with the same seeds"),
        ({"name": "x"}, "name is no change"),
        ({"data": "digits"}, "accuracies on two test sets cannot be compared"),
        ({"model_options.": 1}, "unknown field"),
        ({"schedule": 3}, "must be an object of fields"),
    ],
)
def test_a_change_that_cannot_be_made_is_refused_in_one_line(changes, says):
    with pytest.raises(UserError, match=says) as error:
        ladder(Rung("plain"), Rung("next", changes))
    assert "rung 'next'" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "rungs", "says"),
    [
        ("mine", [Rung("a")], "needs two at least"),
        ("mine", [Rung("a"), Rung("a", {"epochs": 3})], "two rungs called 'a'"),
        ("mine", [Rung("a"), Rung("", {"epochs": 3})], "without a name"),
        ("a/b", [Rung("a"), Rung("b", {"epochs": 3})], "becomes a folder"),
    ],
)
def test_a_ladder_that_is_none_is_refused(name, rungs, says):
    with pytest.raises(UserError, match=says):
        Ladder(name, Recipe(), tuple(rungs))


def test_the_ground_may_be_on_other_data_than_the_base_and_is_told_so():
    assert ladder(Rung("digits", {"data": "digits"}), Rung("longer", {"epochs": 3})).data == "digits"


def test_a_file_holds_the_same_ladder(tmp_path):
    mine = ladder(Rung("plain", published=91.25), Rung("cosine", {"schedule": Schedule("triangle"), "epochs": 30}))
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(to_dict(mine)))
    read = read_ladder(path)
    assert read.recipes() == mine.recipes()
    assert [rung.published for rung in read.rungs] == [91.25, None]
    path.write_text(
        '{"name": "x", "base": "resnet20", "rungs": [{"name": "a"}, {"name": "b", "changes": {"epochs": 3}}]}'
    )
    assert [recipe.epochs for recipe in read_ladder(path).recipes()] == [182, 3]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is not JSON"),
        ("[]", "holds no ladder"),
        ("{}", "base is missing"),
        ('{"name": "x", "base": "resnet20", "rungs": []}', "has 0 rungs"),
        ('{"name": "x", "base": "resnet2", "rungs": []}', "unknown recipe 'resnet2': did you mean 'resnet20'"),
        ('{"name": "x", "base": {"epohcs": 3}, "rungs": []}', "did you mean 'epochs'"),
        ('{"name": "x", "base": 3, "rungs": []}', "base is 3, but must be the name of a recipe"),
        ('{"name": "x", "base": {}, "rugs": []}', "did you mean 'rungs'"),
        ('{"name": "x", "base": {}, "rungs": [{"name": "a", "change": {}}]}', "did you mean 'rungs.changes'"),
        ('{"name": "x", "base": {}, "rungs": [{"changes": {"epochs": 3, "epochs": 4}}]}', "'epochs' stands twice"),
    ],
)
def test_a_file_that_holds_no_ladder_is_named(tmp_path, content, says):
    path = tmp_path / "mine.json"
    path.write_text(content)
    with pytest.raises(UserError, match=says):
        read_ladder(path)
    with pytest.raises(UserError, match="no ladder file"):
        read_ladder(tmp_path / "none.json")
