import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro
from hypothesis import given, settings
from hypothesis import strategies as st

from lowres.app.command import model_options, option_names, parse, print_json
from lowres.errors import UserError


@dataclass(frozen=True)
class Part:
    """A part.

    Attributes:
        size: Its size.
        kind: Its kind.
    """

    size: float = 1.0
    kind: Literal["red", "blue"] = "red"


@dataclass(frozen=True)
class Merged:
    """Merged.

    Attributes:
        batch_size: Images.
        part: A part.
        pair: Two.
    """

    batch_size: int = 3
    part: Part = dataclasses.field(default_factory=Part)
    pair: tuple[int, int] = (1, 2)


@dataclass(frozen=True)
class Options:
    """Some options.

    Attributes:
        path: A file.
        whole: The rest.
        fast: Whether fast.
        maybe: Perhaps a path.
    """

    path: tyro.conf.Positional[Path]
    whole: Annotated[Merged, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Merged)
    fast: bool = False
    maybe: Path | None = None


def read(*words, default=None):
    return parse(Options, words, "verb", default)


def test_options_become_values():
    assert read("x") == Options(Path("x"))
    given_ones = read("--batch-size", "7", "x", "--part.kind=blue", "--part.size", "1e-3", "--fast", "--pair", "3", "4")
    assert given_ones == Options(Path("x"), Merged(7, Part(1e-3, "blue"), (3, 4)), fast=True)
    assert read("x", "--maybe", "y").maybe == Path("y")
    assert read("x", "--maybe", "None").maybe is None


def test_defaults_may_come_from_elsewhere():
    start = Options(Path("old"), Merged(9, Part(kind="blue")), fast=True)
    assert read("x", default=start) == dataclasses.replace(start, path=Path("x"))
    assert read("x", "--no-fast", "--part.size", "2", default=start).whole == Merged(9, Part(2.0, "blue"))


def test_every_option_has_a_name_to_suggest():
    assert set(option_names(Options)) >= {"--batch-size", "--part.size", "--part.kind", "--pair", "--fast", "--maybe"}


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--batch-sise", "7"), ["unknown option '--batch-sise'", "did you mean '--batch-size'?"]),
        (("--batch-sise=7",), ["unknown option '--batch-sise'", "did you mean '--batch-size'?"]),
        (("--part.sizes", "7"), ["unknown option '--part.sizes'", "did you mean '--part.size'?"]),
        (("--size", "7"), ["unknown option '--size'"]),
        (("-z",), ["unknown option '-z'"]),
        (("--no-fats",), ["unknown option '--no-fats'", "did you mean '--no-fast'?"]),
        (("--part.kind", "green"), ["--part.kind", "'green'", "red", "blue"]),
        (("--part.size", "wide"), ["--part.size", "'wide'"]),
        (("--batch-size", "7.5"), ["--batch-size", "'7.5'"]),
        (("--batch-size",), ["--batch-size", "Missing value"]),
        (("--batch-size", "--fast"), ["--batch-size", "Missing value"]),
        (("--pair", "1"), ["--pair"]),
        (("y",), ["'y' is too much"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_read_is_said_in_one_short_line(words, parts):
    with pytest.raises(UserError) as error:
        read("x", *words)
    message = str(error.value)
    for part in [*parts, "`lowres verb --help` shows"]:
        assert part in message
    assert len(message.splitlines()) == 1
    assert len(message) < 250
    assert not any(noise in message for noise in ("---", "───", "helptext", "  ", "Value error", "Invalid choice "))


@pytest.mark.parametrize("width", ["30", "80", "500"])
def test_the_width_of_the_terminal_does_not_matter(width, monkeypatch):
    monkeypatch.setenv("COLUMNS", width)
    with pytest.raises(UserError, match=r"'green'.*'red', 'blue'.*\(`lowres verb --help` shows the options\)"):
        read("x", "--part.kind", "green")


def test_what_is_missing_is_said():
    with pytest.raises(UserError, match="PATH"):
        read("--fast")


def test_help_is_printed_and_ends_the_program(capsys):
    with pytest.raises(SystemExit) as stop:
        read("--help")
    assert stop.value.code in (0, None)
    shown = capsys.readouterr()
    assert "usage: lowres verb" in shown.out
    assert "Some options." in shown.out
    assert shown.err == ""


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("shortcut=B", "B"),
        ("channels=3", 3),
        ("channels=-3", -3),
        ("rate=0.5", 0.5),
        ("rate=1e-3", 1e-3),
        ("se=true", True),
        ("se=True", True),
        ("se=false", False),
        ("name='3'", "3"),
        ("a=b=c", "b=c"),
        ("empty=", ""),
        ("list=[1]", "[1]"),
        ("none=None", "None"),
        ("call=print(1)", "print(1)"),
        ("width=1_000", 1000),
    ],
)
def test_options_of_a_network_have_the_type_they_look_like(pair, value):
    ((name, read_),) = model_options([pair]).items()
    assert name == pair.partition("=")[0]
    assert read_ == value
    assert type(read_) is type(value)


@pytest.mark.parametrize("pair", ["shortcut", "=B", ""])
def test_other_words_are_no_option_of_a_network(pair):
    with pytest.raises(UserError, match="is not of the form NAME=VALUE, such as shortcut=B"):
        model_options([pair])


@settings(deadline=None)
@given(st.text())
def test_no_word_is_more_than_a_plain_value(text):
    value = model_options([f"x={text}"])["x"]
    assert type(value) in (str, int, float, bool)


def test_json_is_readable_and_exact(capsys):
    value = {"accuracy": 91.07142857142857, "name": "Küche", "rows": [1, None, True]}
    print_json(value)
    out = capsys.readouterr().out
    assert json.loads(out) == value
    assert out.endswith("}\n")
