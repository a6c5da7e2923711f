"""Fixes within the user's network: what its forward returns, lists of layers, layers made anew, widths, dropout."""

import ast
import contextlib
import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from lowres.doctor.calls import argument, called, last_name
from lowres.doctor.findings import Fix
from lowres.doctor.patching.edits import Edit
from lowres.doctor.remedies.layers import sources
from lowres.doctor.remedies.places import declaration
from lowres.doctor.remedies.scopes import home, known, owner, spell, statement
from lowres.doctor.setup import Setup
from lowres.doctor.source import Source, parent
from lowres.doctor.trace import Event


def class_of(setup: Setup, module: nn.Module) -> tuple[Source, ast.ClassDef] | None:
    """Where the class of a module is written."""
    name = type(module).__name__
    found = [(one, node) for one in sources(setup) for node in one.nodes(ast.ClassDef) if node.name == name]
    return found[0] if len(found) == 1 else None


def method(node: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    """A method of a class."""
    return next((one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == name), None)


# What is done to scores before the loss.


def without(setup: Setup, event: Event, function: str) -> tuple[Source, Edit] | None:
    """Takes a function such as softmax away from what a loss is given.

    It is looked for in the call of the loss, in what its argument was assigned, and in what the network's forward
    returns; a layer of a `Sequential` becomes `nn.Identity()`.
    """
    source = setup.text(event.place)
    if source is None or event.place is None:
        return None
    around = source.statement_at(event.place.line)
    for call in (node for node in ast.walk(around) if isinstance(node, ast.Call)) if around is not None else ():
        if len(call.args) + len(call.keywords) >= 2:
            first = call.args[0] if call.args else argument(call, "input")
            edit = _unwrapped(setup, source, first, function, 0) if first is not None else None
            if edit is not None:
                return edit
    return None


def _unwrapped(setup: Setup, source: Source, node: ast.expr, function: str, depth: int) -> tuple[Source, Edit] | None:
    inner = _inner(source, node, function)
    if inner is not None:
        return source, source.replaced(node, source.segment(inner))
    if depth > 6:
        return None
    if isinstance(node, ast.Name):
        scope = home(node)
        given = [
            one
            for one in source.nodes(ast.Assign)
            if home(one) is scope and one.lineno < node.lineno and last_name(one.targets[0]) == node.id
        ]
        return _unwrapped(setup, source, given[-1].value, function, depth + 1) if given else None
    if not isinstance(node, ast.Call):
        return None
    layer = _layer(source, node.func)
    if layer is not None:
        return _identity(layer[0], layer[1], function)
    return _in_the_network(setup, function, depth) if depth < 3 else None


def _in_the_network(setup: Setup, function: str, depth: int) -> tuple[Source, Edit] | None:
    if setup.model is None:
        return None
    if type(setup.model) is nn.Sequential:
        found = [
            (one, call)
            for one in sources(setup)
            for call in one.calls("Sequential")
            if call.args and isinstance(call.args[-1], ast.Call) and called(call.args[-1]).lower() == function
        ]
        return _identity(*found[0], function) if len(found) == 1 else None
    written = class_of(setup, setup.model)
    forward = method(written[1], "forward") if written is not None else None
    if written is None or forward is None:
        return None
    returns = [one.value for one in ast.walk(forward) if isinstance(one, ast.Return) and one.value is not None]
    return _unwrapped(setup, written[0], returns[0], function, max(depth, 2) + 1) if len(returns) == 1 else None


def _inner(source: Source, node: ast.expr, function: str) -> ast.expr | None:
    """`x` of `F.softmax(x, dim=1)`, `x.softmax(1)`, `nn.Softmax(dim=1)(x)` and `self.softmax(x)`."""
    if not isinstance(node, ast.Call):
        return None
    if called(node) == function and not isinstance(_layer(source, node.func), tuple):
        module = isinstance(node.func, ast.Name) or (
            isinstance(node.func, ast.Attribute) and _is_module(source, node.func.value)
        )
        if module:
            return node.args[0] if node.args else argument(node, "input")
        return node.func.value if isinstance(node.func, ast.Attribute) else None
    made = node.func if isinstance(node.func, ast.Call) else (_layer(source, node.func) or (None, None))[1]
    if isinstance(made, ast.Call) and called(made).lower() == function and len(node.args) == 1:
        return node.args[0]
    return None


def _is_module(source: Source, node: ast.expr) -> bool:
    """Whether an expression is an imported module: F, torch, nn.functional."""
    root = node
    while isinstance(root, ast.Attribute):
        root = root.value
    imported = {
        (one.asname or one.name).partition(".")[0]
        for statement_ in source.nodes(ast.Import, ast.ImportFrom)
        for one in getattr(statement_, "names", ())
    }
    return isinstance(root, ast.Name) and root.id in imported


def _layer(source: Source, func: ast.expr) -> tuple[Source, ast.Call] | None:
    """The construction of a layer that a call of `self.name` uses."""
    around = owner(func)
    if around is None or not isinstance(func, ast.Attribute) or ast.unparse(func.value) != "self":
        return None
    made = [
        node.value
        for node in ast.walk(around)
        if isinstance(node, ast.Assign) and any(ast.unparse(one) == f"self.{func.attr}" for one in node.targets)
    ]
    return (source, made[0]) if len(made) == 1 and isinstance(made[0], ast.Call) else None


def _identity(source: Source, made: ast.Call, function: str) -> tuple[Source, Edit] | None:
    """The last layer of a Sequential made to do nothing."""
    last = made.args[-1] if called(made) == "Sequential" and made.args else None
    name = spell(source, "torch.nn.Identity")
    if not isinstance(last, ast.Call) or called(last).lower() != function or name is None:
        return None
    return source, source.replaced(last, f"{name}()")


def with_logarithm(setup: Setup, event: Event, title: str) -> Fix | None:
    """The logarithm of a softmax in the place of the softmax that a loss is given; found as `without` finds it."""
    found = without(setup, event, "softmax")
    if found is None:
        return None
    source, edit = found
    call = next((one for one in source.nodes(ast.Call) if source.span(one) == edit.span), None)
    if call is None:
        return None
    name = {"softmax": "log_softmax", "Softmax": "LogSoftmax"}.get(called(call))
    inner = _inner(source, call, "softmax")
    if name is None or (inner is not None and _layer(source, call.func) is not None):  # nn.Softmax()(x), self.soft(x)
        function = spell(source, "torch.nn.functional.log_softmax")
        text = f"{function}({source.segment(inner)}, dim=1)" if function and inner is not None else ""
        return source.fix(title, source.replaced(call, text)) if text else None
    if isinstance(call.func, ast.Attribute):
        return source.fix(title, source.replaced(call.func, f"{source.segment(call.func.value)}.{name}"))
    home_of = "torch.nn" if name == "LogSoftmax" else "torch.nn.functional"
    return source.fix(title, source.replaced(call.func, name), source.imported(f"from {home_of} import {name}"))


# Layers that the network does not know.


def registered(setup: Setup) -> Fix | None:
    """Lists and dictionaries of layers in a `ModuleList` or `ModuleDict`."""
    edits: dict[str, list[Edit]] = {}
    homes: dict[str, Source] = {}
    known_layers = {id(one) for one in setup.model.modules()} if setup.model is not None else set()
    for module in setup.model.modules() if setup.model is not None else ():
        written = class_of(setup, module)
        for name, value in vars(module).items():
            if name.startswith("_") or written is None or not _holds_layers(value):
                continue
            if all(id(one) in known_layers for one in (value.values() if isinstance(value, dict) else value)):
                continue
            source, node = written
            kind = "ModuleDict" if isinstance(value, dict) else "ModuleList"
            spelled = spell(source, f"torch.nn.{kind}")
            given = [
                one
                for one in ast.walk(node)
                if isinstance(one, ast.Assign) and any(ast.unparse(target) == f"self.{name}" for target in one.targets)
            ]
            if len(given) != 1 or spelled is None:
                return None
            homes[source.path] = source
            edit = source.wrapped(given[0].value, f"{spelled}({{}})")
            edits.setdefault(source.path, [])
            edits[source.path] += [edit] if edit not in edits[source.path] else []
    if len(edits) != 1:
        return None
    path, made = next(iter(edits.items()))
    return homes[path].fix("nn.ModuleList in place of the list", *made)


def _holds_layers(value: Any) -> bool:
    if isinstance(value, dict):
        return bool(value) and all(isinstance(k, str) and isinstance(v, nn.Module) for k, v in value.items())
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(one, nn.Module) for one in value)


def made_once(setup: Setup, kinds: Sequence[str]) -> Fix | None:
    """A layer that forward makes, made in `__init__` with the sizes that it has there."""
    found = [
        (one, call)
        for one in sources(setup)
        for call in one.calls(*set(kinds))
        if getattr(home(call), "name", "") == "forward" and owner(call) is not None
    ]
    if len(found) != 1 or setup.pristine is None or setup.inputs is None:
        return None
    source, call = found[0]
    around, forward = owner(call), home(call)
    init = method(around, "__init__") if around is not None else None
    loops = [one for one in source.enclosing(call.lineno, ast.For, ast.While) if home(one) is forward]
    module = next((one for one in setup.pristine.modules() if around and type(one).__name__ == around.name), None)
    made = _made_in_a_pass(setup, called(call))
    if init is None or loops or module is None or len(made) != 1 or made[0] is None:
        return None
    outer: ast.expr = call  # with what moves it to the device
    while True:
        above = parent(outer)
        chained = isinstance(above, ast.Attribute) and above.attr in ("to", "cuda", "type_as", "float", "half")
        after = parent(above) if chained and above is not None else None
        if not isinstance(after, ast.Call) or after.func is not above:
            break
        outer = after
    target = statement(call)
    bound = isinstance(target, ast.Assign) and target.value is outer and isinstance(target.targets[0], ast.Name)
    name = last_name(target.targets[0]) if bound and isinstance(target, ast.Assign) else called(call).lower()
    name = name if not hasattr(module, name) else f"{name}_layer"
    code = f"self.{name} = {source.segment(call.func)}({made[0]})"
    if not known(source, call.func, init.body[-1]):
        return None
    return source.fix(
        "make it once, in __init__",
        source.after(init.body[-1], code),
        source.replaced(outer, f"self.{name}"),
    )


def _made_in_a_pass(setup: Setup, kind: str) -> list[str | None]:
    """The arguments of each layer of a class that one pass makes, as code; None where they are no plain values."""
    cls = getattr(nn, kind, None)
    found: list[str | None] = []
    if not isinstance(cls, type) or setup.pristine is None or setup.inputs is None:
        return found
    original = cls.__init__  # type: ignore[misc]

    def noted(module: Any, *args: Any, **options: Any) -> None:
        plain = all(isinstance(one, int | float | bool | str) for one in (*args, *options.values()))
        if type(module) is cls:
            given = [repr(one) for one in args] + [f"{key}={value!r}" for key, value in options.items()]
            found.append(", ".join(given) if plain else None)
        original(module, *args, **options)

    network = copy.deepcopy(setup.pristine).cpu().eval()
    cls.__init__ = noted  # type: ignore[misc]
    try:
        with torch.no_grad(), contextlib.suppress(Exception):
            network(setup.inputs)
    finally:
        cls.__init__ = original  # type: ignore[misc]
    return found


# Layers of the wrong size.

WIDTHS = ("width", "channels", "planes", "filters", "features", "base", "dim", "inplanes", "in_planes", "nf", "hidden")


def widened(setup: Setup) -> Fix | None:
    """The width that all others are multiples of, where it is the default of one parameter or one declared figure."""
    network = setup.network
    if network is None or len(network.convolutions) < 3:
        return None
    first, last = network.convolutions[0].width, network.convolutions[-1].width
    wide = 64 if last >= 8 * first or len(network.convolutions) < 18 else 16
    if first >= wide:
        return None
    found = [pair for source in sources(setup) for pair in _widths(source, first)]
    if len(found) != 1:
        return None
    source, value = found[0]
    return source.fix(f"a first width of {wide}", source.replaced(value, str(wide)))


def _widths(source: Source, width: int) -> Iterator[tuple[Source, ast.expr]]:
    """Figures in the source that say a width: defaults of parameters of networks, and keywords where they are made."""
    for node in source.nodes(ast.FunctionDef):
        if node.name != "__init__":
            continue
        pairs = [*zip(node.args.args[::-1], node.args.defaults[::-1], strict=False)]
        pairs += [(a, d) for a, d in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if d is not None]
        for given, default in pairs:
            plain = isinstance(default, ast.Constant) and default.value == width
            if plain and any(word in given.arg.lower() for word in WIDTHS):
                yield source, default
    for call in source.nodes(ast.Call):
        for keyword in call.keywords:
            value = keyword.value if isinstance(keyword.value, ast.Constant) else declaration(source, keyword.value)
            named = keyword.arg and any(word in keyword.arg.lower() for word in WIDTHS[:4])
            layer = called(call).startswith(("Conv", "BatchNorm"))
            if named and not layer and isinstance(value, ast.Constant) and value.value == width:
                yield source, value
