"""Fixes of schedules: one where there is none, a step where none is taken."""

import ast

from torch.optim import lr_scheduler

from lowres.doctor.findings import Fix
from lowres.doctor.patching.edits import Edit
from lowres.doctor.rates import Rates, simulate
from lowres.doctor.remedies.places import (
    Made,
    batch_loop,
    epoch_loop,
    epochs_text,
    made,
    optimizer_made,
    optimizer_step,
)
from lowres.doctor.remedies.scopes import FUNCTIONS, home, known, spell, unused
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
