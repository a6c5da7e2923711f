"""TR5: parameters that never train."""

import ast

from torch import nn

from lowres.doctor.findings import Fix, Found, Place, check
from lowres.doctor.setup import Setup
from lowres.doctor.source import called


@check("TR511", "parameters outside of the optimizer", grade="error", kind="C13", cost=(5, 80), source="public cases")
def outside(setup: Setup) -> Found | None:
    """Parameters that want gradients are in no group of any optimizer, or the optimizer holds others in their place.

    Compared by identity. A layer that was exchanged after the optimizer was built leaves the old one in it: the new
    one stays as it was drawn.
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
    return Found(
        f"{len(missing)} parameters ({first}{', ...' if len(missing) > 2 else ''}) are in no optimizer: they stay as "
        f"they were drawn" + (f"; it holds {stale} that the network no longer has" if stale else ""),
        {
            "parameters": len(missing),
            "share": share,
            "held_and_gone": stale,
            "names": [name for name, _ in missing[:8]],
        },
        cost=10.0 if share < 0.5 else 40.0,
        place=setup.optimizer_place,
        fix=Fix(
            "build the optimizer last, from all parameters", code="optimizer = torch.optim.SGD(model.parameters(), ...)"
        ),
    )


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
        fix=Fix("nn.ModuleList in place of the list", code="self.layers = nn.ModuleList([...])"),
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
        fix=Fix("make it once, in __init__", code="self.head = nn.Linear(features, classes)"),
    )


@check(
    "TR514",
    "frozen, though drawn at random",
    grade="error",
    kind="C13",
    cost=(20, 70),
    source="public cases: a frozen random backbone",
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
        fix=Fix("train all layers", code="for p in model.parameters(): p.requires_grad = True"),
    )
