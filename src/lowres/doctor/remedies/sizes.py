"""Fixes of networks that shrink small images too early, each tried on a copy before it is proposed."""

import ast
import copy
from collections import defaultdict

import torch
from torch import Tensor, nn

from lowres.doctor.findings import Fix, Place
from lowres.doctor.network import Layer, Network
from lowres.doctor.remedies.layers import layers_prefix, sources
from lowres.doctor.remedies.origins import number_of, targets
from lowres.doctor.setup import Setup
from lowres.doctor.source import Source, called, parent

LAST = 4
"""Pixels a side that the last maps should keep at least; networks for 32 pixels end there or at 8."""
TITLE = "a stem for small images: 3x3, stride 1"
STEM = """\
# for a ResNet of torchvision; other families: stride 1 in the first convolution, no pool behind it
{model}.conv1 = nn.Conv2d(3, {width}, kernel_size=3, stride=1, padding=1, bias=False)
{model}.maxpool = nn.Identity()"""


def stem(setup: Setup, place: Place | None) -> Fix:
    """Fewer steps down, behind the lines that build the network and exchange layers of it."""
    network, model = setup.network, setup.pristine
    source = setup.text(place)
    statement = source.statement_at(place.line) if source is not None and place is not None else None
    first = network.convolutions[0] if network is not None else None
    manual = Fix(f"{TITLE}, no pool", code=STEM.format(model="model", width=(first.width if first else 0) or 64))
    if network is None or model is None or source is None or not isinstance(statement, ast.Assign):
        return manual
    held = list(targets(statement))
    if len(held) != 1 or not isinstance(held[0], ast.Name | ast.Attribute) or not _builds(statement, source):
        return manual
    name = source.segment(held[0])
    changes = _changes(network, model)
    if not changes or not _fits(copy.deepcopy(model), changes, setup.inputs):
        return manual
    behind = _last_exchange(setup, source, statement, name, changes)
    if behind is None:
        return manual
    prefix, imports = layers_prefix(source, *dict.fromkeys(type(one).__name__ for one in changes.values() if one))
    lines = [f"{_path(name, path)} = {code}" for path, code in _code(changes, model, prefix, moves(source, statement))]
    title = TITLE if isinstance(changes.get("conv1"), nn.Conv2d) else "stride 1 where images are small already"
    title += ", no pool" if any(isinstance(one, nn.Identity) for one in changes.values()) else ""
    return source.fix(title, source.after(behind, *lines), *imports)


def moves(source: Source, statement: ast.Assign) -> str:
    """What moves the network where it is built, to be repeated behind a layer: `.to(device)`; ""."""
    found = ""
    for call in ast.walk(statement.value):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and called(call) in ("to", "cuda"):
            given = ", ".join(source.segment(one) for one in (*call.args, *call.keywords))
            found = f".{called(call)}({given}){found}"
    return found


def _builds(statement: ast.Assign, source: Source) -> bool:
    """Whether a statement builds the network, and does not merely move or pass it."""
    value = statement.value
    while isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and called(value) in ("to", "cuda"):
        value = value.func.value
    return isinstance(value, ast.Call)


def _last_exchange(
    setup: Setup, source: Source, statement: ast.Assign, name: str, changes: dict[str, nn.Module | None]
) -> ast.stmt | None:
    """The last statement of the block that exchanges layers of the network before it is moved or handed on.

    It is the one that builds the network where none does; None where a layer that is to change is exchanged later.
    """
    around = parent(statement)
    blocks = [getattr(around, field, None) for field in ("body", "orelse", "finalbody")]
    block: list[ast.stmt] = next(one for one in blocks if isinstance(one, list) and statement in one)
    optimizer = setup.optimizer_place
    last: ast.stmt = statement
    handed_on = False
    for one in block[block.index(statement) + 1 :]:
        layers = {source.segment(target) for target in _assigned(one)}
        within = optimizer is not None and one.lineno <= optimizer.line <= (one.end_lineno or 0)
        handed_on = handed_on or name in layers or (within and setup.text(optimizer) is source) or _moved(one, name)
        if handed_on and any(layer == _path(name, path) for layer in layers for path in changes):
            return None
        if not handed_on and any(layer.startswith((f"{name}.", f"{name}[")) for layer in layers):
            last = one
    return last


def _assigned(node: ast.stmt) -> list[ast.expr]:
    """What a statement, or one within it, assigns to."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return []
    return [target for one in ast.walk(node) if isinstance(one, ast.Assign) for target in one.targets]


def _moved(node: ast.stmt, name: str) -> bool:
    """Whether a statement moves the network in place: `model.to(device)`."""
    calls = (one for one in ast.walk(node) if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute))
    return any(called(one) in ("to", "cuda") and ast.unparse(one.func).rpartition(".")[0] == name for one in calls)


def _levels(network: Network) -> list[list[Layer]]:
    """Layers that shrink maps, by the size that they start from, the largest first."""
    found: dict[int, list[Layer]] = defaultdict(list)
    for one in network.layers:
        shrinks = one.kind in ("conv", "pool") and one.before and one.after and 0 < one.after[0] < one.before[0]
        if shrinks and max(one.stride) > 1 and one.after[0] >= one.before[0] // 2 - 1 and one.name:
            found[one.before[0]].append(one)
    return [found[size] for size in sorted(found, reverse=True)]


def _changes(network: Network, model: nn.Module) -> dict[str, nn.Module | None]:
    """Layers to exchange, by name; None: stride 1 in a convolution that is there."""
    levels = _levels(network)
    if not levels:
        return {}
    size = network.size[0]
    depthwise = sum(one.groups == one.width > 1 for one in network.layers) >= 3
    end = size
    for _ in levels:
        end = -(-end // 2)
    gone: list[list[Layer]] = []
    rest = list(levels)
    while rest and end < LAST:
        gone.append(rest.pop(0))
        end *= 2
    if depthwise and rest and 2 * end <= size // 4:
        gone.append(rest.pop())  # cheap there, and such networks gain by it
    changes: dict[str, nn.Module | None] = {}
    for layer in (one for level in gone for one in level):
        module = model.get_submodule(layer.name)
        if isinstance(module, nn.Conv2d):
            stem_ = layer is network.layers[0] and max(layer.kernel) > 3
            changes[layer.name] = _small(module) if stem_ else None
        elif isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
            changes[layer.name] = nn.Identity()
    return changes


def _small(module: nn.Conv2d) -> nn.Conv2d:
    return nn.Conv2d(module.in_channels, module.out_channels, 3, 1, 1, bias=module.bias is not None)


def _fits(model: nn.Module, changes: dict[str, nn.Module | None], inputs: Tensor | None) -> bool:
    """Whether the changed network still gives scores, of maps that are large enough."""
    for name, new in changes.items():
        holder, _, attribute = name.rpartition(".")
        if new is None:
            model.get_submodule(name).stride = (1, 1)  # type: ignore[assignment]
        else:
            setattr(model.get_submodule(holder), attribute, new)
    sizes: list[int] = []

    def note(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        if given[0].dim() == 4 and max(given[0].shape[2:]) > 1:
            sizes.append(int(output.shape[-1]))

    hooks = [one.register_forward_hook(note) for one in model.modules() if isinstance(one, nn.Conv2d)]
    try:
        with torch.no_grad():
            scores = model.cpu().eval()(inputs[:2].float()) if inputs is not None else None
    except (RuntimeError, ValueError, TypeError):
        return False
    finally:
        for hook in hooks:
            hook.remove()
    return isinstance(scores, Tensor) and scores.dim() == 2 and bool(sizes) and sizes[-1] >= LAST


def _code(changes: dict[str, nn.Module | None], model: nn.Module, prefix: str, device: str) -> list[tuple[str, str]]:
    code: list[tuple[str, str]] = []
    for name, new in changes.items():
        if new is None:
            code.append((f"{name}.stride", "(1, 1)"))
        elif isinstance(new, nn.Conv2d):
            bias = "" if new.bias is not None else ", bias=False"
            arguments = f"{new.in_channels}, {new.out_channels}, kernel_size=3, stride=1, padding=1{bias}"
            code.append((name, f"{prefix}Conv2d({arguments}){device}"))
        else:
            code.append((name, f"{prefix}Identity()"))
    return code


def _path(model: str, path: str) -> str:
    """`model.features[0].conv` of `features.0.conv`."""
    return model + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in path.split("."))


def smaller_patches(setup: Setup, patch: int, size: int) -> Fix:
    """Patches that leave 64 of them, where the source says how large they are."""
    new = max(size // 8, 1)
    title, manual = f"patches of {new} pixels", Fix(f"patches of {new} pixels", code=f"patch_size={new}")
    if setup.model is None:
        return manual
    for source in sources(setup):
        for call in source.calls(type(setup.model).__name__):
            for keyword in call.keywords:
                number = number_of(source, keyword.value)
                if "patch" in (keyword.arg or "") and number is not None and number.value == patch:
                    return source.fix(title, source.replaced(number, str(new)))
        for node in source.nodes(ast.FunctionDef):
            for name, default in _defaults(node):
                if "patch" in name and isinstance(default, ast.Constant) and default.value == patch:
                    return source.fix(title, source.replaced(default, str(new)))
    return manual


def _defaults(function: ast.FunctionDef) -> list[tuple[str, ast.expr]]:
    arguments = function.args.args
    pairs = list(zip(arguments[len(arguments) - len(function.args.defaults) :], function.args.defaults, strict=True))
    keywords = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    named = [(one, value) for one, value in keywords if value is not None]
    return [(one.arg, value) for one, value in [*pairs, *named]]
