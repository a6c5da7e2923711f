"""A program with fewer epochs: the number that bounds its loop over epochs, and the times of its schedules.

What is derived from the number of epochs follows by itself. Times that stand in a scheduler's call as numbers, or as
names of numbers (`milestones=[75, 120]`, `total_iters=warmup_epochs`), are scaled, so that a schedule keeps its shape,
and its fault if it has one.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lowres.doctor.source import LOOPS, Loop, Source, called, last_name, parent
from lowres.doctor.times import TIMES, times_of

EPOCHS = re.compile(r"epochs?$|^n_?ep|num_ep|max_ep", re.IGNORECASE)


@dataclass(frozen=True)
class Short:
    """A program cut to fewer epochs.

    Attributes:
        text: Its source.
        found: Whether a number of epochs stood there to be changed.
    """

    text: str
    found: bool


def shorten(text: str, whole: int, epochs: int, batches: tuple[int, int] | None = None) -> Short:
    """Cuts a program to fewer epochs.

    Whether its loop really follows is to be seen when it runs.

    Args:
        text: Its source.
        whole: Epochs that it is meant to train for.
        epochs: That it shall train for.
        batches: Of the whole training and of the short one. A time of at least half of the former counts batches.
    """
    source = Source("<variant>", text)
    changed: dict[ast.Constant, str] = {}
    bounds = set(_bounds(source, whole))
    for node in source.nodes(ast.Constant):
        if node.value == whole and type(node.value) is int and (node in bounds or _is_named(node)):
            changed[node] = str(epochs)
    for node in _times(source):
        if node in changed or type(node.value) is not int:
            continue
        counts = batches is not None and node.value >= max(batches[0] / 2, 2 * whole)
        share = batches[1] / batches[0] if batches is not None and counts else epochs / whole
        new = max(1, round(node.value * share))
        if new != node.value:
            changed[node] = str(new)
    found = any(value == str(epochs) and node.value == whole for node, value in changed.items())
    return Short(replaced(text, changed), found)


def shorten_arguments(arguments: Sequence[str], whole: int, epochs: int) -> list[str]:
    """A command line with fewer epochs: `--epochs 20` and `--epochs=20`."""
    short: list[str] = []
    for before, word in zip(["", *arguments], arguments, strict=False):
        name, equals, value = word.partition("=")
        if EPOCHS.search(before.lstrip("-")) and word == str(whole):
            short.append(str(epochs))
        elif equals and EPOCHS.search(name.lstrip("-")) and value == str(whole):
            short.append(f"{name}={epochs}")
        else:
            short.append(word)
    return short


def _is_named(node: ast.Constant) -> bool:
    """Whether a number bears the name of epochs: assigned, a default, an option's, an entry's or an argument's."""
    around = parent(node)
    match around:
        case ast.Assign(targets=targets):
            return any(EPOCHS.search(last_name(one)) for one in targets)
        case ast.AnnAssign(target=target):
            return bool(EPOCHS.search(last_name(target)))
        case ast.keyword(arg="default"):
            call = parent(around)
            names = [one.value for one in getattr(call, "args", []) if isinstance(one, ast.Constant)]
            return any(isinstance(one, str) and EPOCHS.search(one.lstrip("-")) for one in names)
        case ast.keyword(arg=str(name)):
            return bool(EPOCHS.search(name))
        case ast.Dict(keys=keys, values=values):
            key = next((k for k, v in zip(keys, values, strict=True) if v is node), None)
            return isinstance(key, ast.Constant) and isinstance(key.value, str) and bool(EPOCHS.search(key.value))
        case ast.arguments():
            return any(EPOCHS.search(name) for name, value in _defaults(around) if value is node)
        case ast.Tuple(elts=values):
            above = parent(around)
            if isinstance(above, ast.Assign) and isinstance(above.targets[0], ast.Tuple):
                pairs = zip(above.targets[0].elts, values, strict=False)
                return any(value is node and EPOCHS.search(last_name(target)) for target, value in pairs)
    return False


def _defaults(arguments: ast.arguments) -> Iterator[tuple[str, ast.expr | None]]:
    plain = [*arguments.posonlyargs, *arguments.args]
    for argument, value in zip(reversed(plain), reversed(arguments.defaults), strict=False):
        yield argument.arg, value
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield argument.arg, default


def _bounds(source: Source, whole: int) -> Iterator[ast.Constant]:
    """Numbers that bound an outermost loop, `for i in range(20)`, and those assigned to a name that does."""
    loops: list[Loop] = [one for one in source.nodes(ast.stmt) if isinstance(one, LOOPS)]
    for loop in loops:
        inside = [one for statement in loop.body for one in ast.walk(statement)]
        if any(isinstance(one, LOOPS) for one in _above(loop)) or not any(
            isinstance(one, (*LOOPS, ast.Call)) for one in inside
        ):
            continue
        head = loop.test if isinstance(loop, ast.While) else loop.iter
        counted = isinstance(loop, ast.While) or any(
            isinstance(one, ast.Call) and called(one) in ("range", "trange") for one in ast.walk(head)
        )
        if not counted:
            continue
        for node in ast.walk(head):
            if isinstance(node, ast.Constant) and node.value == whole:
                yield node
            elif isinstance(node, ast.Name):
                for one in source.nodes(ast.Assign):
                    if isinstance(one.value, ast.Constant) and any(last_name(t) == node.id for t in one.targets):
                        yield one.value


def _above(node: ast.AST) -> Iterator[ast.AST]:
    around = parent(node)
    while around is not None and not isinstance(around, ast.FunctionDef | ast.AsyncFunctionDef):
        yield around
        around = parent(around)


def _times(source: Source) -> Iterator[ast.Constant]:
    """Numbers in the arguments of schedulers that are times."""
    for call in source.calls(*TIMES):
        yield from times_of(source, call)


def replaced(text: str, changed: dict[ast.Constant, str]) -> str:
    """A source with other text in the places of some of its numbers."""
    lines = text.split("\n")  # as the parser counts them: splitlines ends lines at form feeds, too
    for node in sorted(changed, key=lambda one: (one.lineno, one.col_offset), reverse=True):
        line = lines[node.lineno - 1].encode()
        end = node.end_col_offset or node.col_offset
        lines[node.lineno - 1] = (line[: node.col_offset] + changed[node].encode() + line[end:]).decode()
    return "\n".join(lines)
