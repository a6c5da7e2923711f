"""Recipes as JSON: written in full, read strictly, and known by a hash of their content."""

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from lowres.errors import UserError, unknown
from lowres.recipes.recipe import Recipe

T = TypeVar("T")


def convert(kind: type[T], values: Any, where: str) -> T:
    """A dataclass from plain JSON values, checked field by field against its annotations.

    Args:
        kind: The dataclass; its fields may be dataclasses, too.
        values: Plain values; a field that is left out has its default.
        where: What to call the place in errors, such as a file's name.

    Raises:
        UserError: A field is unknown, lacks, is of the wrong type or out of range.
    """
    converted: T = _convert(kind, values, where, "")
    return converted


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain JSON values, every field named, defaults too."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(recipe)))
    return plain


def from_dict(values: Mapping[str, Any], where: str = "recipe") -> Recipe:
    """A recipe from plain values; a field that is left out has its default.

    Args:
        values: As `to_dict` gives them.
        where: What to call the place in errors, such as a file's name.

    Raises:
        UserError: A field is unknown, of the wrong type or out of range.
    """
    return convert(Recipe, values, where)


def read(path: Path) -> Recipe:
    """The recipe of a JSON file.

    Raises:
        UserError: The file is missing, is not JSON or holds no valid recipe.
    """
    return from_dict(read_object(path, "recipe", "`lowres recipes` lists the built-in ones"), str(path))


def read_object(path: Path, kind: str, hint: str) -> dict[str, Any]:
    """The object that a JSON file holds, in UTF-8 or, as PowerShell writes it, in UTF-16.

    Args:
        path: The file.
        kind: What it is meant to hold, for errors: "recipe".
        hint: What to do where there is no such file.

    Raises:
        UserError: The file is missing, is not JSON, names a field twice or holds something else.
    """
    try:
        values = json.loads(path.read_bytes(), object_pairs_hook=_without_repeats)
    except FileNotFoundError:
        raise UserError(f"no {kind} file {path}; {hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the {kind} file {path}: {error}") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} holds no {kind}: {error}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} holds no {kind}: expected an object of fields, found {type(values).__name__}")
    return values


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"{next(key for key in keys if keys.count(key) > 1)!r} stands twice in one object")
    return values


def fingerprint(recipe: Recipe) -> str:
    """Sha256 of everything that decides the result: all fields but the name, in hexadecimal.

    Fields that came later are left out where they have their default, so that older runs keep their fingerprints.
    """
    same = from_dict(to_dict(recipe))  # 1 and 1.0 are the same
    values = _without_later_defaults(same, to_dict(same))
    del values["name"]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _without_later_defaults(part: Any, values: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for f in dataclasses.fields(part):
        value = getattr(part, f.name)
        if f.metadata.get("later") and value == f.default:
            continue
        kept[f.name] = (
            _without_later_defaults(value, values[f.name]) if dataclasses.is_dataclass(value) else values[f.name]
        )
    return kept


def differences(a: Recipe, b: Recipe) -> dict[str, tuple[Any, Any]]:
    """Where two recipes differ: {"optimizer.lr": (0.1, 0.2)}; the name does not count.

    None of those with one fingerprint differ: a field that is a fraction takes 1 for 1.0.
    """
    flat_a, flat_b = (_flat(to_dict(from_dict(to_dict(one)))) for one in (a, b))
    keys = [key for key in flat_a | flat_b if key != "name"]
    pairs = {key: (flat_a.get(key), flat_b.get(key)) for key in keys}
    return {key: pair for key, pair in pairs.items() if json.dumps(pair[0]) != json.dumps(pair[1])}  # 2 is not 2.0


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _convert(kind: Any, value: Any, where: str, path: str) -> Any:
    """`value`, from JSON, as the annotated type `kind`; lists become tuples."""
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(value, Mapping):
            raise _mismatch(where, path, value, "an object of fields")
        hints = typing.get_type_hints(kind)
        for key in value:
            if key not in hints:
                raise unknown(f"field in {where}:", f"{path}{key}", [f"{path}{name}" for name in hints])
        required = {
            f.name
            for f in dataclasses.fields(kind)
            if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        }
        for key in sorted(required - set(value)):
            raise UserError(f"{where}: {path}{key} is missing")
        fields = {key: _convert(hints[key], value[key], where, f"{path}{key}.") for key in value}
        try:
            return kind(**fields)
        except UserError as error:  # out of range: the constructor does not know where the values come from
            raise UserError(f"{where}: {error}") from None
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        if value in arguments:
            return value
        raise _mismatch(where, path, value, "one of " + ", ".join(map(str, arguments)))
    if origin in (types.UnionType, typing.Union):
        for choice in arguments:
            try:
                return _convert(choice, value, where, path)
            except UserError:
                continue
        names = " or ".join("null" if c is type(None) else getattr(c, "__name__", str(c)) for c in arguments)
        raise _mismatch(where, path, value, names)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise _mismatch(where, path, value, "a list")
        kinds = [arguments[0]] * len(value) if arguments[-1] is ... else list(arguments)
        if len(kinds) != len(value):
            raise _mismatch(where, path, value, f"a list of {len(kinds)}")
        return tuple(_convert(k, v, where, path) for k, v in zip(kinds, value, strict=True))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise _mismatch(where, path, value, "an object")
        return {str(key): _convert(arguments[1], item, where, f"{path}{key}.") for key, item in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is kind:
        return value
    raise _mismatch(where, path, value, "null" if kind is type(None) else getattr(kind, "__name__", str(kind)))


def _mismatch(where: str, path: str, value: Any, expected: str) -> UserError:
    return UserError(f"{where}: {path.rstrip('.') or 'the content'} is {value!r}, but must be {expected}")
