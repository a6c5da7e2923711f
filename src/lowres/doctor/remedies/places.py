"""Where a fix can be written: the loops, the optimizer's construction, declarations.

Every function returns None where it cannot be sure. A check then gives code to read in the place of a patch.
"""

import ast
from dataclasses import dataclass

from lowres.doctor.calls import argument, called, last_name
from lowres.doctor.findings import Place
from lowres.doctor.patching.edits import Edit
from lowres.doctor.remedies.scopes import bound_in, home, known, same, statement
from lowres.doctor.setup import Setup
from lowres.doctor.source import LOOPS, Loop, Source, parent


@dataclass(frozen=True)
class Made:
    """A construction: `optimizer = SGD(...)`.

    Attributes:
        source: The file that it stands in.
        call: The call.
        target: What it is bound to; None where that is neither a name nor an attribute.
    """

    source: Source
    call: ast.Call
    target: ast.expr | None

    @property
    def name(self) -> str:
        """The target as code; ""."""
        return ast.unparse(self.target) if self.target is not None else ""

    @property
    def statement(self) -> ast.stmt:
        """The statement around it."""
        return statement(self.call)


# Constructions and loops.


def made(setup: Setup, place: Place | None, *names: str) -> Made | None:
    """The construction that stands at a place."""
    source = setup.text(place)
    call = source.call_at(place.line, *names) if source is not None and place is not None else None
    if source is None or call is None:
        return None
    around = statement(call)
    targets = around.targets if isinstance(around, ast.Assign) and around.value is call else []
    target = targets[0] if len(targets) == 1 and isinstance(targets[0], ast.Name | ast.Attribute) else None
    return Made(source, call, target)


def optimizer_made(setup: Setup) -> Made | None:
    """Where the optimizer is made."""
    return made(setup, setup.optimizer_place, setup.algorithm)


def loader_made(setup: Setup) -> Made | None:
    """Where the training loader is made."""
    kind = type(setup.train.loader).__name__ if setup.train is not None else ""
    return made(setup, setup.train.place, kind) if setup.train is not None else None


def epoch_loop(setup: Setup) -> tuple[Source, Loop] | None:
    """The loop over epochs."""
    train = setup.trace.train_loader()
    for event in setup.trace.of("iterate"):
        if train is None or event["loader"] != id(train) or not event["rounds"]:
            continue
        line = event["rounds"][1]
        sources = [one for one in (setup.source, *setup.files.values()) if one is not None]
        loops: list[tuple[Source, Loop]] = []
        for one in sources:
            loops += [(one, n) for n in one.nodes(ast.stmt) if isinstance(n, LOOPS) and n.lineno == line]
        own = [pair for pair in loops if event.place is not None and pair[0].path == event.place.path]
        chosen = own or loops
        return chosen[0] if len(chosen) == 1 else None
    return None


def batch_loop(setup: Setup) -> tuple[Source, ast.For] | None:
    """The loop over the training batches."""
    train = setup.trace.train_loader()
    for event in setup.trace.of("iterate"):
        source = setup.text(event.place)
        if train is None or event["loader"] != id(train) or source is None or event.place is None:
            continue
        line = event.place.line
        for loop in source.enclosing(line, ast.For):
            if loop.iter.lineno <= line <= (loop.iter.end_lineno or 0):
                return source, loop
        return None
    return None


def optimizer_step(setup: Setup) -> tuple[Source, ast.stmt, str] | None:
    """The statement that steps the optimizer, and what the optimizer is called there."""
    train = setup.optimizer
    for event in setup.trace.of("step"):
        source = setup.text(event.place)
        if source is None or event.place is None or event["optimizer"] != id(train):
            continue
        call = source.call_at(event.place.line, "step")
        if call is None or not isinstance(call.func, ast.Attribute):
            return None
        scaled = bool(call.args) and isinstance(call.args[0], ast.Name | ast.Attribute)
        return source, statement(call), source.segment(call.args[0] if scaled else call.func.value)
    return None


def epochs_text(setup: Setup, source: Source, site: ast.AST, line: int | None = None) -> str | None:
    """The number of epochs as it can be written at a site: by name where the name is known there."""
    found = epoch_loop(setup)
    if found is not None and found[0] is source and isinstance(found[1], ast.For):
        text = _rounds(found[1])
        if text is not None and known(source, text, site, line) and same(source, text, found[1], site):
            return text
    return str(setup.epochs) if setup.epochs else None


def _rounds(loop: ast.For) -> str | None:
    """What a loop over a range counts up to."""
    call = next((n for n in ast.walk(loop.iter) if isinstance(n, ast.Call) and called(n) in ("range", "trange")), None)
    if call is None or len(call.args) not in (1, 2):
        return None
    last = call.args[-1]
    if len(call.args) == 1:
        return ast.unparse(last)
    first = call.args[0]
    plus = isinstance(last, ast.BinOp) and isinstance(last.op, ast.Add) and ast.unparse(last.right) == "1"
    if isinstance(first, ast.Constant) and first.value == 1 and plus:
        return ast.unparse(last.left)  # type: ignore[attr-defined]
    if (isinstance(first, ast.Constant) and first.value == 0) or "start" in ast.unparse(first).lower():
        return ast.unparse(last)
    return None


def loader_text(setup: Setup, source: Source, site: ast.AST, line: int | None = None) -> str | None:
    """The training loader as it is called at a site."""
    built, loop = loader_made(setup), batch_loop(setup)
    candidates = [built.name] if built is not None and built.source is source else []
    if built is not None and not same(source, built.name or "0", built.call, site):
        candidates = []
    if loop is not None and loop[0] is source:
        inner: ast.expr = loop[1].iter
        while isinstance(inner, ast.Call) and inner.args:
            inner = inner.args[0]
        plain = isinstance(inner, ast.Name | ast.Attribute) and same(source, ast.unparse(inner), loop[1], site)
        candidates += [ast.unparse(inner)] if plain else []
    return next((one for one in candidates if one and known(source, one, site, line)), None)


# Declarations.


def declaration(source: Source, value: ast.expr | None) -> ast.Constant | None:
    """The constant behind a name: `RATE = 0.1`, the default of an argument, a field, an entry of a dictionary."""
    if isinstance(value, ast.UnaryOp | ast.Constant) or value is None:
        return None
    name = last_name(value)
    found: list[ast.expr | None] = []
    if isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Constant):
        name = str(value.slice.value)
        pairs = [pair for one in source.nodes(ast.Dict) for pair in zip(one.keys, one.values, strict=True)]
        found = [entry for key, entry in pairs if isinstance(key, ast.Constant) and key.value == name]
    elif isinstance(value, ast.Name):
        found = _assigned(source, value)
    elif isinstance(value, ast.Attribute):
        for call in source.calls("add_argument"):
            names = [str(one.value).lstrip("-").replace("-", "_") for one in call.args if isinstance(one, ast.Constant)]
            dest = argument(call, "dest")
            names = [str(dest.value)] if isinstance(dest, ast.Constant) else names
            found += [argument(call, "default")] if name in names else []
        for node in source.nodes(ast.AnnAssign, ast.Assign):
            assert isinstance(node, ast.Assign | ast.AnnAssign)
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            field = isinstance(parent(node), ast.ClassDef) and any(last_name(one) == name for one in targets)
            own = any(isinstance(one, ast.Attribute) and one.attr == name for one in targets)
            found += [node.value] if field or own else []
    return found[0] if len(found) == 1 and isinstance(found[0], ast.Constant) else None


def _assigned(source: Source, name: ast.Name) -> list[ast.expr | None]:
    """All that a name is given in its scope; nothing where that is a parameter's."""
    scope = home(name)
    while scope is not None:
        if name.id in {one.arg for one in source.nodes(ast.arg) if home(one) is scope}:
            return []
        if any(bound == name.id for _, bound in bound_in(source, scope)):
            break
        scope = home(scope)
    found: list[ast.expr | None] = []
    for node in source.nodes(ast.Name):
        if node.id == name.id and isinstance(node.ctx, ast.Store) and home(node) is scope:
            above = parent(node)
            plain = isinstance(above, ast.Assign | ast.AnnAssign)
            found.append(above.value if plain else None)  # type: ignore[union-attr]
    return found


def given(source: Source, value: ast.expr | None, old: float | None, new: str) -> Edit | None:
    """Other code for a value: where it is declared, if that is what counts, else where it is used."""
    behind = declaration(source, value)
    if behind is not None and isinstance(behind.value, int | float) and (old is None or behind.value == old):
        return source.replaced(behind, new)
    return source.replaced(value, new) if value is not None else None
