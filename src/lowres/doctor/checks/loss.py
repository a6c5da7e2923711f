"""LO3: what the loss is given, and what it becomes."""

import ast
import math

from lowres.doctor.calls import called
from lowres.doctor.findings import Fix, Found, check
from lowres.doctor.remedies.forward import with_logarithm, without
from lowres.doctor.remedies.layers import sources
from lowres.doctor.remedies.scopes import home, known, spell, statement
from lowres.doctor.setup import Setup
from lowres.doctor.source import Source
from lowres.doctor.trace import Event

FLOOR = "the floor of the loss is ln(1 + (C - 1) / e): 1.461 for ten classes; public cases: 2 to 6 points"


def _calls(setup: Setup, name: str) -> list[Event]:
    """Calls of a loss on a matrix of scores, in training."""
    return [event for event in setup.trace.of("loss", real=True) if event["name"] == name and len(event["shape"]) == 2]


def _probabilities(event: Event) -> bool:
    """Whether every row of what a loss is given lies between 0 and 1 and sums to 1."""
    if event["low"] is None or event["row_sum"] is None:
        return False
    return bool(event["low"] >= 0 and event["high"] <= 1 + 1e-4 and event["row_sum"] <= 2e-3)  # NaN is neither


@check("LO301", "softmax before cross-entropy", grade="error", kind="C15", cost=(2, 6), source=FLOOR)
def softmax(setup: Setup) -> Found | None:
    """Cross-entropy is given probabilities, and takes their softmax once more.

    Every row of what it is given lies between 0 and 1 and sums to 1. Log-softmax is LO304's, and harmless.
    """
    for event in _calls(setup, "cross_entropy"):
        if not _probabilities(event):
            continue
        classes = event["shape"][1]
        floor = math.log(1 + (classes - 1) / math.e)
        return Found(
            f"cross-entropy is given probabilities: the loss cannot fall below {floor:.3f}",
            {"least": event["low"], "greatest": event["high"], "rows_off_one": event["row_sum"], "loss_floor": floor},
            cost=4.0,
            place=event.place,
            fix=_scores(setup, event, "softmax"),
        )
    return None


@check("LO302", "sigmoid before cross-entropy", grade="error", kind="C15", cost=(2, 6), source=FLOOR)
def sigmoid(setup: Setup) -> Found | None:
    """Scores are squeezed into 0 to 1, or by tanh into -1 to 1, before cross-entropy, which wants them free.

    Told by the node that made them, in half of the calls at least. The loss cannot fall below ln(1 + (C - 1) / e)
    behind a sigmoid, nor below ln(1 + (C - 1) / e^2) behind tanh: 0.80 for ten classes.
    """
    calls = _calls(setup, "cross_entropy")
    squeezed = [one for one in calls if "Sigmoid" in (one["made_by"] or "") or "Tanh" in (one["made_by"] or "")]
    if not squeezed or len(squeezed) < len(calls) / 2:
        return None
    event = squeezed[0]
    span = 2 if "Tanh" in event["made_by"] else 1  # from the least score that can be to the greatest
    floor = math.log(1 + (event["shape"][1] - 1) / math.exp(span))
    return Found(
        f"scores pass {event['made_by'].removesuffix('Backward0').lower()} before cross-entropy: its loss cannot fall "
        f"below {floor:.2f}",
        {"made_by": event["made_by"], "least": event["low"], "greatest": event["high"], "loss_floor": floor},
        cost=4.0,
        place=event.place,
        fix=_scores(setup, event, event["made_by"].removesuffix("Backward0").lower()),
    )


@check("LO303", "NLL of scores", grade="error", kind="C15", cost=(10, 85), source="the loss has no lower bound")
def nll(setup: Setup) -> Found | None:
    """`nll_loss` wants log-probabilities and is given scores: the loss falls for ever, and means nothing.

    Rows of log-probabilities have a log-sum-exp of 0. Probabilities, whose rows lie between 0 and 1 and sum to 1, give
    a loss of -1 at least, which learns, and slowly: its gradient fades where the network is wrong.
    """
    for event in _calls(setup, "nll_loss"):
        if event["log_sum"] is None or event["log_sum"] < 1e-2:
            continue
        if _probabilities(event):
            title = "the logarithm of the softmax, which nll_loss wants"
            return Found(
                "nll_loss is given probabilities, not their logarithms: it is minus the probability of the right class",
                {"least": event["low"], "greatest": event["high"], "rows_off_one": event["row_sum"]},
                cost=10.0,
                place=event.place,
                fix=with_logarithm(setup, event, title) or Fix(title, code="F.log_softmax(x, dim=1)"),
            )
        return Found(
            "nll_loss is given raw scores: it has no lower bound",
            {"log_sum_exp": event["log_sum"], "least": event["low"], "greatest": event["high"]},
            cost=80.0,
            place=event.place,
            fix=_cross_entropy(setup, event),
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
        fix=_from_scores(setup, values[bad]),
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


def _scores(setup: Setup, event: Event, function: str) -> Fix:
    """The scores themselves in the place of what a function makes of them."""
    title = f"give it the scores; {function} belongs to prediction alone"
    found = without(setup, event, function)
    return (
        found[0].fix(title, found[1]) if found is not None else Fix(title, code=f"return self.head(x)  # no {function}")
    )


def _cross_entropy(setup: Setup, event: Event) -> Fix:
    """Cross-entropy where the negative log-likelihood was."""
    title = "cross-entropy, which takes the log-softmax itself"
    source = setup.text(event.place)
    call = source.call_at(event.place.line, "nll_loss") if source is not None and event.place is not None else None
    if source is not None and call is not None and isinstance(call.func, ast.Attribute):
        return source.fix(title, source.replaced(call.func, f"{source.segment(call.func.value)}.cross_entropy"))
    made = [(one, found) for one in sources(setup) for found in one.calls("NLLLoss")]
    if len(made) == 1 and spell(made[0][0], "torch.nn.CrossEntropyLoss") is not None:
        own, found = made[0]
        return own.fix(title, own.replaced(found.func, spell(own, "torch.nn.CrossEntropyLoss") or ""))
    return Fix(title, code="nn.CrossEntropyLoss()")


def _from_scores(setup: Setup, event: Event) -> Fix:
    """A loss by hand, minus the mean of one-hot labels times a logarithm of a softmax, as cross-entropy."""
    title = "losses that are stable: from scores, not from probabilities"
    manual = Fix(title, code="F.cross_entropy(scores, labels)")
    source = setup.text(event.place)
    if source is None or event.place is None:
        return manual
    around = source.statement_at(event.place.line)
    scope = home(around) if around is not None else None
    assigned = [one for one in source.nodes(ast.Assign) if home(one) is scope and one.lineno <= event.place.line + 1]
    assigned = [one for one in assigned if one.lineno >= event.place.line - 12]
    logs = [one for one in assigned if any(called(n) == "log" for n in _calls_in(one)) and _one_hot(one) is not None]
    softmaxes = [n for one in assigned for n in _calls_in(one) if called(n) == "softmax" and n.args]
    if len(logs) != 1 or len(softmaxes) != 1:
        return manual
    scores = softmaxes[0].args[0]
    if isinstance(scores, ast.BinOp) and isinstance(scores.op, ast.Mult | ast.Div):
        scores = scores.left
    labels, loss = _one_hot(logs[0]), logs[0]
    if labels is None or not isinstance(scores, ast.Name | ast.Attribute | ast.Call):
        return manual
    called_at = _criterion(source, loss) or spell(source, "torch.nn.functional.cross_entropy")
    if called_at is None:
        return manual
    text = f"{called_at}({source.segment(scores)}, {source.segment(labels)})"
    edits = [source.replaced(loss.value, text)]
    made = softmaxes[0]
    kept = statement(made)
    if kept is not loss and isinstance(kept, ast.Assign) and isinstance(kept.targets[0], ast.Name):
        uses = [n for n in source.nodes(ast.Name) if n.id == kept.targets[0].id and home(n) is scope]
        if len(uses) == 2:  # where it is made, and in the loss
            edits.append(source.removed(kept))
    return source.fix("cross-entropy, which is stable", *edits)


def _calls_in(node: ast.AST) -> list[ast.Call]:
    return [one for one in ast.walk(node) if isinstance(one, ast.Call)]


def _one_hot(node: ast.AST) -> ast.expr | None:
    """The labels that a statement makes one-hot vectors of."""
    found = [one.args[0] for one in _calls_in(node) if called(one) == "one_hot" and one.args]
    return found[0] if len(found) == 1 else None


def _criterion(source: Source, site: ast.stmt) -> str | None:
    """A cross-entropy that is made and that the site knows."""
    for call in source.calls("CrossEntropyLoss"):
        around = statement(call)
        if isinstance(around, ast.Assign) and around.value is call and known(source, around.targets[0], site):
            return ast.unparse(around.targets[0])
    return None
