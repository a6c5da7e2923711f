"""LR1: no schedule, or one that never acts."""

import ast

from lowres.doctor.findings import Fix, Found, Place, check
from lowres.doctor.remedies.schedules import add_cosine, start_stepping
from lowres.doctor.remedies.scopes import home
from lowres.doctor.setup import Setup
from lowres.doctor.source import last_name

MEASURED = "public cases: 3 to 8 points without a schedule, 2 to 4 for a horizon that does not fit"
AVERAGING = (
    "AveragedModel",
    "update_parameters",
    "ema",
    "EMA",
    "ModelEma",
    "ModelEmaV2",
    "ExponentialMovingAverage",
    "swa_model",
    "ema_model",
    "Lookahead",
)
FREE = ("ScheduleFree", "Prodigy", "DAdapt", "Lookahead")


def place_of(setup: Setup) -> Place | None:
    """Where the schedule was made, else the optimizer."""
    for key in setup.trace.scheduler_keys():
        if setup.trace.schedulers[key].place is not None:
            return setup.trace.schedulers[key].place
    return setup.optimizer_place


def curve(setup: Setup) -> dict[str, object]:
    """The rate at five points of the training, as evidence."""
    rates = setup.rates
    assert rates is not None
    shares = (0, 0.25, 0.5, 0.75, 1)
    return {
        "rate_at": {f"{share:.0%}": rates.at(share) for share in shares},
        "from": rates.source,
        "stepped": rates.cadence,
    }


def averaged(setup: Setup) -> bool:
    """Whether weights are averaged, which takes the place of a falling rate."""
    if any(name in setup.algorithm for name in FREE):
        return True
    sources = [one for one in (setup.source, *setup.files.values()) if one is not None]
    names = {last_name(node) for one in sources for node in one.nodes(ast.Name, ast.Attribute)}
    names |= {node.name for one in sources for node in one.nodes(ast.FunctionDef)}
    names |= {node.name for one in sources for node in one.nodes(ast.ClassDef)}
    return bool(names & set(AVERAGING)) or any(name.lower().startswith(("ema_", "swa_")) for name in names)


@check("LR103", "no schedule", grade="warning", kind="C02", cost=(2.5, 8), source=MEASURED)
def none(setup: Setup) -> Found | None:
    """The rate is the same from the first step to the last.

    Neither a scheduler nor a rate that changes in the observed epochs. Silent where weights are averaged (EMA, SWA)
    or the optimizer needs no schedule. A scheduler that is there and never stepped is LR104's. Fine-tuning in a few
    epochs loses little, and costs half.
    """
    rates = setup.rates
    if (
        rates is None
        or setup.optimizer is None
        or not setup.trains
        or setup.trace.scheduler_keys()
        or setup.scheduler is not None
    ):
        return None
    if not rates.constant or averaged(setup) or _own_schedule(setup) is not None:
        return None
    return Found(
        f"no schedule: the rate stays at {rates.peak:g} from the first step to the last",
        {"rate": rates.peak, "epochs_seen": setup.epochs_seen},
        cost=2.5 if setup.pretrained else 5.0,
        place=setup.optimizer_place,
        fix=add_cosine(setup),
    )


def _own_schedule(setup: Setup) -> Place | None:
    """A place in the source that writes the rate of a group."""
    for source in (setup.source, *setup.files.values()):
        for node in source.nodes(ast.Assign, ast.AugAssign) if source is not None else ():
            targets = (
                node.targets
                if isinstance(node, ast.Assign)
                else [node.target]
                if isinstance(node, ast.AugAssign)
                else []
            )
            for target in targets:
                if (
                    isinstance(target, ast.Subscript)
                    and isinstance(target.slice, ast.Constant)
                    and target.slice.value == "lr"
                ):
                    assert source is not None
                    return Place(source.path, node.lineno)
    return None


@check("LR104", "a schedule that never acts", grade="error", kind="C03", cost=(3, 8), source=MEASURED)
def idle(setup: Setup) -> Found | None:
    """A schedule is there, and the rate does not follow it.

    A scheduler whose `step` is never called in two whole epochs and all that were passed over, while the rate stays
    the same; or a rate that the loop writes itself and that never changes, as when the function for it is handed
    something other than the epoch. Of the latter nothing is said where the loop ended early, before its milestones
    may have come, unless it is seen that the function is handed the rate.
    """
    rates = setup.rates
    keys = setup.trace.scheduler_keys()
    if rates is None or not setup.trace.count("step") or setup.epochs_seen < 2:
        return None
    if keys and rates.constant and not setup.trace.count("schedule"):
        kind = type(setup.trace.schedulers[keys[-1]].item).__name__
        return Found(
            f"{kind} is made and never stepped: the rate stays at {rates.peak:g}",
            {"scheduler": kind, "steps_of_it": 0, "rate": rates.peak},
            cost=5.0,
            place=place_of(setup),
            fix=start_stepping(setup),
        )
    place = _own_schedule(setup)
    if not keys and place is not None and rates.constant and setup.epochs_seen >= 10:
        wrong = _rate_for_epoch(setup)
        if wrong is None and not setup.seen_whole:
            return None
        return Found(
            f"the loop sets its rate in each epoch, and always to {rates.peak:g}"
            + (": the schedule is handed the rate in place of the epoch" if wrong else ""),
            {"rate": rates.peak, "epochs_seen": setup.epochs_seen, "handed_the_rate": wrong is not None},
            cost=6.0,
            place=wrong or place,
            fix=_hand_the_epoch(setup, wrong),
        )
    return None


def _hand_the_epoch(setup: Setup, place: Place | None) -> Fix:
    """The loop's variable in the place of what the schedule is handed."""
    source = setup.text(place)
    handed = [
        call
        for call in (source.nodes(ast.Call) if source is not None and place is not None else ())
        if place is not None and call.lineno == place.line and call.args and _is_rate(ast.unparse(call.args[0]))
    ]
    for loop in source.enclosing(place.line, ast.For) if source is not None and place is not None else ():
        plain = isinstance(loop.target, ast.Name) and "epoch" in loop.target.id
        if source is not None and plain and len(handed) == 1 and home(handed[0]) is home(loop):
            return source.fix("hand it the epoch", source.replaced(handed[0].args[0], source.segment(loop.target)))
    return Fix("hand it the epoch", code="rate = schedule(epoch)")


def _is_rate(code: str) -> bool:
    return ("lr" in code or "rate" in code) and "epoch" not in code


def _rate_for_epoch(setup: Setup) -> Place | None:
    """A call that hands a rate to a function whose parameter is called epoch."""
    for source in (setup.source, *setup.files.values()):
        if source is None:
            continue
        for function in source.nodes(ast.FunctionDef):
            assert isinstance(function, ast.FunctionDef)
            names = [one.arg for one in function.args.args if one.arg not in ("self", "cls")]
            if not names or "epoch" not in names[0]:
                continue
            for call in source.nodes(ast.Call):
                assert isinstance(call, ast.Call)
                text = ast.unparse(call.args[0]) if call.args else ""
                if _is_rate(text) and call.lineno != function.lineno:
                    own = last_name(call.func) in (function.name, *_instances(source.tree, function))
                    if own:
                        return Place(source.path, call.lineno)
    return None


def _instances(tree: ast.Module, function: ast.FunctionDef) -> list[str]:
    """Names that objects of a method's class are bound to."""
    home = getattr(function, "parent", None)
    if not isinstance(home, ast.ClassDef):
        return []
    return [
        last_name(target)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and last_name(node.value.func) == home.name
        for target in node.targets
    ]
