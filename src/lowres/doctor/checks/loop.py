"""TR5: the order of backward, step and zero_grad; clipping; checkpoints."""

import ast

from lowres.doctor.findings import Fix, Found, check
from lowres.doctor.setup import Setup
from lowres.doctor.source import last_name


@check("TR521", "gradients never cleared", grade="error", kind="C20", cost=(5, 60), source="public cases")
def stale(setup: Setup) -> Found | None:
    """Each step uses the gradients of all batches before it.

    At every backward pass after a step it is looked whether gradients are still there. Accumulation over several
    batches clears them after each step, and stays silent.
    """
    stepped, after, left = False, 0, 0
    place = None
    for event in setup.trace.of("backward", "step", real=True):
        if event.kind == "step":
            stepped = True
        elif stepped:
            after, left = after + 1, left + bool(event["stale"])
            place = place or event.place
            stepped = False
    if not after or left < after or after < 2:
        return None
    return Found(
        "gradients are never cleared: each step adds those of all batches before",
        {"steps_looked_at": after, "with_old_gradients": left},
        cost=30.0,
        place=place,
        fix=_zero(setup, place),
    )


def _zero(setup: Setup, place: object) -> Fix:
    from lowres.doctor.findings import Place

    source = setup.text(place) if isinstance(place, Place) else None
    name = "optimizer"
    if source is None or not isinstance(place, Place):
        return Fix("clear them before backward", code=f"{name}.zero_grad()")
    for call in source.calls("step"):
        if isinstance(call.func, ast.Attribute) and "opt" in last_name(call.func.value):
            name = source.segment(call.func.value)
    return source.fix("clear them before backward", source.before(place.line, f"{name}.zero_grad()"))


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
        fix=Fix("step after backward", code="optimizer.step()"),
    )


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
        fix=Fix("zero_grad, backward, step", code="optimizer.zero_grad()\nloss.backward()\noptimizer.step()"),
    )


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
        fix=Fix("clip what is exceptional", code="max_norm=5.0"),
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
            fix=Fix(
                "the names as the network has them, strictly",
                code=f'state = {{name.removeprefix("{prefix}"): value for name, value in state.items()}}\n'
                "model.load_state_dict(state)",
            ),
        )
    return None


@check(
    "TR526",
    "fp16 without a scaler",
    grade="warning",
    kind="C33",
    cost=(0, 80),
    source="small gradients become zero in fp16",
)
def no_scaler(setup: Setup) -> Found | None:
    """`autocast` in fp16 without a `GradScaler`, as the source has it; bf16 needs none."""
    for source in (setup.source, *setup.files.values()):
        if source is None or any(source.calls("GradScaler")):
            continue
        for call in source.calls("autocast"):
            text = source.segment(call)
            gpu = "cuda" in text or any("cuda.amp" in line for line in source.lines)
            if gpu and "bfloat16" not in text and "enabled=False" not in text:
                from lowres.doctor.findings import Place

                return Found(
                    "mixed precision in fp16 without a GradScaler: small gradients vanish",
                    {"autocast": text},
                    cost=5.0,
                    place=Place(source.path, call.lineno),
                    fix=Fix("bf16, which needs no scaler", code='torch.autocast("cuda", dtype=torch.bfloat16)'),
                )
    return None
