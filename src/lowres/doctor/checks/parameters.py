"""TR5: parameters that never train."""

import ast
import textwrap

from torch import nn

from lowres.doctor.calls import argument, called, last_name
from lowres.doctor.findings import Fix, Found, Place, check
from lowres.doctor.patching.edits import Edit
from lowres.doctor.remedies.forward import made_once, registered
from lowres.doctor.remedies.layers import sources
from lowres.doctor.remedies.places import Made, optimizer_made
from lowres.doctor.remedies.scopes import known
from lowres.doctor.setup import Setup
from lowres.doctor.source import Source, parent


@check(
    "TR511",
    "parameters outside of the optimizer",
    grade="error",
    kind="C13",
    cost=(3, 80),
    source="public cases; 3 are an estimate of a linear probe",
)
def outside(setup: Setup) -> Found | None:
    """Parameters that want gradients are in no group of any optimizer, or the optimizer holds others in their place.

    Compared by identity. A layer that was exchanged after the optimizer was built leaves the old one in it: the new
    one stays as it was drawn. Where weights were loaded and the last layer is trained, the others are left out by
    choice (a linear probe), and it is a note: small images gain from training all layers.
    """
    if setup.model is None or setup.optimizer is None:
        return None
    optimizers = [seen.item for seen in setup.trace.optimizers.values()] or [setup.optimizer]
    held = {id(p) for one in optimizers for group in one.param_groups for p in group["params"]}
    named = [(name, p) for name, p in setup.model.named_parameters() if p.requires_grad]
    missing = [(name, p) for name, p in named if id(p) not in held]
    if not missing or not named:
        return None
    own = {id(p) for p in setup.model.parameters()}
    stale = sum(id(p) not in own for group in setup.optimizer.param_groups for p in group["params"])
    share = sum(p.numel() for _, p in missing) / max(sum(p.numel() for _, p in named), 1)
    first = missing[0][0].rpartition(".")[0] or missing[0][0]
    probe = bool(setup.pretrained) and not stale and id(named[-1][1]) in held
    return Found(
        f"{len(missing)} parameters ({first}{', ...' if len(missing) > 2 else ''}) are in no optimizer: they stay as "
        f"they were {'loaded' if probe else 'drawn'}"
        + (f"; it holds {stale} that the network no longer has" if stale else ""),
        {
            "parameters": len(missing),
            "share": share,
            "held_and_gone": stale,
            "names": [name for name, _ in missing[:8]],
        },
        cost=3.0 if probe else 10.0 if share < 0.5 else 40.0,
        grade="note" if probe else "error",
        place=setup.optimizer_place,
        fix=_all_in(setup, [name for name, _ in missing], stale),
    )


def _all_in(setup: Setup, missing: list[str], stale: int) -> Fix:
    """The optimizer given the whole network; what was exchanged after it was built, exchanged before."""
    manual = Fix(
        "build the optimizer last, from all parameters", code="optimizer = torch.optim.SGD(model.parameters(), ...)"
    )
    built = optimizer_made(setup)
    if built is None or len({event["optimizer"] for event in setup.trace.of("step")}) > 1:
        return manual
    if stale:
        return _exchanged_first(built, missing) or manual
    edit = whole_network(setup, built)
    if edit is not None:
        return built.source.fix("give it all parameters", edit)
    return manual


def whole_network(setup: Setup, built: Made) -> Edit | None:
    """`model.parameters()` in the place of `model.part.parameters()`."""
    given = argument(built.call, "params")
    if not isinstance(given, ast.Call) or called(given) not in ("parameters", "named_parameters") or given.args:
        return None
    part = given.func.value if isinstance(given.func, ast.Attribute) else None
    names = {name for name, _ in setup.model.named_modules()} if setup.model is not None else set()
    path: list[str] = []
    while isinstance(part, ast.Attribute):
        path.insert(0, part.attr)
        part = part.value
        if ".".join(path) in names and ".".join(path[1:]) in names:
            text = ast.unparse(part)
            if isinstance(part, ast.Name) and part.id == "self":
                return None
            return built.source.replaced(given, f"{text}.parameters()")
    return None


def _exchanged_first(built: Made, missing: list[str]) -> Fix | None:
    """Assignments of new layers, moved from below the optimizer to above it."""
    source, first = built.source, built.statement
    parts = {name.rpartition(".")[0] for name in missing}
    moved: list[ast.stmt] = []
    for node in source.nodes(ast.Assign):
        target = ast.unparse(node.targets[0]).replace("[", ".").replace("]", "")
        own = [part for part in parts if _within(part, target)]
        beside = getattr(node, "parent", None) is getattr(first, "parent", None)
        if own and isinstance(node.targets[0], ast.Attribute | ast.Subscript) and beside and node.lineno > first.lineno:
            if not known(source, node.value, node, first.lineno) or not known(
                source, node.targets[0], node, first.lineno
            ):
                return None
            moved.append(node)
            parts -= set(own)
    if parts or not moved:
        return None
    edits = [source.removed(node) for node in moved]
    lines = [line for node in moved for line in textwrap.dedent(_whole(source, node)).splitlines()]
    return source.fix("exchange layers before the optimizer is built", source.before(first.lineno, *lines), *edits)


def _within(part: str, target: str) -> bool:
    """Whether a layer `fc.0` is the one that `model.fc` names, or in it."""
    pieces = part.split(".")
    return any(target.endswith("." + ".".join(pieces[:count])) for count in range(1, len(pieces) + 1))


def _whole(source: Source, node: ast.stmt) -> str:
    return source.indent(node.lineno) + source.segment(node)


@check("TR512", "layers the network does not know", grade="error", kind="C14", cost=(5, 30), source="public cases")
def unregistered(setup: Setup) -> Found | None:
    """Layers in a plain list or dict: no optimizer, no device, no mode and no checkpoint ever reaches them.

    Every layer with parameters that a pass calls is compared with those that the network knows.
    """
    found = [kind for kind, same in (setup.network.unregistered if setup.network is not None else ()) if same]
    if not found:
        return None
    place = _list_place(setup)
    return Found(
        f"{len(found)} layers ({', '.join(sorted(set(found)))}) are used and not registered: nothing trains them",
        {"layers": len(found), "classes": sorted(set(found))},
        cost=15.0,
        place=place,
        fix=registered(setup) or Fix("nn.ModuleList in place of the list", code="self.layers = nn.ModuleList([...])"),
    )


def _list_place(setup: Setup) -> Place | None:
    for source in (setup.source, *setup.files.values()):
        for node in source.nodes(ast.Assign) if source is not None else ():
            assert isinstance(node, ast.Assign)
            assert source is not None
            target = node.targets[0]
            holds = isinstance(target, ast.Attribute) and isinstance(node.value, ast.List | ast.ListComp | ast.Dict)
            parts = [one for one in ast.walk(node.value) if isinstance(one, ast.Call)] if holds else []
            if any(called(one)[:1].isupper() for one in parts):
                return Place(source.path, node.lineno)
    return None


@check("TR513", "layers made in forward", grade="error", kind="C14", cost=(15, 60), source="public cases")
def in_forward(setup: Setup) -> Found | None:
    """A layer is made anew at every pass, with new random weights.

    A second pass calls layers that the first did not have.
    """
    found = [kind for kind, same in (setup.network.unregistered if setup.network is not None else ()) if not same]
    if not found:
        return None
    place = None
    for source in (setup.source, *setup.files.values()):
        for call in source.calls(*set(found)) if source is not None else ():
            assert source is not None
            function = source.enclosing(call.lineno, ast.FunctionDef)
            if function and getattr(function[0], "name", "") == "forward":
                place = Place(source.path, call.lineno)
    return Found(
        f"{', '.join(sorted(set(found)))} is made anew at every pass, with other weights",
        {"classes": sorted(set(found)), "layers": len(found)},
        cost=30.0,
        place=place,
        fix=made_once(setup, found)
        or Fix("make it once, in __init__", code="self.head = nn.Linear(features, classes)"),
    )


@check(
    "TR514",
    "frozen, though drawn at random",
    grade="error",
    kind="C13",
    cost=(3, 70),
    source="public cases: a frozen random backbone; 3 are an estimate of a linear probe",
)
def frozen(setup: Setup) -> Found | None:
    """More than half of the network is frozen though no pretrained weights were loaded.

    With pretrained weights freezing is a choice (a linear probe), and a note: small images gain from training all
    layers. Freezing nothing but norms is fine.
    """
    if setup.model is None:
        return None
    parameters = [
        p
        for m in setup.model.modules()
        if not isinstance(m, nn.modules.batchnorm._BatchNorm)
        for p in m.parameters(recurse=False)
    ]
    total = sum(p.numel() for p in parameters)
    still = sum(p.numel() for p in parameters if not p.requires_grad)
    if not total or still / total < 0.5:
        return None
    loaded = bool(setup.pretrained) or any(e["changed"] for e in setup.trace.of("load"))
    return Found(
        f"{still / total:.0%} of the weights are frozen" + ("" if loaded else ", as they were drawn at random"),
        {"frozen_share": still / total, "pretrained": loaded},
        cost=3.0 if loaded else 50.0,
        grade="note" if loaded else "error",
        fix=_thawed(setup) if not loaded else Fix("train all layers", code=THAWED),
    )


THAWED = "for p in model.parameters(): p.requires_grad = True"
APART = ("ema", "teacher", "target", "swa", "shadow")
"""Names of copies of a network that are frozen on purpose."""


def _thawed(setup: Setup) -> Fix:
    """What freezes the network taken out, and the optimizer given all of it."""
    edits: dict[str, list[Edit]] = {}
    for source in sources(setup):
        for node in source.nodes(ast.stmt):
            if not _freezes(node) or any(word in source.segment(_loop_of(node)).lower() for word in APART):
                continue
            loop = _loop_of(node)
            whole = isinstance(loop, ast.For) and len(loop.body) == 1 and not loop.orelse
            edits.setdefault(source.path, []).append(source.removed(loop if whole else node))
    built, title = optimizer_made(setup), "train all layers"
    if len(edits) != 1:
        return Fix(title, code=THAWED)
    path, made = next(iter(edits.items()))
    source = next(one for one in sources(setup) if one.path == path)
    if built is not None and built.source is source and (edit := whole_network(setup, built)) is not None:
        made.append(edit)
    return source.fix(title, *made)


def _freezes(node: ast.stmt) -> bool:
    """Whether a statement is `x.requires_grad = False` or `x.requires_grad_(False)`."""
    if isinstance(node, ast.Assign):
        off = isinstance(node.value, ast.Constant) and node.value.value is False
        return off and any(last_name(one) == "requires_grad" for one in node.targets)
    call = node.value if isinstance(node, ast.Expr) else None
    if not isinstance(call, ast.Call) or called(call) != "requires_grad_" or len(call.args) != 1:
        return False
    return isinstance(call.args[0], ast.Constant) and call.args[0].value is False


def _loop_of(node: ast.stmt) -> ast.stmt:
    """The loop over parameters around a statement; else the statement."""
    above = parent(node)
    return above if isinstance(above, ast.For) and "parameters" in ast.unparse(above.iter) else node
