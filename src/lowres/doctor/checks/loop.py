"""TR5: the order of backward, step and zero_grad; clipping; checkpoints."""

import ast

from lowres.doctor.calls import called, last_name
from lowres.doctor.findings import Fix, Found, Place, check
from lowres.doctor.remedies.places import given, optimizer_made, optimizer_step
from lowres.doctor.remedies.scopes import home, known, spell
from lowres.doctor.setup import Setup
from lowres.doctor.source import Source, parent
from lowres.doctor.trace import Event


@check("TR521", "gradients never cleared", grade="error", kind="C20", cost=(5, 60), source="public cases")
def stale(setup: Setup) -> Found | None:
    """Each step uses the gradients of all batches before it.

    At every backward pass after a step it is looked whether gradients are still there; a step counts where they are
    at all passes before it. Accumulation over several batches clears them after each step, and stays silent, and so
    does a loop that clears them between the pass of an attack on its images and its own.
    """
    stepped, after, left = False, 0, 0
    place, passes = None, list[Event]()
    for event in setup.trace.of("backward", "step", real=True):
        if event.kind == "backward":
            passes.append(event)
            continue
        if stepped and passes:
            after, left = after + 1, left + all(one["stale"] for one in passes)
            place = place or passes[0].place
        stepped, passes = True, []
    if not after or left < after or after < 2:
        return None
    return Found(
        "gradients are never cleared: each step adds those of all batches before",
        {"steps_looked_at": after, "with_old_gradients": left},
        cost=30.0,
        place=place,
        fix=_zero(setup, place),
    )


def _zero(setup: Setup, place: Place | None) -> Fix:
    """`zero_grad` before the backward pass; after the step, where several passes come before one."""
    title, source, step = "clear them before backward", setup.text(place), optimizer_step(setup)
    if source is None or place is None or step is None or step[0] is not source:
        return Fix(title, code="optimizer.zero_grad()")
    around = source.statement_at(place.line)
    if around is None or home(around) is not home(step[1]):
        return Fix(title, code="optimizer.zero_grad()")
    if parent(around) is not parent(step[1]):
        return source.fix("clear them after the step", source.after(step[1], f"{step[2]}.zero_grad()"))
    return source.fix(title, source.before(around.lineno, f"{step[2]}.zero_grad()"))


@check("TR522", "no step", grade="error", kind="C20", cost=(40, 90), source="nothing is learned")
def no_step(setup: Setup) -> Found | None:
    """Gradients are computed, and no optimizer ever uses them.

    Silent where the loop changes the weights by hand, or steps after more batches than were seen.
    """
    if setup.trace.count("backward", real=True) < 3 or setup.trace.count("step"):
        return None
    backward = setup.trace.first("backward")
    if _changed(setup) or _accumulates(setup):
        return None  # the loop changes the weights by hand, or steps after more batches than were seen
    return Found(
        "backward() is called and no optimizer steps: nothing is learned",
        {"backward_passes": setup.trace.count("backward"), "steps": 0},
        cost=85.0,
        place=backward.place if backward else None,
        fix=_step(setup, backward.place if backward else None),
    )


def _step(setup: Setup, place: Place | None) -> Fix:
    """A step after the backward pass, and gradients cleared before it where that is not done either."""
    title, manual = "step after backward", Fix("step after backward", code="optimizer.step()")
    source, built = setup.text(place), optimizer_made(setup)
    around = source.statement_at(place.line) if source is not None and place is not None else None
    if source is None or built is None or built.source is not source or not isinstance(around, ast.Expr):
        return manual
    call = around.value
    plain = isinstance(call, ast.Call) and called(call) == "backward" and isinstance(call.func, ast.Attribute)
    scaled = plain and "scale" in source.segment(around)
    if not plain or scaled or built.target is None or not known(source, built.target, around):
        return manual
    edits = [source.after(around, f"{built.name}.step()")]
    if not setup.trace.count("zero_grad"):
        edits.append(source.before(around.lineno, f"{built.name}.zero_grad()"))
    return source.fix(title, *edits)


def _accumulates(setup: Setup) -> bool:
    """Whether the source steps an optimizer under a condition on the remainder of a division."""
    for source in (setup.source, *setup.files.values()):
        for call in source.calls("step") if source is not None else ():
            assert source is not None
            around = source.enclosing(call.lineno, ast.If)
            if any(isinstance(n, ast.Mod) for one in around if isinstance(one, ast.If) for n in ast.walk(one.test)):
                return True
    return False


def _changed(setup: Setup) -> bool:
    seen = setup.trace.models.get(id(setup.model))
    return seen is not None and seen.notes.get("after") not in (None, seen.notes.get("before"))


@check("TR523", "cleared before the step", grade="error", kind="C20", cost=(40, 90), source="nothing is learned")
def cleared(setup: Setup) -> Found | None:
    """`zero_grad` stands between `backward` and `step`: steps are taken with no gradients.

    The norm of the gradients is measured at each step.
    """
    steps = [event for event in setup.trace.of("step", real=True) if event["norm"] is not None]
    empty = [event for event in steps if event["norm"] == 0]
    if len(steps) < 2 or len(empty) < len(steps) or not setup.trace.count("backward"):
        return None
    order = [event.kind for event in setup.trace.of("backward", "zero_grad", "step", real=True)]
    between = any(order[i : i + 3] == ["backward", "zero_grad", "step"] for i in range(len(order)))
    if not between and setup.network is not None and setup.network.unregistered:
        return None
    return Found(
        "steps are taken without gradients" + (": zero_grad() stands between backward() and step()" if between else ""),
        {"steps": len(steps), "without_gradients": len(empty)},
        cost=85.0,
        place=steps[0].place,
        fix=_reordered(setup) if between else Fix("zero_grad, backward, step", code=ORDER),
    )


ORDER = "optimizer.zero_grad()\nloss.backward()\noptimizer.step()"


def _reordered(setup: Setup) -> Fix:
    """`zero_grad` taken from behind the backward pass and put before it."""
    title = "zero_grad, backward, step"
    backward, cleared_at = setup.trace.first("backward"), None
    for event in setup.trace.of("backward", "zero_grad", "step", real=True):
        if event.kind == "backward":
            backward, cleared_at = event, None
        elif event.kind == "zero_grad":
            cleared_at = event
        elif cleared_at is not None:
            break
    source = setup.text(backward.place) if backward is not None else None
    if source is None or backward is None or cleared_at is None or setup.text(cleared_at.place) is not source:
        return Fix(title, code=ORDER)
    assert backward.place is not None
    assert cleared_at.place is not None
    first, second = (source.statement_at(one.place.line) for one in (backward, cleared_at) if one.place is not None)
    if not isinstance(first, ast.Expr) or not isinstance(second, ast.Expr) or home(first) is not home(second):
        return Fix(title, code=ORDER)
    return source.fix(title, source.removed(second), source.before(first.lineno, source.segment(second)))


def _clipped_less(setup: Setup, place: Place | None, limit: float) -> Fix:
    """A limit that only exceptional gradients reach."""
    source = setup.text(place)
    call = source.call_at(place.line, "clip_grad_norm_") if source is not None and place is not None else None
    value = call and next((one.value for one in call.keywords if one.arg == "max_norm"), None)
    value = value or (call.args[1] if call is not None and len(call.args) > 1 else None)
    edit = given(source, value, limit, "5.0") if source is not None else None
    if source is None or edit is None:
        return Fix("clip what is exceptional", code="max_norm=5.0")
    return source.fix("clip what is exceptional", edit)


@check("TR524", "clipped to nothing", grade="warning", kind="C33", cost=(1, 20), source="estimate of the catalogue")
def clipped(setup: Setup) -> Found | None:
    """Gradients are cut at nearly every step, to a norm of 0.1 or less: SGD then crawls at the clip's rate.

    Adam does not mind the scale of gradients. Clipping at 1 and above is usual.
    """
    clips = [event for event in setup.trace.of("clip", real=True) if event["norm"] is not None]
    if not clips or setup.algorithm.startswith("Adam"):
        return None
    active = [event for event in clips if event["norm"] > event["max_norm"]]
    limit = max(event["max_norm"] for event in clips)
    if len(active) < 0.9 * len(clips) or limit > 0.1:
        return None
    typical = sorted(event["norm"] for event in clips)[len(clips) // 2]
    return Found(
        f"gradients are clipped to {limit:g} at {len(active) / len(clips):.0%} of the steps; their norm is "
        f"{typical:.2g}",
        {"max_norm": limit, "typical_norm": typical, "clipped": len(active) / len(clips)},
        cost=10.0,
        place=clips[0].place,
        fix=_clipped_less(setup, clips[0].place, limit),
    )


@check(
    "TR525",
    "a checkpoint that matches nothing",
    grade="error",
    kind="C19",
    cost=(10, 85),
    source="public cases: 10 % after loading one's own checkpoint",
)
def checkpoint(setup: Setup) -> Found | None:
    """Weights are loaded with `strict=False`, and most of them match no name: the network is as it was.

    Missing and unexpected names are counted. A head that was left out on purpose is a few of many. Often a prefix
    (`module.`, `_orig_mod.`) is what differs.
    """
    for event in setup.trace.of("load"):
        missing, unexpected, wanted = event["missing"], event["unexpected"], event["wanted"]
        if not wanted or len(missing) < 0.5 * wanted:
            continue
        prefix = next((p for p in ("module.", "_orig_mod.") if any(name.startswith(p) for name in unexpected)), "")
        return Found(
            f"{len(missing)} of {wanted} weights found nothing in the checkpoint"
            + (f", whose names begin with {prefix!r}" if prefix else "")
            + ("; the network is unchanged" if not event["changed"] else ""),
            {
                "missing": len(missing),
                "wanted": wanted,
                "unexpected": len(unexpected),
                "strict": event["strict"],
                "prefix": prefix,
            },
            cost=80.0,
            place=event.place,
            fix=_names(setup, event, prefix),
        )
    return None


def _names(setup: Setup, event: Event, prefix: str) -> Fix:
    """The checkpoint's names without their prefix, and loaded strictly."""
    title = "the names as the network has them, strictly"
    code = (
        f'state = {{name.removeprefix("{prefix}"): value for name, value in state.items()}}\n'
        "model.load_state_dict(state)"
    )
    source = setup.text(event.place)
    call = source.call_at(event.place.line, "load_state_dict") if source and event.place is not None else None
    all_match = {prefix + name for name in event["missing"]} <= set(event["unexpected"])
    if source is None or call is None or not call.args or not prefix or not all_match:
        return Fix(title, code=code)
    state = call.args[0]
    template = f'{{name.removeprefix("{prefix}"): value for name, value in {source.segment(state)}.items()}}'
    edits = [source.replaced(state, template)]
    if any(one.arg == "strict" for one in call.keywords):
        edits.append(source.keyword_removed(call, "strict"))
    return source.fix(title, *edits)


@check(
    "TR526",
    "fp16 without a scaler",
    grade="warning",
    kind="C33",
    cost=(0, 80),
    source="small gradients become zero in fp16",
)
def no_scaler(setup: Setup) -> Found | None:
    """`autocast` in fp16 without a `GradScaler`, as the source has it; bf16 needs none.

    All files are looked through for a scaler: it may be made in another one than the loop. A type that is given by a
    name of the program's own is taken for bf16.
    """
    sources = [one for one in (setup.source, *setup.files.values()) if one is not None]
    if any(_scales(one) for one in sources):
        return None
    for source in sources:
        for call in source.calls("autocast"):
            text = source.segment(call)
            gpu = "cuda" in text or any("cuda.amp" in line for line in source.lines)
            if gpu and _half(call) and "enabled=False" not in text:
                return Found(
                    "mixed precision in fp16 without a GradScaler: small gradients vanish",
                    {"autocast": text},
                    cost=5.0,
                    place=Place(source.path, call.lineno),
                    fix=_bf16(source, call),
                )
    return None


def _scales(source: Source) -> bool:
    """Whether it makes a scaler, or has one scale something: `scaler.scale(loss)`."""
    made = source.calls("GradScaler", "NativeScaler")
    return bool(made) or any(isinstance(one.func, ast.Attribute) for one in source.calls("scale"))


def _half(call: ast.Call) -> bool:
    """Whether it casts to fp16: by default, or as it is written."""
    given = [one.value for one in call.keywords if one.arg == "dtype"] or call.args[1:2]
    return not given or last_name(given[0]) in ("float16", "half")


def _bf16(source: Source, call: ast.Call) -> Fix:
    """The same in bf16."""
    title, dtype = "bf16, which needs no scaler", spell(source, "torch.bfloat16")
    if dtype is None:
        return Fix(title, code='torch.autocast("cuda", dtype=torch.bfloat16)')
    named = any(one.arg == "dtype" for one in call.keywords)
    if len(call.args) > 1 and not named:
        return source.fix(title, source.replaced(call.args[1], dtype))
    return source.fix(title, source.with_keyword(call, "dtype", dtype))
