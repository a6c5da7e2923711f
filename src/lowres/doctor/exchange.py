"""Fixes that put another optimizer in the place of the one that is there."""

import ast

from lowres.doctor.findings import Edit, Fix
from lowres.doctor.remedies import argument, given, optimizer_made, spell
from lowres.doctor.setup import Setup

CONVOLUTIONAL = ("residual", "depthwise", "densely", "plain deep network with norms")
"""Kinds of networks that SGD with momentum trains best from scratch."""
OF_SGD = 0.02
"""Rates from here on are SGD's; no kind of Adam is trained at them."""


def in_sgd_s_place(setup: Setup, always: bool = False) -> Fix | None:
    """SGD with momentum and decay, where Adam runs at a rate of SGD's or its decay is to be mended.

    For convolutional networks with norms, trained from scratch; None for all others.

    Args:
        setup: The setup.
        always: Whatever the rate; otherwise only at a rate that was meant for SGD.
    """
    kind, rates, built = setup.kind, setup.rates, optimizer_made(setup)
    suits = kind is not None and any(word in kind.name for word in CONVOLUTIONAL) and not setup.pretrained
    if not suits or rates is None or built is None or setup.algorithm not in ("Adam", "RMSprop", "NAdam", "RAdam"):
        return None
    if not always and rates.peak < OF_SGD:
        return None
    parameters, rate = argument(built.call, 0, "params"), argument(built.call, 1, "lr")
    func = spell(built.source, "torch.optim.SGD")
    if parameters is None or func is None:
        return None
    batch = (setup.train.batch_size if setup.train is not None else None) or 128
    usual = 0.1 * min(max(batch / 128, 0.25), 8)
    edits: list[Edit] = []
    text = built.source.segment(rate) if rate is not None else f"{usual:g}"
    if rate is None or not usual / 4 <= rates.peak <= usual * 3:
        edit = given(setup, built.source, rate, rates.peak, f"{usual:g}")
        if edit is not None and not built.call.lineno <= edit.line <= (built.call.end_lineno or 0):
            edits.append(edit)
        else:
            text = f"{usual:g}"
    decay = argument(built.call, None, "weight_decay")
    value = max((float(group.get("weight_decay") or 0) for group in setup.groups), default=0.0)
    worth = built.source.segment(decay) if decay is not None and 1e-4 <= value <= 1e-3 else "5e-4"
    new = f"{func}({built.source.segment(parameters)}, lr={text}, momentum=0.9, weight_decay={worth})"
    return built.source.fix("SGD with momentum", built.source.replaced(built.call, new), *edits)


def decoupled(setup: Setup, decay: float) -> Fix:
    """AdamW in the place of Adam, with a decay of its own scale."""
    code = f"torch.optim.AdamW(model.parameters(), lr=..., weight_decay={max(decay, 0.05):g})"
    built = optimizer_made(setup)
    func = spell(built.source, "torch.optim.AdamW") if built is not None else None
    if built is None or func is None:
        return Fix("AdamW", code=code)
    parts = [built.source.segment(one) for one in built.call.args]
    parts += [built.source.segment(one) for one in built.call.keywords if one.arg != "weight_decay"]
    value = argument(built.call, None, "weight_decay")
    kept = built.source.segment(value) if isinstance(value, ast.expr) and decay >= 0.01 else "0.05"
    if len(built.call.args) > 4:  # the decay by position
        return Fix("AdamW", code=code)
    text = f"{func}({', '.join(parts)}, weight_decay={kept})"
    return built.source.fix("AdamW", built.source.replaced(built.call, text))
