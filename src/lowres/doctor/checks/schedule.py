"""LR1: the schedule over the whole training."""

import ast

from torch.optim import lr_scheduler

from lowres.doctor.findings import Fix, Found, Place, check
from lowres.doctor.setup import Setup
from lowres.doctor.source import LOOPS, last_name

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


def _places(setup: Setup) -> Place | None:
    for key in setup.trace.scheduler_keys():
        if setup.trace.schedulers[key].place is not None:
            return setup.trace.schedulers[key].place
    return setup.optimizer_place


def _curve(setup: Setup) -> dict[str, object]:
    rates = setup.rates
    assert rates is not None
    shares = (0, 0.25, 0.5, 0.75, 1)
    return {
        "rate_at": {f"{share:.0%}": rates.at(share) for share in shares},
        "from": rates.source,
        "stepped": rates.cadence,
    }


def _averaged(setup: Setup) -> bool:
    """Whether weights are averaged, which takes the place of a falling rate."""
    if any(name in setup.algorithm for name in FREE):
        return True
    sources = [one for one in (setup.source, *setup.files.values()) if one is not None]
    names = {last_name(node) for one in sources for node in one.nodes(ast.Name, ast.Attribute)}
    names |= {node.name for one in sources for node in one.nodes(ast.FunctionDef)}
    names |= {node.name for one in sources for node in one.nodes(ast.ClassDef)}
    return bool(names & set(AVERAGING)) or any(name.lower().startswith(("ema_", "swa_")) for name in names)


@check("LR103", "no schedule", grade="warning", kind="C02", cost=(3, 8), source=MEASURED)
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
    if not rates.constant or _averaged(setup) or _own_schedule(setup) is not None:
        return None
    fix = _cosine(setup)
    return Found(
        f"no schedule: the rate stays at {rates.peak:g} from the first step to the last",
        {"rate": rates.peak, "epochs_seen": setup.epochs_seen},
        cost=2.5 if setup.pretrained else 5.0,
        place=setup.optimizer_place,
        fix=fix,
    )


def _cosine(setup: Setup) -> Fix:
    epochs = setup.epochs
    code = (
        f"scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max={epochs or 'epochs'})\n...\n"
        "scheduler.step()  # at the end of each epoch"
    )
    title = "a cosine to zero, stepped once an epoch"
    place, source = setup.optimizer_place, setup.text(setup.optimizer_place)
    train = setup.trace.train_loader()
    rounds = next(
        (
            e["rounds"]
            for e in setup.trace.of("iterate")
            if train is not None and e["loader"] == id(train) and e["rounds"]
        ),
        None,
    )
    if source is None or place is None or rounds is None or setup.source is not source:
        return Fix(title, code=code)
    made = source.statement_at(place.line)
    loop = next((n for n in source.nodes(*LOOPS) if n.lineno == rounds[1]), None)
    if (
        not isinstance(made, ast.Assign)
        or not isinstance(loop, ast.For | ast.While)
        or not isinstance(made.targets[0], ast.Name | ast.Attribute)
    ):
        return Fix(title, code=code)
    name = source.segment(made.targets[0])
    new = "scheduler" if isinstance(made.targets[0], ast.Name) else "self.scheduler"
    horizon = _range_text(loop) or str(epochs or "epochs")
    return source.fix(
        title,
        source.after(made, f"{new} = torch.optim.lr_scheduler.CosineAnnealingLR({name}, T_max={epochs or horizon})"),
        source.after(loop.body[-1], f"{new}.step()"),
    )


def _range_text(loop: ast.stmt) -> str | None:
    call = loop.iter if isinstance(loop, ast.For) else None
    return ast.unparse(call.args[-1]) if isinstance(call, ast.Call) and last_name(call.func) == "range" else None


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

    A scheduler whose `step` is never called in two whole epochs and all that were passed over; or a rate that the
    loop writes itself and that never changes, as when the function for it is handed something other than the epoch.
    """
    rates = setup.rates
    keys = setup.trace.scheduler_keys()
    if rates is None or not setup.trace.count("step") or setup.epochs_seen < 2:
        return None
    if keys and not setup.trace.count("schedule"):
        kind = type(setup.trace.schedulers[keys[-1]].item).__name__
        return Found(
            f"{kind} is made and never stepped: the rate stays at {rates.peak:g}",
            {"scheduler": kind, "steps_of_it": 0, "rate": rates.peak},
            cost=5.0,
            place=_places(setup),
            fix=Fix("step it at the end of each epoch", code="scheduler.step()"),
        )
    place = _own_schedule(setup)
    if not keys and place is not None and rates.constant and setup.epochs_seen >= 10:
        wrong = _rate_for_epoch(setup)
        return Found(
            f"the loop sets its rate in each epoch, and always to {rates.peak:g}"
            + (": the schedule is handed the rate in place of the epoch" if wrong else ""),
            {"rate": rates.peak, "epochs_seen": setup.epochs_seen, "handed_the_rate": wrong is not None},
            cost=6.0,
            place=wrong or place,
            fix=Fix("hand it the epoch", code="rate = schedule(epoch)"),
        )
    return None


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
                if text and ("lr" in text or "rate" in text) and "epoch" not in text and call.lineno != function.lineno:
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


def _simulated(setup: Setup) -> bool:
    rates = setup.rates
    return (
        rates is not None
        and rates.source in ("simulated", "observed")
        and len(rates.curve) >= 3
        and rates.cadence != "never"
    )


@check("LR105", "the rate never comes down", grade="warning", kind="C03", cost=(2, 8), source=MEASURED)
def never_anneals(setup: Setup) -> Found | None:
    """Over the whole training the schedule ends above 30 % of its peak.

    The schedule is stepped through the training as the loop steps it: a horizon that counts batches where the loop
    counts epochs, milestones beyond the last epoch, a cosine made for more epochs. Silent where weights are averaged,
    or where the schedule restarts (LR106).
    """
    rates = setup.rates
    if (
        rates is None
        or not _simulated(setup)
        or (rates.source == "observed" and (setup.epochs_seen < 5 or rates.constant))
    ):
        return None
    warm = rates.at(1) >= rates.peak * 0.999 and rates.curve[0] < 0.5 * rates.peak
    if rates.last <= 0.3 * rates.peak and not warm:
        return None
    if _averaged(setup) or rates.rises() >= 2 or _restarts(setup):
        return None
    climbs = rates.rises() == 1 and min(rates.curve) < 0.1 * rates.peak
    if climbs:
        return None
    kind = type(setup.scheduler).__name__ if setup.scheduler is not None else "the loop's own schedule"
    share = rates.last / rates.peak
    asked = getattr(setup.scheduler, "total_steps", None) or getattr(setup.scheduler, "T_max", None)
    slow = rates.peak < 0.2 * float(
        getattr(setup.scheduler, "max_lrs", [0.0])[0] if hasattr(setup.scheduler, "max_lrs") else 0.0
    )
    return Found(
        f"{kind} ends at {share:.0%} of its highest rate"
        + (f": its horizon is {asked} steps, the training has {rates.steps}" if asked else ""),
        _curve(setup) | {"last_of_peak": share, "horizon": asked, "steps": rates.steps},
        cost=20.0 if warm or slow else 3.0,
        place=_places(setup),
        fix=Fix("a horizon in the unit that it is stepped in", code=f"T_max={rates.steps}"),
    )


def _restarts(setup: Setup) -> bool:
    kinds = (lr_scheduler.CosineAnnealingWarmRestarts, lr_scheduler.CyclicLR, lr_scheduler.ReduceLROnPlateau)
    return isinstance(setup.scheduler, kinds)


@check("LR106", "the rate climbs again", grade="warning", kind="C03", cost=(2, 4), source=MEASURED)
def climbs(setup: Setup) -> Found | None:
    """A rate that had come down climbs back before the end: a cosine whose horizon is shorter than the training.

    Warm restarts and cyclic schedules, which mean to, are a note where they end high, and silent otherwise.
    """
    rates = setup.rates
    if rates is None or not _simulated(setup) or rates.rises() < 1:
        return None
    if _restarts(setup):
        if rates.last <= 0.3 * rates.peak:
            return None
        return Found(
            f"the training ends in the middle of a cycle, at {rates.last / rates.peak:.0%} of the highest rate",
            _curve(setup),
            cost=1.0,
            grade="note",
            place=_places(setup),
        )
    if rates.source == "observed" and setup.scheduler is None:
        return None
    asked = getattr(setup.scheduler, "T_max", None)
    many = rates.rises() > 3
    return Found(
        f"the rate climbs again {rates.rises()} time{'s' if rates.rises() > 1 else ''} and ends at "
        f"{rates.last / rates.peak:.0%} of its peak"
        + (f": T_max is {asked}, the training has {rates.steps} steps of it" if asked else ""),
        _curve(setup) | {"climbs": rates.rises(), "horizon": asked, "steps": rates.steps},
        cost=3.0,
        place=_places(setup),
        fix=Fix(
            "step it once an epoch" if many and rates.cadence == "batch" else "a horizon as long as the training",
            code="scheduler.step()  # outside of the loop over batches" if many else f"T_max={rates.steps}",
        ),
    )


@check("LR107", "the rate is gone too early", grade="warning", kind="C03", cost=(5, 30), source=MEASURED)
def gone(setup: Setup) -> Found | None:
    """Before a third of the training the rate is below a thousandth of its peak: the rest learns nothing."""
    rates = setup.rates
    if rates is None or not _simulated(setup) or _restarts(setup) or rates.rises() > 0:
        return None
    peak_at = rates.curve.index(rates.peak)
    at = next((i for i, r in enumerate(rates.curve) if i > peak_at and r < 1e-3 * rates.peak), len(rates.curve))
    share = at / len(rates.curve)
    if share >= 0.35 or len(rates.curve) < 8:
        return None
    return Found(
        f"after {share:.0%} of the training the rate is below a thousandth of its peak",
        _curve(setup) | {"gone_at": share},
        cost=15.0,
        place=_places(setup),
        fix=Fix("decay over the whole training", code=f"CosineAnnealingLR(optimizer, T_max={rates.steps})"),
    )


@check(
    "LR108",
    "a schedule that ends before the training",
    grade="error",
    kind="C03",
    cost=(3, 20),
    source="PyTorch raises there",
)
def too_long(setup: Setup) -> Found | None:
    """The schedule raises when it is stepped as often as the loop will: one-cycle beyond its total."""
    rates = setup.rates
    if rates is None or not rates.error:
        return None
    return Found(
        f"the schedule raises at {rates.error}",
        _curve(setup) | {"error": rates.error},
        cost=20.0,
        place=_places(setup),
        fix=Fix(
            "a total that counts all steps",
            code="OneCycleLR(optimizer, max_lr, epochs=epochs, steps_per_epoch=len(train_loader))",
        ),
    )


@check(
    "LR109", "plateau the wrong way round", grade="error", kind="C03", cost=(5, 30), source="estimate of the catalogue"
)
def plateau(setup: Setup) -> Found | None:
    """`ReduceLROnPlateau` waits for the wrong direction: mode `min` and it is handed an accuracy, or the reverse.

    What it is handed is told by the source (a name with `acc`, or with `loss`).
    """
    if not isinstance(setup.scheduler, lr_scheduler.ReduceLROnPlateau):
        return None
    given = next(iter(setup.trace.of("schedule")), None)
    source = setup.text(given.place) if given is not None else None
    call = (
        source.call_at(given.place.line, "step")
        if source is not None and given is not None and given.place is not None
        else None
    )
    if source is None or call is None or not call.args:
        return None
    text = source.segment(call.args[0]).lower()
    accuracy = any(word in text for word in ("acc", "val[", '"val"', "correct", "top1", "score"))
    losses = "loss" in text or "err" in text
    mode = setup.scheduler.mode
    if accuracy == losses or (accuracy and mode == "max") or (losses and mode == "min"):
        return None
    assert given is not None
    right = "max" if accuracy else "min"
    return Found(
        f"the plateau schedule has mode {mode!r} and is handed {source.segment(call.args[0])}: it lowers the rate "
        f"while that improves",
        {"mode": mode, "handed": source.segment(call.args[0]), "patience": setup.scheduler.patience},
        cost=20.0,
        place=_places(setup) or given.place,
        fix=Fix(f"mode={right!r}", code=f"ReduceLROnPlateau(optimizer, mode={right!r})"),
    )


@check("LR110", "step() with an argument", grade="note", kind="C36", cost=(0, 1), source="PyTorch has deprecated it")
def argument(setup: Setup) -> Found | None:
    """`scheduler.step(epoch)` is deprecated; beside a second scheduler it sets rates from another formula."""
    for event in setup.trace.of("schedule"):
        seen = setup.trace.schedulers[event["scheduler"]]
        if event["given"] and not isinstance(
            seen.item, lr_scheduler.ReduceLROnPlateau | lr_scheduler.CosineAnnealingWarmRestarts
        ):
            return Found(
                f"{type(seen.item).__name__}.step() is handed {event['given'][0]}",
                {"given": event["given"]},
                place=event.place,
                fix=Fix("step() without argument", code="scheduler.step()"),
            )
    return None
