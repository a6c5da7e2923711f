"""Fixes of schedules whose horizon does not fit the training, or that wait for the wrong direction."""

import ast

from torch.optim import lr_scheduler

from lowres.doctor.calls import argument
from lowres.doctor.findings import Fix
from lowres.doctor.patching.edits import Edit
from lowres.doctor.remedies.places import Made, batch_loop, epochs_text, loader_text, made
from lowres.doctor.remedies.schedules import BATCH, EPOCH, schedule_made, sound, step_each, under
from lowres.doctor.remedies.scopes import known, same, spell, statement
from lowres.doctor.setup import Setup
from lowres.doctor.source import Source, called


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
    if kind in ("SequentialLR", "ChainedScheduler"):
        return _inner_cosine(setup, built, how, title) or Fix(title, code=f"T_max={steps}  # of the cosine in {kind}")
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


def _inner_cosine(setup: Setup, built: Made, how: str, title: str) -> Fix | None:
    """The horizon of the cosine that is the last of several schedules, or one of several that act together.

    Nothing can be put in the place of the whole: the others have set the rate when they were made, and it would stay
    where the first of them begins.
    """
    keys = [
        k for k in setup.trace.scheduler_keys() if type(setup.trace.schedulers[k].item).__name__ == called(built.call)
    ]
    if len(keys) != 1:
        return None
    whole = setup.trace.schedulers[keys[0]].item
    parts = list(whole._schedulers)
    cosines = [one for one in parts if type(one) is lr_scheduler.CosineAnnealingLR]
    begins = list(getattr(whole, "_milestones", ()))
    if len(cosines) != 1 or (begins and parts[-1] is not cosines[0]):
        return None
    seen = setup.trace.schedulers.get(id(cosines[0]))
    inner = made(setup, seen.place, "CosineAnnealingLR") if seen is not None else None
    horizon = _horizon(setup, inner.source, inner.statement, how) if inner is not None else None
    if inner is None or horizon is None:
        return None
    listed = argument(built.call, "milestones")
    begin = str(begins[-1]) if begins else ""
    if isinstance(listed, ast.List | ast.Tuple) and listed.elts and inner.source is built.source:
        name = ast.unparse(listed.elts[-1])
        usable = isinstance(listed.elts[-1], ast.Name | ast.Attribute) and same(
            built.source, name, built.call, inner.call
        )
        begin = name if usable and known(inner.source, name, inner.statement) else begin
    text = f"{horizon} - {begin}" if begin else horizon
    return inner.source.fix(title, inner.source.with_keyword(inner.call, "T_max", text))


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
        plain = epochs.replace(".", "").isidentifier() or epochs.isdigit()
        shared = setup.steps_per_epoch == setup.schedule_steps and setup.accumulation > 1
        length = f"(len({loader}) // {setup.accumulation})" if shared else f"len({loader})"
        return f"{epochs} * {length}" if plain else f"({epochs}) * {length}"
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
