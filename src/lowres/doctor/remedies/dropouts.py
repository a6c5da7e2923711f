"""Takes dropout between convolutions out of the source, and leaves that before a classifier."""

import ast
from collections import defaultdict
from collections.abc import Sequence

from torch import nn

from lowres.doctor.calls import called
from lowres.doctor.findings import Fix
from lowres.doctor.patching.edits import Edit
from lowres.doctor.remedies.layers import sources
from lowres.doctor.remedies.scopes import owner, statement
from lowres.doctor.setup import Setup
from lowres.doctor.source import Source

DROPOUTS = ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout")
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)

Attribute = tuple[str, str]
"""A class and an attribute of it; "" for layers that are made elsewhere in the class."""


def undropped(setup: Setup, names: Sequence[str]) -> Fix | None:
    """These dropouts without effect; None where the source does not tell each from those that stay.

    Args:
        setup: The setup.
        names: What the network calls them.
    """
    layers, edits = _layers(setup, names), []
    written = {source: _written(source) for source in sources(setup)}
    loose: dict[str, list[bool]] = defaultdict(list)
    for (kind, attribute), instances in layers.items():
        found = [(source, calls) for source, of in written.items() if (calls := of.get((kind, attribute)))]
        goes = [one for instance in instances for one in instance]
        if len(found) != 1:
            loose[kind] += goes
            continue
        source, calls = found[0]
        if all(len(instance) == len(calls) for instance in instances):
            edits += [(source, call) for i, call in enumerate(calls) if any(one[i] for one in instances)]
        elif all(goes):
            edits += [(source, call) for call in calls]
        elif any(goes):
            return None
    for kind, goes in loose.items():
        made = [(source, call) for source, of in written.items() for call in of.get((kind, ""), ())]
        if any(goes) and not (made and (len(made) == 1 or all(goes))):
            return None
        edits += made if any(goes) else []
    if not edits or len({source.path for source, _ in edits}) != 1:
        return None
    return edits[0][0].fix("no dropout between convolutions", *(_without(source, call) for source, call in edits))


def _layers(setup: Setup, names: Sequence[str]) -> dict[Attribute, list[list[bool]]]:
    """The network's dropouts by the attribute that holds them, for each instance in order: whether it is to go."""
    found: dict[Attribute, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for name, module in setup.model.named_modules() if setup.model is not None else ():
        if not isinstance(module, nn.modules.dropout._DropoutNd) or setup.model is None:
            continue
        holder, _, attribute = name.rpartition(".")
        while holder and type(setup.model.get_submodule(holder)) in CONTAINERS:
            holder, _, attribute = holder.rpartition(".")
        found[type(setup.model.get_submodule(holder)).__name__, attribute][holder].append(name in names)
    return {key: list(instances.values()) for key, instances in found.items()}


def _written(source: Source) -> dict[Attribute, list[ast.Call]]:
    """Calls that make dropouts, by the attribute that they are assigned to, in order."""
    found: dict[Attribute, list[ast.Call]] = defaultdict(list)
    for call in sorted(source.calls(*DROPOUTS), key=lambda one: (one.lineno, one.col_offset)):
        around, kind = statement(call), owner(call)
        targets = around.targets if isinstance(around, ast.Assign) else []
        own = [one.attr for one in targets if isinstance(one, ast.Attribute) and ast.unparse(one.value) == "self"]
        if kind is not None:
            found[kind.name, own[0] if own else ""].append(call)
    return found


def _without(source: Source, call: ast.Call) -> Edit:
    around = statement(call)
    if isinstance(around, ast.Expr) and isinstance(around.value, ast.Call) and called(around.value) == "append":
        return source.removed(around)
    return source.with_keyword(call, "p", "0.0")
