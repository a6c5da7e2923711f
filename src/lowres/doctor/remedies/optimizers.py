"""Fixes that put another optimizer in the place of the one that is there."""

import ast

from lowres.doctor.calls import argument
from lowres.doctor.findings import Fix
from lowres.doctor.remedies.places import given, optimizer_made
from lowres.doctor.remedies.schedules import schedule_made
from lowres.doctor.remedies.scopes import spell
from lowres.doctor.setup import Setup

CONVOLUTIONAL = ("residual", "depthwise", "densely", "plain deep network with norms")
"""Kinds of networks that SGD with momentum trains best from scratch."""
KEPT = ("params", "lr", "weight_decay", "momentum", "maximize", "foreach", "differentiable")
"""Options that SGD has as well."""
CYCLES = ("OneCycleLR", "CyclicLR")
"""Schedules that have a highest rate of their own, whatever the optimizer's."""
OF_SGD = 0.02
"""Rates from here on are SGD's; no kind of Adam is trained at them."""


def in_sgd_s_place(setup: Setup, always: bool = False, batch: int | None = None) -> Fix | None:
    """SGD with momentum and decay, where Adam runs at a rate of SGD's or its decay is to be mended.

    For convolutional networks with norms, trained from scratch; None for all others, and where the rate comes from a
    cycle whose construction is not found.

    Args:
        setup: The setup.
        always: Whatever the rate; otherwise only at a rate that was meant for SGD.
        batch: That the rate is for; None: the loader's.
    """
    kind, rates, built = setup.kind, setup.rates, optimizer_made(setup)
    suits = kind is not None and any(word in kind.name for word in CONVOLUTIONAL) and not setup.pretrained
    if not suits or rates is None or built is None or setup.algorithm not in ("Adam", "RMSprop", "NAdam", "RAdam"):
        return None
    if not always and rates.peak < OF_SGD:
        return None
    call, source = built.call, built.source
    func = spell(source, "torch.optim.SGD")
    if func is None or len(call.args) > 2 or any(isinstance(one, ast.Starred) for one in call.args):
        return None
    batch = batch or (setup.train.batch_size if setup.train is not None else None) or 128
    usual = 0.1 * min(max(batch / 128, 0.25), 8)
    rate = argument(call, "lr")
    edits = [source.replaced(call.func, func)]
    edits += [source.keyword_removed(call, one.arg) for one in call.keywords if one.arg not in KEPT and one.arg]
    fits = usual / 4 <= rates.peak <= usual * 3
    if rate is None:
        edits.append(source.with_keyword(call, "lr", f"{usual:g}"))
    elif not fits:
        own = given(source, rate, rates.peak, f"{usual:g}")
        edits += [own] if own is not None else []
    if not fits and type(setup.scheduler).__name__ in CYCLES:
        cycle = schedule_made(setup)
        highest = argument(cycle.call, "max_lr") if cycle is not None and cycle.source is source else None
        own = given(source, highest, rates.peak, f"{usual:g}")
        if own is None:  # SGD would run at a rate of Adam's
            return None
        edits += [own]
    decay = max((float(group.get("weight_decay") or 0) for group in setup.groups), default=0.0)
    edits.append(source.with_keyword(call, "momentum", "0.9"))
    if not 1e-4 <= decay <= 1e-3:
        edits.append(source.with_keyword(call, "weight_decay", "5e-4"))
    return source.fix("SGD with momentum", *dict.fromkeys(edits))


def decoupled(setup: Setup, decay: float) -> Fix:
    """AdamW in the place of Adam, with a decay of its own scale."""
    code = f"torch.optim.AdamW(model.parameters(), lr=..., weight_decay={max(decay, 0.05):g})"
    built = optimizer_made(setup)
    func = spell(built.source, "torch.optim.AdamW") if built is not None else None
    if built is None or func is None:
        return Fix("AdamW", code=code)
    edits = [built.source.replaced(built.call.func, func)]
    if decay < 0.01:
        edits.append(built.source.with_keyword(built.call, "weight_decay", "0.05"))
    return built.source.fix("AdamW", *edits)
