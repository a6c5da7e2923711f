"""What the verbs share: options from dataclasses through tyro, errors in one line, JSON to standard output."""

import ast
import contextlib
import dataclasses
import inspect
import io
import json
import os
import re
import sys
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro
from rich.console import Console

from lowres.errors import UserError, unknown
from lowres.files import expanded
from lowres.recipes import Option

T = TypeVar("T")


def parse(kind: type[T], words: Sequence[str], verb: str, default: T | None = None, shown: str = "") -> T:
    """Reads a verb's options into its dataclass, whose docstring is the help.

    Args:
        kind: The dataclass.
        words: What follows the verb.
        verb: Its name, for help and errors.
        shown: What follows `lowres` in the help's first line; "": the verb.
        default: Values of options that are not given; None: those of the class.

    Raises:
        UserError: An option is unknown (the nearest is suggested), lacks its value or has a wrong one.
        SystemExit: With code 0, after printing the help that was asked for.
    """
    message = io.StringIO()
    try:
        with contextlib.redirect_stderr(message), _registry():
            values, rest = tyro.cli(
                kind,
                args=list(words),
                default=default,
                prog=f"lowres {shown or verb}",
                description=described(kind),
                return_unknown_args=True,
                use_underscores=False,
            )
    except SystemExit as stop:
        if not stop.code:
            sys.stdout.flush()
            raise
        raise UserError(f"{_in_one_line(message.getvalue())} (`lowres {verb} --help` shows the options)") from None
    if rest:
        known = option_names(kind)
        if rest[0].startswith("-"):
            name = rest[0].partition("=")[0]
            raise unknown("option", name, known, f"`lowres {verb} --help` shows the options")
        raise UserError(f"{rest[0]!r} is too much: `lowres {verb} --help` shows what it takes")
    return typing.cast("T", values)


def described(kind: type) -> str:
    """What a docstring says before its sections, with its lines and indents as they are."""
    return (inspect.getdoc(kind) or "").partition("\n\nAttributes:")[0]


def option_names(kind: type, prefix: str = "--") -> list[str]:
    """The options of a dataclass as they are typed: "--epochs", "--optimizer.lr"."""
    names: list[str] = []
    for field, annotation in typing.get_type_hints(kind, include_extras=True).items():
        bare = typing.get_args(annotation)[0] if hasattr(annotation, "__metadata__") else annotation
        dashed = prefix + field.replace("_", "-")
        if dataclasses.is_dataclass(bare) and isinstance(bare, type):
            merged = any(getattr(m, "name", None) == "" for m in getattr(annotation, "__metadata__", ()))
            names += option_names(bare, prefix if merged else f"{dashed}.")
        else:
            names.append(dashed)
            if bare is bool:
                names.append(f"{prefix}no-{field.replace('_', '-')}")
    return names


def _in_one_line(box: str) -> str:
    """The message inside tyro's box: the lines between its title and its first rule."""
    inner: list[str] = []
    for line in box.splitlines()[1:]:
        text = line.strip("│╰╯ ")
        rule = not text.strip("─-")
        if inner and rule:
            break
        if not rule:
            inner.append(text)
    return _plain(re.sub(r"^Error parsing ", "", " ".join(inner))) or "the options cannot be read"


def _plain(message: str) -> str:
    """What a parser says of a value, as a user reads it."""
    message = re.sub(r"invalid literal for int\(\) with base 10: ('.*')", r"\1 is not a whole number", message)
    message = re.sub(r"could not convert string to float: ('.*')", r"\1 is not a number", message)
    return re.sub(r"no type matching (\S+) could be instantiated from \[(.*)\]\.", _is_none_of, message)


def _is_none_of(match: re.Match[str]) -> str:
    kinds = re.findall(r"\w+", match[1])
    return f"{match[2]} is none of {', '.join(kinds)}"


def _registry() -> tyro.constructors.ConstructorRegistry:
    """How options of a network are typed: as words such as shortcut=B, padding=same."""
    registry = tyro.constructors.ConstructorRegistry()

    @registry.primitive_rule
    def _(
        annotation: tyro.constructors.PrimitiveTypeInfo,
    ) -> tyro.constructors.PrimitiveConstructorSpec[dict[str, Option]] | None:
        if annotation.type != dict[str, Option]:
            return None
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs="*",
            metavar="NAME=VALUE ...",
            instance_from_str=model_options,
            is_instance=lambda value: isinstance(value, dict),
            str_from_instance=lambda options: [f"{name}={value}" for name, value in options.items()],
        )

    return registry


def model_options(pairs: Sequence[str]) -> dict[str, Option]:
    """Options of a network from words such as shortcut=B: text, numbers, true and false.

    Raises:
        UserError: A word is not of that form.
    """
    return dict(map(_option, pairs))


def _option(pair: str) -> tuple[str, Option]:
    name, equals, text = pair.partition("=")
    if not equals or not name:
        raise UserError(f"--model-options {pair!r} is not of the form NAME=VALUE, such as shortcut=B")
    try:
        value = ast.literal_eval(text.capitalize() if text in ("true", "false") else text)
    except (ValueError, SyntaxError):
        return name, text
    return name, value if isinstance(value, str | int | float | bool) else text


class _Screen(Console):
    """Leaves a reader that has seen enough to `main`, which ends without an error."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def check_writable(option: str, path: Path | None) -> None:
    """Looks, before the work, whether a file can be written.

    Raises:
        UserError: It cannot.
    """
    if path is None:
        return
    place = expanded(path).absolute()
    if place.is_dir() or not place.parent.is_dir() or not os.access(place.parent, os.W_OK):
        raise UserError(f"{option} {path} cannot be written: name a file in a folder that is there and can")


def console() -> Console:
    """For tables and text: names as they are, and no line broken where no terminal needs it."""
    return _Screen(highlight=False, markup=False, width=None if sys.stdout.isatty() else 1000)


def print_json(value: Any) -> None:
    """Prints plain values as JSON for other programs; letters as they are where the output is UTF-8."""
    letters = (getattr(sys.stdout, "encoding", None) or "utf-8").lower() in ("utf-8", "utf8")
    json.dump(value, sys.stdout, indent=2, ensure_ascii=not letters)
    sys.stdout.write("\n")
