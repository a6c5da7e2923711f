"""Hyper-parameters that a program declares, as a name or as an option of its command line, and never reads."""

import ast
import re
from collections import Counter
from typing import NamedTuple

from lowres.doctor.calls import called, last_name
from lowres.doctor.proposals import number
from lowres.doctor.remedies.places import Made
from lowres.doctor.remedies.scopes import home, known
from lowres.doctor.setup import Setup
from lowres.doctor.source import Source, parent

DEAD = {
    "weight_decay": re.compile(r"^(weight_?decay|wd|l2(_reg)?)$", re.IGNORECASE),
    "momentum": re.compile(r"^(momentum|mom)$", re.IGNORECASE),
    "label_smoothing": re.compile(r"^(label_?smoothing|smoothing)$", re.IGNORECASE),
    "lr": re.compile(r"^(lr|learning_?rate|base_?lr|init_?lr)$", re.IGNORECASE),
    "batch_size": re.compile(r"^(batch_?size|bs|train_?batch_?size)$", re.IGNORECASE),
    "epochs": re.compile(r"^(epochs|num_?epochs|n_?epochs|max_?epochs)$", re.IGNORECASE),
}
OPTIONS = re.compile(r"(args?|opts?|options?|cfg|conf(ig)?s?|params|hps?|hparams?|hyper_?param(eter)?s?|flags)$", re.I)
"""How programs call what holds their options."""
DECLARING = ("float", "int", "field", "Field")


class Unused(NamedTuple):
    """Where a hyper-parameter is declared, what it is called, and its value, None where that is not written there."""

    source: Source
    line: int
    name: str
    value: object


def declared_unused(setup: Setup, option: str) -> Unused | None:
    """A hyper-parameter that is declared and read nowhere; None if there is none."""
    sources = [one for one in (setup.source, *setup.files.values()) if one is not None]
    text = [(one, name, line, value) for one in sources for name, line, value in _declared(one, DEAD[option])]
    for source, name, line, value in text:
        if not any(_reads(one, name) for one in sources):
            return Unused(source, line, name, value)
    return None


def _declared(source: Source, pattern: re.Pattern[str]) -> list[tuple[str, int, object]]:
    found: list[tuple[str, int, object]] = []
    for node in source.nodes(ast.Assign, ast.AnnAssign, ast.Call):
        if isinstance(node, ast.Call):
            if called(node) != "add_argument":
                continue
            default = next((k.value for k in node.keywords if k.arg == "default"), None)
            if pattern.match(_destination(node)):
                found.append((_destination(node), node.lineno, _literal(default)))
            continue
        assert isinstance(node, ast.Assign | ast.AnnAssign)
        if node.value is not None and not _fixed(source, node.value):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        named_targets = [last_name(one) for one in targets if isinstance(one, ast.Name | ast.Attribute)]
        found += [(name, node.lineno, _literal(node.value)) for name in named_targets if pattern.match(name)]
    return found


def _fixed(source: Source, node: ast.expr, depth: int = 0) -> bool:
    """Whether a value is a declaration: figures, arithmetic of figures, an option, or a name that was set to such.

    What a schedule or a batch is asked for (`scheduler.get_last_lr()[0]`, `x.size(0)`) is a reading, not a declaration.
    """
    if isinstance(node, ast.Name):
        given = [one.value for one in source.nodes(ast.Assign) if any(last_name(t) == node.id for t in one.targets)]
        return depth < 3 and bool(given) and all(_fixed(source, one, depth + 1) for one in given)
    if isinstance(node, ast.Attribute | ast.Subscript):
        root: ast.expr = node
        while isinstance(root, ast.Attribute | ast.Subscript) and not OPTIONS.match(last_name(root)):
            root = root.value
        return OPTIONS.match(last_name(root)) is not None
    if isinstance(node, ast.Call):
        parts = [*node.args, *(one.value for one in node.keywords)]
        return called(node) in DECLARING and all(_fixed(source, one, depth) for one in parts)
    if isinstance(node, ast.UnaryOp | ast.BinOp):
        parts = [node.operand] if isinstance(node, ast.UnaryOp) else [node.left, node.right]
        return all(_fixed(source, one, depth) for one in parts)
    return isinstance(node, ast.Constant)


def _destination(call: ast.Call) -> str:
    """The name under which an `add_argument` is read: its `dest`, else its first long option, else its first."""
    given = next((one.value for one in call.keywords if one.arg == "dest"), None)
    if given is not None:
        return str(_literal(given) or "")
    names = [one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    chosen = next((name for name in names if name.startswith("--")), names[0] if names else "")
    return chosen.lstrip("-").replace("-", "_")


def _literal(node: ast.AST | None) -> object:
    return node.value if isinstance(node, ast.Constant) else None


def _reads(source: Source, name: str) -> bool:
    """Whether a name is read anywhere, but to be printed or logged."""
    for node in source.nodes(ast.Name, ast.Attribute):
        if last_name(node) == name and isinstance(getattr(node, "ctx", None), ast.Load) and not _printed(node):
            return True
    texts = [n for n in source.nodes(ast.Constant) if n.value == name and not _is_destination(n)]
    return bool(texts) or any("**vars(" in line or "**args" in line for line in source.lines)


def _is_destination(node: ast.Constant) -> bool:
    around = parent(node)
    return isinstance(around, ast.keyword) and around.arg == "dest"


def _printed(node: ast.AST) -> bool:
    above = parent(node)
    while above is not None and not isinstance(above, ast.stmt):
        if isinstance(above, ast.Call) and called(above) in ("print", "info", "debug", "format", "write"):
            return True
        above = parent(above)
    return False


def named(built: Made, unused: Unused) -> str | None:
    """A declared hyper-parameter as it is called where the optimizer is made."""
    source, name = unused.source, unused.name
    if source is not built.source:
        return None
    if not _is_argument(source, name):
        return name if known(source, name, built.call) else None
    # Whatever other arguments of the command line are read from there: args, self.args, config. An object of the
    # user's may have an attribute of such a name, too (self.data): what most of them are read from goes first.
    arguments = {_destination(call) for call in source.calls("add_argument")}
    read = [one for one in source.nodes(ast.Attribute) if one.attr in arguments and ast.unparse(one.value) != "self"]
    found = {(ast.unparse(one.value), one.attr) for one in read}
    count = Counter(place for place, _ in found)
    read.sort(key=lambda one: (-count[ast.unparse(one.value)], home(one) is not home(built.call)))
    return next((f"{ast.unparse(one.value)}.{name}" for one in read if known(source, one.value, built.call)), None)


def _is_argument(source: Source, name: str) -> bool:
    return any(_destination(call) == name for call in source.calls("add_argument"))


def figure(unused: Unused | None) -> float | None:
    """The value of a declared hyper-parameter, if that is a number."""
    return number(unused.value) if unused is not None else None
