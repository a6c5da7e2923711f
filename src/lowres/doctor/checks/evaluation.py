"""EV4: modes in which the network is evaluated and trained, and whether it is evaluated at all."""

import ast
from collections.abc import Iterator

from lowres.doctor.findings import Fix, Found, check
from lowres.doctor.remedies.modes import evaluation_mode, training_mode
from lowres.doctor.setup import Setup
from lowres.doctor.trace import Event

FOREIGN = ("Trainer", "Learner")


def _own_loop(setup: Setup) -> bool:
    """Whether the loop is the user's own; trainers of libraries set modes themselves."""
    if setup.source is None:
        return True
    own = {node.name for node in setup.source.nodes(ast.ClassDef)}
    own |= {node.name for node in setup.source.nodes(ast.FunctionDef)}
    return not any(setup.source.calls(*(name for name in FOREIGN if name not in own)))


def _forwards(setup: Setup, *, grad: bool) -> list[Event]:
    keys = {key for key, seen in setup.trace.models.items() if setup.model is not None and seen.item is setup.model}
    wrapped = {
        key
        for key, seen in setup.trace.models.items()
        if setup.model is not None and getattr(seen.item, "module", None) is setup.model
    }
    return [e for e in setup.trace.of("forward") if e["model"] in keys | wrapped and e["grad"] == grad]


@check(
    "EV401",
    "evaluated in training mode",
    grade="error",
    kind="C11",
    cost=(0, 10),
    source="public cases: 0 to 70 points; little with shuffled batches of 100 and more",
)
def no_eval(setup: Setup) -> Found | None:
    """The network is in training mode while it is evaluated: dropout drops, batch norm uses the test batch.

    Seen in passes without gradients over another loader than the training one. Graded by the batch: at 16 images and
    fewer it costs most. A note where the network behaves alike in both modes. Passes that only refresh the
    statistics of batch norm (over the training loader) stay silent, and so does a single norm or dropout that is
    left on (Monte Carlo dropout), since the network itself is in evaluation mode then.
    """
    if not _own_loop(setup):
        return None
    train = setup.trace.train_loader()
    tested = [e for e in _forwards(setup, grad=False) if e["loader"] not in (None, id(train))]
    tested += _unfollowed(setup)
    wrong = [e for e in tested if e["training"]]
    if not wrong or len(wrong) < 0.5 * len(tested):
        return None
    matters = setup.mode_matters
    sizes = [one.batch_size for one in setup.evals if one.batch_size]
    small = bool(sizes) and min(sizes) <= 16
    place = wrong[0].place
    return Found(
        "the network is evaluated in training mode" + ("" if matters else "; it behaves alike in both"),
        {
            "passes_in_training_mode": len(wrong),
            "passes": len(tested),
            "batch": min(sizes, default=None),
            "batch_norm": setup.batch_normed,
        },
        cost=10.0 if small else 2.0 if matters else 0.0,
        grade="error" if matters else "note",
        place=place,
        fix=evaluation_mode(setup, place),
    )


def _unfollowed(setup: Setup) -> Iterator[Event]:
    """Passes with gradients over evaluation loaders, which no backward pass follows."""
    train = {e["loader"] for e in setup.trace.of("backward")}
    return (e for e in _forwards(setup, grad=True) if e["loader"] is not None and e["loader"] not in train)


@check("EV402", "trained in evaluation mode", grade="error", kind="C11", cost=(3, 30), source="public cases")
def no_train(setup: Setup) -> Found | None:
    """After an evaluation `train()` is not called again: norms keep their statistics, dropout is off.

    Gradients flow through a network that is in evaluation mode, in all passes before a step. Silent where only some
    are, as those of an attack on the images in adversarial training, and where it is so from the first step on
    loaded weights: batch norm is frozen on purpose then, for fine-tuning.
    """
    trained = _by_step(setup)
    wrong = [passes for passes in trained if not any(e["training"] for e in passes)]
    if not wrong or not setup.mode_matters or not _own_loop(setup):
        return None
    always = len(wrong) == len(trained)
    if always and setup.pretrained:
        return None
    return Found(
        "the network is trained in evaluation mode"
        + (" from the first step" if always else " after the first evaluation"),
        {"steps_in_evaluation_mode": len(wrong), "steps": len(trained), "batch_norm": setup.batch_normed},
        cost=10.0 if setup.batch_normed else 3.0,
        place=wrong[0][0].place,
        fix=training_mode(setup),
    )


def _by_step(setup: Setup) -> list[list[Event]]:
    """The passes with gradients over training loaders, by the step that they come before.

    Where no optimizer steps, by the backward pass. Passes that neither follows are left out.
    """
    train = {e["loader"] for e in setup.trace.of("backward")}
    own = {id(e) for e in _forwards(setup, grad=True) if e["loader"] in train}
    ends = "step" if setup.trace.count("step") else "backward"
    found: list[list[Event]] = []
    passes: list[Event] = []
    followed = False
    for event in setup.trace.of("forward", "backward", "step"):
        followed = followed or event.kind == "backward"
        if id(event) in own:
            passes.append(event)
        elif event.kind == ends:
            found, passes, followed = [*found, passes], [], False
    return [one for one in [*found, passes if followed else []] if one]


@check(
    "EV406", "no evaluation", grade="warning", kind="C22", cost=(0, 0), source="what is not measured cannot be mended"
)
def never(setup: Setup) -> Found | None:
    """The program trains and evaluates on nothing: how good the network is stays unknown.

    No pass over another loader than the training one was seen, in the whole program.
    """
    if setup.evals or not setup.trace.events or not setup.trace.count("backward") or setup.train is None:
        return None
    train = setup.trace.train_loader()
    others = [e for e in setup.trace.of("forward") if e["loader"] not in (None, id(train)) or not e["grad"]]
    if others or not setup.epochs_seen:
        return None
    return Found(
        "nothing is evaluated: the program never looks at images that it was not trained on",
        {"loaders": len(setup.trace.loaders), "passes_without_gradient": 0},
        cost=0.0,
        fix=Fix(
            "accuracy on the test set, at least once",
            code="model.eval()\nwith torch.no_grad():\n"
            "    correct = sum((model(x).argmax(1) == y).sum().item() for x, y in test_loader)",
        ),
    )
