"""What a user can do wrong, said in one line: what it is, where, and what to do.

Every layer raises `UserError` for bad input; the command line prints its message and exits with code 2.
"""

import difflib
from collections.abc import Iterable

_LISTED = 30
"""Names that one line lists."""


class UserError(Exception):
    """Bad input. The message is one line for the user: what is wrong, where, and what to do about it."""


def unknown(kind: str, name: str, known: Iterable[str], hint: str = "") -> UserError:
    """An error for a name that is not among the known ones, with the nearest of them suggested.

    Args:
        kind: What was asked for, as a user says it: "model", "recipe", "option".
        name: The name that is unknown.
        known: The names there are.
        hint: A closing remark in place of the list of names, such as "`lowres models` lists them".
    """
    names = sorted(known)
    near = _nearest(name.lower(), [known_one for known_one in names if known_one != name])
    some = names if len(names) <= _LISTED else [*names[:_LISTED], f"and {len(names) - _LISTED:,} more"]
    listing = hint or ("there is " + ", ".join(some) if names else "there is none")
    suggestion = f": did you mean {near!r}?" if near else ""
    return UserError(f"unknown {kind} {name!r}{suggestion} ({listing})")


def _nearest(typed: str, names: list[str]) -> str | None:
    """The most similar name, whatever its capitals; of equally similar ones that which begins alike."""

    def likeness(name: str) -> tuple[float, int]:
        name = name.lower()
        if name.rpartition(".")[2] == typed.lstrip("-"):  # "--lr" for "--optimizer.lr"
            return 1.0, 0
        return difflib.SequenceMatcher(None, name, typed).ratio(), _shared(name, typed)

    best = max(names, key=likeness, default=None)
    return best if best is not None and likeness(best)[0] >= 0.5 else None


def _shared(a: str, b: str) -> int:
    """How many letters two words begin with alike."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
