"""Calls as they stand in source: their names, what they give to which argument, and code around an expression."""

import ast
import inspect
from collections.abc import Callable
from typing import Any

SPAN = ("lineno", "col_offset", "end_lineno", "end_col_offset")
"""How `ast` says from where to where a node reaches."""


def called(node: ast.Call) -> str:
    """The last name of what is called: `SGD` of `torch.optim.SGD(...)`."""
    return last_name(node.func)


def last_name(node: ast.AST) -> str:
    """`c` of `a.b.c`, `c` of `c`, "" of anything else."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def argument(call: ast.Call, name: str) -> ast.expr | None:
    """What a call gives to an argument, by name or, of PyTorch's own classes and functions, by position."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    names = _parameters(called(call))
    plain = not any(isinstance(one, ast.Starred) for one in call.args)
    if name in names and plain and names.index(name) < len(call.args):
        return call.args[names.index(name)]
    return None


def _parameters(name: str) -> list[str]:
    """Names of the parameters of a class or function of PyTorch, in order; none where it has none of that name."""
    import torch

    homes = (torch.optim, torch.optim.lr_scheduler, torch.utils.data, torch.nn, torch.nn.functional)
    made: Callable[..., Any] | None = next((getattr(home, name) for home in homes if hasattr(home, name)), None)
    if not callable(made):
        return []
    try:
        parameters = inspect.signature(made).parameters.values()
    except (TypeError, ValueError):
        return []
    return [one.name for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]


def template_of(node: ast.AST, text: str) -> str:
    """Code with {} where it repeats an expression; "" where it does not, repeats it twice, or the latter is a word."""
    if isinstance(node, ast.Constant | ast.Name | ast.stmt):
        return ""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError):
        return ""
    same = [one for one in ast.walk(tree) if isinstance(one, type(node)) and ast.dump(one) == ast.dump(node)]
    if len(same) != 1 or "{}" in text or same[0] is tree.body:
        return ""
    code = text.strip().encode()
    lines = [len(line) for line in code.splitlines(keepends=True)]
    line, column, end, end_column = (getattr(same[0], one) for one in SPAN)
    start, end = sum(lines[: line - 1]) + column, sum(lines[: end - 1]) + end_column
    return (code[:start] + b"{}" + code[end:]).decode()
