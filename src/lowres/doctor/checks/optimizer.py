"""TR5: the optimizer's options, and hyper-parameters that reach nothing."""

import copy
import re

from lowres.doctor.checks.rate import batch_to_be, customary, sensible, set_rate
from lowres.doctor.declared import Unused, declared_unused, figure, named
from lowres.doctor.findings import Fix, Found, Place, check
from lowres.doctor.proposals import of_sgd
from lowres.doctor.rates import cycled_momentum
from lowres.doctor.remedies.optimizers import decoupled, in_sgd_s_place
from lowres.doctor.remedies.places import Made, optimizer_made
from lowres.doctor.remedies.scopes import spell
from lowres.doctor.setup import Setup


def _pass_it(setup: Setup, option: str, value: str, unused: Unused | None) -> Fix:
    """The option passed: by the name that is declared for it, where that is known, else as a figure."""
    built = optimizer_made(setup)
    if built is None:
        return Fix(f"pass {option}={value}", code=f"{setup.algorithm}(..., {option}={value})")
    if unused is not None:
        value = named(built, unused) or (f"{unused.value}" if isinstance(unused.value, int | float) else value)
    edits = [built.source.with_keyword(built.call, option, value)]
    if option == "weight_decay" and setup.algorithm == "Adam" and spell(built.source, "torch.optim.AdamW"):
        edits.append(built.source.replaced(built.call.func, spell(built.source, "torch.optim.AdamW") or ""))
    return built.source.fix(f"pass {option}={value}", *edits)


@check(
    "TR501",
    "no weight decay",
    grade="warning",
    kind="C06",
    cost=(1, 2),
    source="public cases: 1 to 2 points, more over 200 epochs",
)
def no_decay(setup: Setup) -> Found | None:
    """No group of the optimizer decays its weights, or a weight decay is declared and never passed.

    For SGD from scratch, and Adam where the declaration shows that it was meant. Fine-tuning is left alone unless
    declared. A decay that is part of the loss by hand (a sum over parameters) counts.
    """
    if not setup.groups or any(float(group.get("weight_decay") or 0) > 0 for group in setup.groups):
        return None
    unused = declared_unused(setup, "weight_decay")
    sgd = setup.algorithm == "SGD" and not setup.pretrained
    if (not sgd and unused is None) or _by_hand(setup):
        return None
    declared = f"{unused.value}" if unused is not None and unused.value is not None else ""
    return Found(
        f"{unused.name}{f' = {declared}' if declared else ''} is declared and reaches no optimizer"
        if unused is not None
        else "no weight decay",
        {
            "weight_decay": 0.0,
            "declared": unused is not None,
            "declared_value": unused.value if unused else None,
            "proposed": {"weight_decay": figure(unused) or 5e-4}
            | ({"optimizer": "AdamW"} if setup.algorithm == "Adam" else {}),
        },
        cost=1.5,
        place=Place(unused.source.path, unused.line) if unused is not None else setup.optimizer_place,
        fix=_pass_it(setup, "weight_decay", "5e-4", unused),
    )


SQUARE = re.compile(r"\*\*\s*2\b")


def _by_hand(setup: Setup) -> bool:
    """Whether the source sums squares of parameters into its loss."""
    for source in (setup.source, *setup.files.values()):
        if source is not None and any("parameters()" in line and SQUARE.search(line) for line in source.lines):
            return True
        for call in source.calls("norm", "pow", "square") if source is not None else ():
            if source is not None and any(
                "parameters()" in source.lines[i - 1] for i in range(max(1, call.lineno - 2), call.lineno + 1)
            ):
                return "clip" not in source.lines[call.lineno - 1]
    return False


@check(
    "TR502",
    "no momentum",
    grade="warning",
    kind="C07",
    cost=(1, 10),
    source="public cases: 1 to 3 points, 3 to 10 in short trainings",
)
def no_momentum(setup: Setup) -> Found | None:
    """SGD without momentum: its steps are a tenth of those with 0.9 at the same rate.

    Costs most where the training is short, or the rate is low as well. SGD at rates above 0.5 may do without.
    """
    if setup.algorithm != "SGD" or setup.momentum > 0 or setup.rates is None or setup.rates.peak > 0.5:
        return None
    unused = declared_unused(setup, "momentum")
    low = setup.rates.peak <= 0.02
    short = (setup.epochs or 100) <= 30
    fix, rate = _with_momentum(setup, unused)
    return Found(
        (f"{unused.name} is declared and reaches no optimizer: " if unused is not None else "")
        + f"SGD without momentum at a rate of {setup.rates.peak:g}",
        {
            "momentum": 0.0,
            "rate": setup.rates.peak,
            "epochs": setup.epochs,
            "declared": unused is not None,
            "proposed": {"momentum": figure(unused) or 0.9} | ({"lr": rate} if rate is not None else {}),
        },
        cost=9.0 if low and short else 6.0 if low else 4.0,
        place=setup.optimizer_place,
        fix=fix,
    )


def _with_momentum(setup: Setup, unused: Unused | None) -> tuple[Fix, float | None]:
    """Momentum passed; a rate that is too low even with it is set as well, and returned."""
    fix = _pass_it(setup, "momentum", "0.9", unused)
    built, rates = optimizer_made(setup), setup.rates
    pace = copy.copy(setup)
    vars(pace)["groups"] = [group | {"momentum": 0.9} for group in setup.groups]
    prior, best = sensible(pace), customary(pace, batch_to_be(setup))
    if built is None or rates is None or prior is None or best is None or rates.peak > 0.25 * prior[0]:
        return fix, None
    rate = set_rate(setup, best)
    if not fix.edits or not rate.edits:
        return fix, None
    return built.source.fix(f"{fix.title}, and {rate.title}", *fix.edits, *rate.edits), best


@check(
    "TR503",
    "decay through Adam's gradients",
    grade="warning",
    kind="C07",
    cost=(1, 3),
    source="public cases; Loshchilov & Hutter 2019",
)
def adam_l2(setup: Setup) -> Found | None:
    """`Adam(weight_decay=...)` divides the decay by the gradient's size, so that it hardly acts.

    AdamW keeps it apart.
    """
    group = setup.groups[0] if setup.groups else {}
    decay = max((float(one.get("weight_decay") or 0) for one in setup.groups), default=0.0)
    if setup.algorithm != "Adam" or decay < 1e-5 or group.get("decoupled_weight_decay"):
        return None
    sgd = in_sgd_s_place(setup, always=True, batch=batch_to_be(setup))
    own = {"optimizer": "AdamW", "weight_decay": decay if decay >= 0.01 else 0.05}
    return Found(
        f"Adam's weight decay of {decay:g} goes through its gradients",
        {"weight_decay": decay, "proposed": of_sgd(setup, sgd) if sgd is not None else own},
        cost=1.5,
        place=setup.optimizer_place,
        fix=sgd or decoupled(setup, decay),
    )


@check(
    "TR504", "Adam for a residual network", grade="note", kind="C07", cost=(0, 2), source="public cases: 92 for 93 %"
)
def adam(setup: Setup) -> Found | None:
    """Residual networks from scratch reach a point more with SGD, momentum and decay than with Adam's defaults."""
    kind = setup.kind
    if setup.algorithm not in ("Adam", "RMSprop") or kind is None or "residual" not in kind.name or setup.pretrained:
        return None
    return Found(
        f"{setup.algorithm} for {kind.name}",
        {"optimizer": setup.algorithm},
        cost=1.0,
        place=setup.optimizer_place,
        fix=in_sgd_s_place(setup, always=True, batch=batch_to_be(setup))
        or Fix(
            "SGD with momentum", code="torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)"
        ),
    )


@check(
    "TR505", "a hyper-parameter that reaches nothing", grade="warning", kind="C06", cost=(0, 5), source="public cases"
)
def dead(setup: Setup) -> Found | None:
    """A rate, batch size, number of epochs or label smoothing is declared and never read.

    Weight decay and momentum have checks of their own, but for a momentum that the schedule cycles, whatever is
    declared. A name that is only printed counts as never read. What is declared is set to a figure or to an option;
    what is read of a schedule or a batch is not.
    """
    cycled = ("momentum",) if setup.algorithm == "SGD" and cycled_momentum(setup.scheduler) is not None else ()
    for option in ("lr", "batch_size", "epochs", "label_smoothing", *cycled):
        unused = declared_unused(setup, option)
        if unused is None:
            continue
        source, line, name, value = unused
        if option in cycled:
            return Found(
                f"{name}{f' = {value}' if value is not None else ''} is declared and never read: the schedule sets it",
                {"name": name, "value": value, "momentum": setup.momentum},
                grade="note",
                cost=0.0,
                place=Place(source.path, line),
                fix=Fix(f"remove {name}, or set the schedule's base_momentum and max_momentum", code=name),
            )
        fix = _use(setup, option, unused)
        return Found(
            f"{name}{f' = {value}' if value is not None else ''} is declared and never read",
            {"name": name, "value": value}
            | ({"proposed": {option: figure(unused)}} if fix.edits and figure(unused) is not None else {}),
            cost=0.5,
            place=Place(source.path, line),
            fix=fix,
        )
    return None


def _use(setup: Setup, option: str, unused: Unused) -> Fix:
    """Label smoothing is handed to the loss; what else is to be done with a name, only its author knows."""
    source, _, name, _ = unused
    losses = source.calls("CrossEntropyLoss")
    if option == "label_smoothing" and len(losses) == 1 and not losses[0].args:
        text = named(Made(source, losses[0], None), unused)
        if text is not None and not any(one.arg == "label_smoothing" for one in losses[0].keywords):
            return source.fix(f"pass {name}", source.with_keyword(losses[0], "label_smoothing", text))
    return Fix(f"use {name}, or remove it", code=name)
