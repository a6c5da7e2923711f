"""Where the source makes what the data comes from: loaders, data sets, and what names stand for there."""

import ast
from collections.abc import Iterator

from lowres.doctor.pipeline import Pipeline
from lowres.doctor.remedies.scopes import Function, home
from lowres.doctor.setup import Setup
from lowres.doctor.source import Source, called, last_name

DEPTH = 12
"""Names that are followed, one after the other."""
LOADERS = ("DataLoader",)


def loader_call(setup: Setup, one: Pipeline | None) -> tuple[Source, ast.Call] | None:
    """The call that made a loader."""
    source = setup.text(one.place) if one is not None else None
    if one is None or one.place is None or source is None:
        return None
    call = source.call_at(one.place.line, *LOADERS)
    return (source, call) if call is not None else None


def dataset_argument(call: ast.Call) -> ast.expr | None:
    """What a loader, or a subset, is made of."""
    return argument(call, 0, "dataset")


def argument(call: ast.Call, position: int, *names: str) -> ast.expr | None:
    """An argument of a call, by keyword or by position; None where it is not given, or hidden behind a star."""
    for keyword in call.keywords:
        if keyword.arg in names:
            return keyword.value
    if any(isinstance(one, ast.Starred) for one in call.args[: position + 1]):
        return None
    return call.args[position] if len(call.args) > position >= 0 else None


def dataset_call(setup: Setup, one: Pipeline | None) -> tuple[Source, ast.Call] | None:
    """The call that made the innermost data set of a loader; None where the source does not lead there."""
    found = loader_call(setup, one)
    if found is None or one is None:
        return None
    source, loader = found
    wanted = type(one.base).__name__
    for expression in chain(source, dataset_argument(loader)):
        if isinstance(expression, ast.Call) and called(expression) == wanted:
            return source, expression
    return None


def chain(source: Source, expression: ast.expr | None) -> Iterator[ast.expr]:
    """An expression and what it was made of in turn: names, subsets, splits, wrappers."""
    for _ in range(DEPTH):
        if expression is None:
            return
        yield expression
        expression = _inner(source, expression)


def _inner(source: Source, node: ast.expr) -> ast.expr | None:
    if isinstance(node, ast.Name | ast.Attribute):
        return value_of(source, node)
    if isinstance(node, ast.Call):
        return argument(node, 0, "dataset", "data")
    if isinstance(node, ast.Subscript):
        return node.value
    return None


def value_of(source: Source, node: ast.expr) -> ast.expr | None:
    """What a name was last set to before it is read, in its function or around it; of `self.x`, anywhere.

    Of several names that are set at once: its own value of `a, b = c, d`, the common one of `a, b = split(c)`.
    """
    found = definition(source, node)
    if found is not None:
        return _own_value(source, found, source.segment(node))
    function = home(node)
    return _passed(source, function, node.id) if function is not None and isinstance(node, ast.Name) else None


def _own_value(source: Source, statement: ast.Assign, name: str) -> ast.expr:
    value, left = statement.value, statement.targets[0]
    if isinstance(value, ast.Tuple) and isinstance(left, ast.Tuple) and len(value.elts) == len(left.elts):
        return next((v for t, v in zip(left.elts, value.elts, strict=True) if source.segment(t) == name), value)
    return value


def definition(source: Source, node: ast.expr) -> ast.Assign | None:
    """The assignment behind `value_of`."""
    name = source.segment(node)
    same = [one for one in source.nodes(ast.Assign) if any(name == source.segment(t) for t in targets(one))]
    if isinstance(node, ast.Attribute):
        same = same or [one for one in source.nodes(ast.Assign) if any(_attribute(t, node.attr) for t in targets(one))]
        return same[-1] if same else None
    scope = home(node)
    while True:
        here = [one for one in same if home(one) is scope]
        before = [one for one in here if (one.end_lineno or one.lineno) < node.lineno]
        if before or (here and scope is not home(node)):
            return (before if before and scope is home(node) else here)[-1]
        if scope is None or (isinstance(node, ast.Name) and _is_parameter(scope, node.id)):
            return None
        scope = home(scope)


def _attribute(target: ast.expr, name: str) -> bool:
    return isinstance(target, ast.Attribute) and target.attr == name


def targets(statement: ast.Assign) -> Iterator[ast.expr]:
    """The names that an assignment sets, those within tuples one by one."""
    for target in statement.targets:
        yield from target.elts if isinstance(target, ast.Tuple | ast.List) else (target,)


def _is_parameter(function: Function, name: str) -> bool:
    arguments = function.args
    return name in {one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}


def _passed(source: Source, function: Function, name: str) -> ast.expr | None:
    """What the only call of a function gives for a parameter."""
    calls = source.calls(function.name)
    names = [one.arg for one in function.args.args if one.arg not in ("self", "cls")]
    if len(calls) != 1 or name not in names:
        return None
    return argument(calls[0], names.index(name), name)


def number_of(source: Source, node: ast.expr | None) -> ast.Constant | None:
    """The number that an expression stands for where the source writes it: itself, a name's, an option's default."""
    for _ in range(DEPTH):
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
            return node
        if isinstance(node, ast.Attribute):
            default = _option(source, node.attr)
            node = default if default is not None else value_of(source, node)
        elif isinstance(node, ast.Name):
            node = value_of(source, node)
        else:
            return None
    return None


def _option(source: Source, name: str) -> ast.expr | None:
    """The default of an option of a command line."""
    for call in source.calls("add_argument"):
        for one in call.args:
            if isinstance(one, ast.Constant) and str(one.value).lstrip("-").replace("-", "_") == name:
                return argument(call, -1, "default")
    return None


def name_in_reach(source: Source, node: ast.expr, names: tuple[str, ...]) -> list[tuple[str, ast.Call]]:
    """Names that were set to calls of some functions before a node, in its function or around it."""
    found: list[tuple[str, ast.Call]] = []
    scopes: list[ast.AST | None] = [None]
    function = home(node)
    while function is not None:
        scopes.append(function)
        function = home(function)
    for one in source.nodes(ast.Assign):
        if home(one) not in scopes or (one.end_lineno or one.lineno) >= node.lineno:
            continue
        for target in targets(one):
            value = _own_value(source, one, source.segment(target))
            if isinstance(value, ast.Call) and called(value) in names and last_name(target):
                found.append((source.segment(target), value))
    return found
