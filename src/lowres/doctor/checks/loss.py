"""LO3: what the loss is given, and what it becomes."""

import math

from lowres.doctor.findings import Fix, Found, check
from lowres.doctor.setup import Setup
from lowres.doctor.trace import Event

FLOOR = "the floor of the loss is ln(1 + (C - 1) / e): 1.461 for ten classes; public cases: 2 to 6 points"


def _calls(setup: Setup, name: str) -> list[Event]:
    """Calls of a loss on a matrix of scores, in training."""
    return [event for event in setup.trace.of("loss", real=True) if event["name"] == name and len(event["shape"]) == 2]


@check("LO301", "softmax before cross-entropy", grade="error", kind="C15", cost=(2, 6), source=FLOOR)
def softmax(setup: Setup) -> Found | None:
    """Cross-entropy is given probabilities, and takes their softmax once more.

    Every row of what it is given lies between 0 and 1 and sums to 1. Log-softmax is LO304's, and harmless.
    """
    for event in _calls(setup, "cross_entropy"):
        if event["low"] is None:
            continue
        if not (event["low"] >= 0 and event["high"] <= 1 + 1e-4 and event["row_sum"] <= 2e-3):  # NaN is neither
            continue
        classes = event["shape"][1]
        floor = math.log(1 + (classes - 1) / math.e)
        return Found(
            f"cross-entropy is given probabilities: the loss cannot fall below {floor:.3f}",
            {"least": event["low"], "greatest": event["high"], "rows_off_one": event["row_sum"], "loss_floor": floor},
            cost=4.0,
            place=event.place,
            fix=Fix(
                "give it the scores; softmax belongs to prediction alone", code="return self.head(x)  # no softmax"
            ),
        )
    return None


@check("LO302", "sigmoid before cross-entropy", grade="error", kind="C15", cost=(2, 6), source=FLOOR)
def sigmoid(setup: Setup) -> Found | None:
    """Scores are squeezed into 0 to 1 before cross-entropy, which wants them free.

    Told by the node that made them (a sigmoid), or by values that lie in 0 to 1 while their rows do not sum to 1,
    in every call.
    """
    calls = _calls(setup, "cross_entropy")
    squeezed = [one for one in calls if "Sigmoid" in (one["made_by"] or "") or "Tanh" in (one["made_by"] or "")]
    if not squeezed or len(squeezed) < len(calls) / 2:
        return None
    event = squeezed[0]
    floor = math.log(1 + (event["shape"][1] - 1) / math.e)
    return Found(
        f"scores pass {event['made_by'].removesuffix('Backward0').lower()} before cross-entropy: its loss cannot fall "
        f"below {floor:.2f}",
        {"made_by": event["made_by"], "least": event["low"], "greatest": event["high"], "loss_floor": floor},
        cost=4.0,
        place=event.place,
        fix=Fix("give it the scores", code="return self.head(x)  # no sigmoid"),
    )


@check("LO303", "NLL of scores", grade="error", kind="C15", cost=(10, 85), source="the loss has no lower bound")
def nll(setup: Setup) -> Found | None:
    """`nll_loss` wants log-probabilities and is given scores: the loss falls for ever, and means nothing.

    Rows of log-probabilities have a log-sum-exp of 0.
    """
    for event in _calls(setup, "nll_loss"):
        if event["log_sum"] is None or event["log_sum"] < 1e-2:
            continue
        return Found(
            "nll_loss is given raw scores: it has no lower bound",
            {"log_sum_exp": event["log_sum"], "least": event["low"], "greatest": event["high"]},
            cost=80.0,
            place=event.place,
            fix=Fix("cross-entropy, which takes the log-softmax itself", code="nn.CrossEntropyLoss()"),
        )
    return None


@check(
    "LO304",
    "log-softmax before cross-entropy",
    grade="note",
    kind="C15",
    cost=(0, 0),
    source="log-softmax of log-softmax is itself: gradients are identical",
)
def log_softmax(setup: Setup) -> Found | None:
    """Harmless: a second log-softmax changes nothing. It can go, for clarity."""
    for event in _calls(setup, "cross_entropy"):
        if event["log_sum"] is not None and event["log_sum"] < 1e-3 and "LogSoftmax" in (event["made_by"] or ""):
            return Found(
                "cross-entropy takes the log-softmax itself; the one before it changes nothing",
                {"log_sum_exp": event["log_sum"]},
                cost=0.0,
                place=event.place,
            )
    return None


@check(
    "LO305", "a loss that is no number", grade="error", kind="C33", cost=(10, 90), source="nothing is learned from it"
)
def infinite(setup: Setup) -> Found | None:
    """The loss became infinite or NaN within the observed steps.

    Silent where the rate alone explains it, for LR101 speaks then, or training in evaluation mode, where batch norm
    does not hold the scale (EV402).
    """
    values = [event for event in setup.trace.of("backward", real=True) if event["value"] is not None]
    bad = next((i for i, event in enumerate(values) if not math.isfinite(event["value"])), None)
    if bad is None:
        return None
    if bad > 0:
        from lowres.doctor.checks.evaluation import no_train
        from lowres.doctor.checks.rate import too_high

        if too_high(setup) is not None or (setup.batch_normed and no_train(setup) is not None):
            return None
    return Found(
        f"the loss is {values[bad]['value']} at step {bad + 1}",
        {"step": bad + 1, "before": [event["value"] for event in values[:bad]]},
        cost=80.0,
        place=values[bad].place,
        fix=Fix("losses that are stable: from scores, not from probabilities", code="F.cross_entropy(scores, labels)"),
    )


@check(
    "LO306",
    "a loss meant for other labels",
    grade="warning",
    kind="C15",
    cost=(0, 5),
    source="estimate of the catalogue",
)
def regression(setup: Setup) -> Found | None:
    """Mean squared error on class scores learns, and slower than cross-entropy; binary cross-entropy likewise.

    A note: it is a choice, too.
    """
    calls = {name: _calls(setup, name) for name in ("mse_loss", "binary_cross_entropy", "cross_entropy", "nll_loss")}
    if calls["cross_entropy"] or calls["nll_loss"] or not (calls["mse_loss"] or calls["binary_cross_entropy"]):
        return None
    event = (calls["mse_loss"] or calls["binary_cross_entropy"])[0]
    classes = setup.classes or 0
    if classes < 3 or event["shape"][1] != classes:
        return None
    return Found(
        f"{event['name']} on the scores of {classes} classes",
        {"loss": event["name"]},
        cost=2.0,
        grade="note",
        place=event.place,
        fix=Fix("cross-entropy", code="nn.CrossEntropyLoss()"),
    )
