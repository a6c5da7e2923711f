"""Fixes of schedules: one where there is none, a step where none is taken, a horizon that fits the training."""

import ast

from torch.optim import lr_scheduler

from lowres.doctor.calls import argument
from lowres.doctor.findings import Fix
from lowres.doctor.patching.edits import Edit
from lowres.doctor.rates import Rates, simulate
from lowres.doctor.remedies.places import (
    Made,
    batch_loop,
    epoch_loop,
    epochs_text,
    loader_text,
    made,
    optimizer_made,
    optimizer_step,
)
from lowres.doctor.remedies.scopes import FUNCTIONS, home, known, spell, statement, unused
from lowres.doctor.setup import Setup
from lowres.doctor.source import LOOPS, Source, parent

WARM = 10
"""Epochs of warm-up of networks that attend, as a rule; fewer where the training is short."""
EPOCH, BATCH = "epoch", "batch"


def cosine(setup: Setup, source: Source, optimizer: str, horizon: str) -> list[str] | None:
    """A cosine as code; networks that attend warm up first."""
    home_of = {name: spell(source, f"torch.optim.lr_scheduler.{name}") for name in _USED}
    if not all(home_of.values()):
        return None
    attends = setup.network is not None and setup.network.attention and not setup.pretrained
    if not attends or (setup.epochs or 0) < 20:
        return [f"{home_of['CosineAnnealingLR']}({optimizer}, T_max={horizon})"]
    warm = min(WARM, (setup.epochs or 0) // 10)
    return [
        f"{home_of['SequentialLR']}(",
        f"    {optimizer},",
        "    [",
        f"        {home_of['LinearLR']}({optimizer}, start_factor=0.1, total_iters={warm}),",
        f"        {home_of['CosineAnnealingLR']}({optimizer}, T_max={horizon} - {warm}),",
        "    ],",
        f"    milestones=[{warm}],",
        ")",
    ]


_USED = ("CosineAnnealingLR", "SequentialLR", "LinearLR")


def add_cosine(setup: Setup) -> Fix:
    """A cosine for a training without a schedule: after the optimizer's construction, or before the loop."""
    title = "a cosine to zero, stepped once an epoch"
    code = (
        f"scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max={setup.epochs or 'epochs'})\n...\n"
        "scheduler.step()  # at the end of each epoch"
    )
    built = optimizer_made(setup)
    if built is not None and built.target is not None:
        source, end = built.source, (built.statement.end_lineno or 0) + 1
        name = unused(source, "scheduler", "schedule", "annealing")
        attribute = built.name.startswith("self.")
        target = f"self.{name}" if attribute else name
        horizon = epochs_text(setup, source, built.statement, end)
        branch = _in_a_branch(setup, built)
        loop = _loop_beside(setup, built) if branch or (horizon and horizon.isdigit()) else None
        named = epochs_text(setup, source, loop) if loop is not None else None
        if branch or (named and not named.isdigit()):
            horizon = named
        else:
            loop = None
        made_of = cosine(setup, source, built.name, horizon) if horizon else None
        step = step_each(setup, built, target, EPOCH) if isinstance(built.target, ast.Name) or attribute else None
        if made_of is not None and step is not None:
            code_of = (f"{target} = {made_of[0]}", *made_of[1:])
            made = source.after(built.statement, *code_of) if loop is None else source.before(loop.lineno, *code_of)
            return source.fix(title, made, step)
    fix = _before_the_loop(setup, title)
    return fix if fix is not None else Fix(title, code=code)


def _loop_beside(setup: Setup, built: Made) -> ast.stmt | None:
    """The loop over epochs, where it stands behind the optimizer's construction in the same scope.

    A schedule goes before it where the number of epochs has a name there and none yet where the optimizer is made
    (a number would stay behind when somebody, or another fix, changes that name), or where other branches make other
    optimizers.
    """
    found = epoch_loop(setup)
    if found is None or found[0] is not built.source or not isinstance(found[1], ast.For):
        return None
    loop = found[1]
    beside = home(loop) is home(built.statement) and loop.lineno > (built.statement.end_lineno or 0)
    return loop if beside and known(built.source, built.name, loop) else None


def _in_a_branch(setup: Setup, built: Made) -> bool:
    """Whether the optimizer is made in a branch that the training is not in."""
    found = epoch_loop(setup) or batch_loop(setup)
    line = found[1].lineno if found is not None and found[0] is built.source else 0
    above = parent(built.statement)
    while above is not None and not isinstance(above, FUNCTIONS):
        branch = isinstance(above, ast.If | ast.Try | ast.Match) and not above.lineno <= line <= (above.end_lineno or 0)
        if branch and not (isinstance(above, ast.If) and "__name__" in ast.unparse(above.test)):
            return True
        above = parent(above)
    return False


def _before_the_loop(setup: Setup, title: str) -> Fix | None:
    """The same where the loop is in a function that is handed the optimizer."""
    found, step = epoch_loop(setup), optimizer_step(setup)
    if found is None or step is None or found[0] is not step[0] or not isinstance(found[1], ast.For | ast.While):
        return None
    source, loop = found
    horizon = epochs_text(setup, source, loop)
    shared = home(loop) is home(step[1]) or step[2].startswith("self.")
    if horizon is None or not shared or not known(source, step[2], loop) or _skips(loop):
        return None
    made_of = cosine(setup, source, step[2], horizon)
    if made_of is None:
        return None
    name = unused(source, "scheduler", "schedule", "annealing")
    return source.fix(
        title,
        source.before(loop.lineno, f"{name} = {made_of[0]}", *made_of[1:]),
        source.after(loop.body[-1], f"{name}.step()"),
    )


def step_each(setup: Setup, built: Made, target: str, how: str) -> Edit | None:
    """A step of a schedule at each epoch's end or after each step of the optimizer, where its name is known.

    Args:
        setup: The setup.
        built: What is constructed where the schedule is, or right before: its scope is the schedule's.
        target: The schedule's name.
        how: epoch or batch.
    """
    source = built.source
    if how == BATCH:
        step = optimizer_step(setup)
        if step is None or step[0] is not source or not _reaches(source, built, target, step[1]):
            return None
        return source.after(step[1], f"{target}.step()")
    outer, inner = epoch_loop(setup), batch_loop(setup)
    if outer is not None and outer[0] is source and not _skips(outer[1]):
        last = outer[1].body[-1]
        leaves = isinstance(last, ast.Break | ast.Return | ast.Raise)
        if not leaves and _reaches(source, built, target, last) and (inner is None or outer[1] is not inner[1]):
            return source.after(last, f"{target}.step()")
    if inner is not None and inner[0] is source and _reaches(source, built, target, inner[1]):
        return source.after(inner[1], f"{target}.step()")
    return None


def _reaches(source: Source, built: Made, target: str, site: ast.stmt) -> bool:
    """Whether a name that is bound at a construction is known at a site."""
    if target.startswith("self."):
        return known(source, built.name, site) if built.name.startswith("self.") else False
    scope = home(built.call)
    if scope is not None:
        return home(site) is scope and site.lineno > built.call.lineno
    function = home(site)
    shadowed = function is not None and target in {
        one.arg for one in ast.walk(function.args) if isinstance(one, ast.arg)
    }
    return not shadowed and (function is not None or site.lineno > built.call.lineno)


def _skips(loop: ast.stmt) -> bool:
    """Whether a loop has a `continue` of its own, which would pass over what stands at its end."""
    waiting: list[ast.AST] = list(getattr(loop, "body", []))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Continue):
            return True
        if not isinstance(node, (*LOOPS, ast.FunctionDef)):
            waiting += list(ast.iter_child_nodes(node))
    return False


# A schedule that is there.


def schedule_made(setup: Setup) -> Made | None:
    """Where the schedule is made."""
    for key in setup.trace.scheduler_keys():
        seen = setup.trace.schedulers[key]
        if type(seen.item) is type(setup.scheduler) and seen.place is not None:
            return made(setup, seen.place, type(seen.item).__name__)
    return None


def sound(rates: Rates | None) -> bool:
    """Whether a curve comes down to a tenth, once, and is not far down before two fifths of the training."""
    if rates is None or rates.error or rates.rises() > 1:
        return False
    return rates.last <= 0.1 * rates.peak and rates.at(0.4) >= 0.2 * rates.peak


def under(setup: Setup, how: str) -> Rates | None:
    """The rate over the training if the schedule were stepped in another unit."""
    epochs = setup.epochs
    if setup.scheduler is None or not epochs or isinstance(setup.scheduler, lr_scheduler.ReduceLROnPlateau):
        return None
    return simulate(setup.scheduler, epochs * (setup.steps_per_epoch or 1) if how == BATCH else epochs, how)


def start_stepping(setup: Setup) -> Fix:
    """Steps a schedule that is never stepped, in the unit that its horizon counts."""
    built = schedule_made(setup)
    how = BATCH if not sound(under(setup, EPOCH)) and sound(under(setup, BATCH)) else EPOCH
    title = "step it at the end of each epoch" if how == EPOCH else "step it after each batch"
    plateau = isinstance(setup.scheduler, lr_scheduler.ReduceLROnPlateau)
    if built is not None and built.target is not None and not plateau:
        edit = step_each(setup, built, built.name, how)
        if edit is not None:
            return built.source.fix(title, edit)
    return Fix(title, code="scheduler.step(metric)" if plateau else "scheduler.step()")


def mended(setup: Setup) -> Fix:
    """A schedule whose horizon does not fit: stepped in the unit that it counts, or given the training's length."""
    rates, built = setup.rates, schedule_made(setup)
    steps = rates.steps if rates is not None else 0
    how = rates.cadence if rates is not None else EPOCH
    other = EPOCH if how == BATCH else BATCH
    if not _stepped_as_seen(setup, how):
        return Fix("a horizon as long as the training", code=f"T_max={steps}")
    if built is not None and sound(under(setup, other)):
        fix = _moved(setup, built, other)
        if fix is not None:
            return fix
    horizon = _horizon(setup, built.source, built.statement, how) if built is not None else None
    title = "a horizon as long as the training"
    if built is None or horizon is None:
        return Fix(title, code=f"T_max={steps}")
    kind = type(setup.scheduler).__name__
    if kind == "CosineAnnealingLR":
        return built.source.fix(title, built.source.with_keyword(built.call, "T_max", horizon))
    if kind == "OneCycleLR":
        return built.source.fix(title, *_one_cycle(built, horizon))
    if kind == "MultiStepLR" and how == EPOCH and steps >= 10 and _gamma(built) <= 0.3:
        return built.source.fix(
            "milestones within the training",
            built.source.with_keyword(built.call, "milestones", f"[{steps // 2}, {steps * 4 // 5}]"),
        )
    return into_cosine(setup, built, horizon)


def _stepped_as_seen(setup: Setup, how: str) -> bool:
    """Whether the source agrees on how often the schedule is stepped; without steps of the optimizer none can tell."""
    if not setup.trace.count("step"):
        return False
    inner = batch_loop(setup)
    places = {event.place for event in setup.trace.of("schedule")}
    if inner is None or not places or any(one is None or setup.text(one) is not inner[0] for one in places):
        return True
    lines = range(inner[1].lineno, (inner[1].end_lineno or 0) + 1)
    return all((one.line in lines) is (how == BATCH) for one in places if one is not None)


def into_cosine(setup: Setup, built: Made, horizon: str, *edits: Edit) -> Fix:
    """A cosine over the whole training in a schedule's place."""
    optimizer = argument(built.call, "optimizer")
    title = "decay over the whole training"
    spelled = spell(built.source, "torch.optim.lr_scheduler.CosineAnnealingLR")
    if optimizer is None or spelled is None:
        return Fix(title, code=f"CosineAnnealingLR(optimizer, T_max={horizon})")
    text = f"{spelled}({built.source.segment(optimizer)}, T_max={horizon})"
    return built.source.fix(title, built.source.replaced(built.call, text), *edits)


def plateau_fix(setup: Setup, mode: str, step: ast.Call) -> Fix:
    """The other mode; in the place of a plateau of so little patience that it would be gone early, a cosine."""
    built = schedule_made(setup)
    title = f"mode={mode!r}"
    if built is None:
        return Fix(title, code=f"ReduceLROnPlateau(optimizer, mode={mode!r})")
    patience, epochs = setup.scheduler.patience, setup.epochs or 0
    horizon = epochs_text(setup, built.source, built.statement)
    once = len(
        [one for one in built.source.calls("step") if one.args and ast.unparse(one.func) == ast.unparse(step.func)]
    )
    same_file = step in built.source.calls("step")
    if (
        horizon is not None
        and epochs >= 20 * patience
        and once == 1
        and same_file
        and isinstance(statement(step), ast.Expr)
    ):
        fix = into_cosine(setup, built, horizon, built.source.replaced(step, f"{ast.unparse(step.func)}()"))
        if fix.edits:
            return Fix(f"{title}; better a cosine, since its patience is short", fix.path, fix.edits, fix.diff)
    return built.source.fix(title, built.source.with_keyword(built.call, "mode", repr(mode)))


def _moved(setup: Setup, built: Made, how: str) -> Fix | None:
    """Its step taken out of one loop and put into the other."""
    places = {event.place for event in setup.trace.of("schedule")}
    place = next(iter(places), None)
    if len(places) != 1 or place is None or setup.text(place) is not built.source or built.target is None:
        return None
    call = built.source.call_at(place.line, "step")
    if call is None or not isinstance(statement(call), ast.Expr) or statement(call).value is not call:  # type: ignore[attr-defined]
        return None
    stepped = statement(call)
    edit = step_each(setup, built, built.name, how)
    if edit is None:
        return None
    title = "step it once an epoch" if how == EPOCH else "step it after each batch, which its horizon counts"
    return built.source.fix(title, built.source.removed(stepped), edit)


def _horizon(setup: Setup, source: Source, site: ast.stmt, how: str) -> str | None:
    """The schedule's steps over the whole training as code."""
    epochs = epochs_text(setup, source, site)
    if how == EPOCH:
        return epochs
    loader = loader_text(setup, source, site)
    if epochs is not None and loader is not None:
        return (
            f"{epochs} * len({loader})"
            if epochs.replace(".", "").isidentifier() or epochs.isdigit()
            else (f"({epochs}) * len({loader})")
        )
    return str(setup.rates.steps) if setup.rates is not None and setup.rates.steps else None


def _one_cycle(built: Made, horizon: str) -> list[Edit]:
    """One cycle over so many steps, whatever it counted before."""
    given = {one.arg for one in built.call.keywords}
    gone = [name for name in ("epochs", "steps_per_epoch") if name in given]
    edits = [built.source.keyword_removed(built.call, name) for name in gone]
    return [*edits, built.source.with_keyword(built.call, "total_steps", horizon)]


def _gamma(built: Made) -> float:
    value = argument(built.call, "gamma")
    return float(value.value) if isinstance(value, ast.Constant) and isinstance(value.value, float | int) else 0.1
