import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowres.errors import UserError, unknown
from lowres.models import list_models
from lowres.recipes import list_recipes


def test_the_nearest_name_is_suggested_and_the_others_are_listed():
    error = unknown("colour", "grene", ["red", "green"])
    assert isinstance(error, UserError)
    assert str(error) == "unknown colour 'grene': did you mean 'green'? (there is green, red)"


def test_a_hint_takes_the_place_of_the_list():
    message = str(unknown("recipe", "resnet2O", ["resnet20"], "`lowres recipes` lists them"))
    assert message == "unknown recipe 'resnet2O': did you mean 'resnet20'? (`lowres recipes` lists them)"


def test_nothing_is_suggested_where_nothing_is_near():
    message = str(unknown("recipe", "penguin", ["resnet20", "digits"]))
    assert "did you mean" not in message
    assert "digits, resnet20" in message


def test_a_long_list_is_cut():
    message = str(unknown("name", "?", [f"n{number:03}" for number in range(1_030)]))
    assert message.endswith("n028, n029, and 1,000 more)")


def test_no_names_at_all():
    assert "there is none" in str(unknown("run", "mine", []))


@pytest.mark.parametrize(
    ("typed", "known", "near"),
    [
        ("RESNET20", ["resnet20", "resnet32"], "resnet20"),  # as people write it
        ("b", ["A", "B"], "B"),
        ("--EPOCHS", ["--epochs", "--seed"], "--epochs"),
    ],
)
def test_capitals_do_not_hide_the_nearest(typed, known, near):
    assert f"did you mean {near!r}?" in str(unknown("name", typed, known))


def test_of_equally_similar_names_the_one_that_begins_alike_is_nearer():
    assert "did you mean 'resnet20'?" in str(unknown("model", "resnet21", list_models("resnet*")))


@pytest.mark.parametrize("name", sorted({*list_recipes(), *list_models()}))
def test_two_letters_in_the_wrong_order_still_find_the_name(name):
    typed = name[0] + name[2] + name[1] + name[3:]
    assert f"did you mean {name!r}?" in str(unknown("name", typed, {*list_recipes(), *list_models()} - {typed}))


@settings(deadline=None)
@given(st.text(), st.lists(st.text("abcdefgh-_.0123456789", min_size=1)))
def test_whatever_was_typed_the_message_is_one_line(name, known):
    message = str(unknown("model", name, known))
    assert len(message.splitlines()) == 1
    assert repr(name) in message
