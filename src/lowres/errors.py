"""What a user can do wrong, said in one line: what it is, where, and what to do.

Every layer raises `UserError` for bad input; the command line prints its message and exits with code 2.
"""

import difflib
from collections.abc import Iterable


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
    near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    listing = hint or ("there is " + ", ".join(names) if names else "there is none")
    suggestion = f"did you mean {near[0]!r}? " if near else ""
    return UserError(f"unknown {kind} {name!r}: {suggestion}({listing})")
