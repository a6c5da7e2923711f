"""TR5: the optimizer's options, and hyper-parameters that reach nothing."""

import ast
import copy
import re
from collections import Counter

from lowres.doctor.calls import called, last_name
from lowres.doctor.findings import Fix, Found, Place, check
from lowres.doctor.proposals import number, of_sgd
from lowres.doctor.remedies.optimizers import decoupled, in_sgd_s_place
from lowres.doctor.remedies.places import Made, optimizer_made
from lowres.doctor.remedies.scopes import home, known, spell
from lowres.doctor.setup import Setup
from lowres.doctor.source import Source, parent

DEAD = {
    "weight_decay": re.compile(r"^(weight_?decay|wd|l2(_reg)?)$", re.IGNORECASE),
    "momentum": re.compile(r"^(momentum|mom)$", re.IGNORECASE),
    "label_smoothing": re.compile(r"^(label_?smoothing|smoothing)$", re.IGNORECASE),
    "lr": re.compile(r"^(lr|learning_?rate|base_?lr|init_?lr)$", re.IGNORECASE),
    "batch_size": re.compile(r"^(batch_?size|bs|train_?batch_?size)$", re.IGNORECASE),
    "epochs": re.compile(r"^(epochs|num_?epochs|n_?epochs|max_?epochs)$", re.IGNORECASE),
}
OPTIONS = re.compile(r"(args?|opts?|options?|cfg|conf(ig)?s?|params|hps?|hparams?|hyper_?param(eter)?s?|flags)$", re.I)
"""How programs call what holds their options."""
DECLARING = ("float", "int", "field", "Field")


def declared_unused(setup: Setup, option: str) -> tuple[Source, int, str, object] | None:
    """A hyper-parameter that is declared and read nowhere: its file, line, name, and value if that is written there."""
    sources = [one for one in (setup.source, *setup.files.values()) if one is not None]
    text = [(one, name, line, value) for one in sources for name, line, value in _declared(one, DEAD[option])]
    for source, name, line, value in text:
        if not any(_reads(one, name) for one in sources):
            return source, line, name, value
    return None


def _declared(source: Source, pattern: re.Pattern[str]) -> list[tuple[str, int, object]]:
    found: list[tuple[str, int, object]] = []
    for node in source.nodes(ast.Assign, ast.AnnAssign, ast.Call):
        if isinstance(node, ast.Call):
            if called(node) != "add_argument":
                continue
            default = next((k.value for k in node.keywords if k.arg == "default"), None)
            if pattern.match(_destination(node)):
                found.append((_destination(node), node.lineno, _literal(default)))
            continue
        assert isinstance(node, ast.Assign | ast.AnnAssign)
        if node.value is not None and not _fixed(source, node.value):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        named_targets = [last_name(one) for one in targets if isinstance(one, ast.Name | ast.Attribute)]
        found += [(name, node.lineno, _literal(node.value)) for name in named_targets if pattern.match(name)]
    return found


def _fixed(source: Source, node: ast.expr, depth: int = 0) -> bool:
    """Whether a value is a declaration: figures, arithmetic of figures, an option, or a name that was set to such.

    What a schedule or a batch is asked for (`scheduler.get_last_lr()[0]`, `x.size(0)`) is a reading, not a declaration.
    """
    if isinstance(node, ast.Name):
        given = [one.value for one in source.nodes(ast.Assign) if any(last_name(t) == node.id for t in one.targets)]
        return depth < 3 and bool(given) and all(_fixed(source, one, depth + 1) for one in given)
    if isinstance(node, ast.Attribute | ast.Subscript):
        root: ast.expr = node
        while isinstance(root, ast.Attribute | ast.Subscript) and not OPTIONS.match(last_name(root)):
            root = root.value
        return OPTIONS.match(last_name(root)) is not None
    if isinstance(node, ast.Call):
        parts = [*node.args, *(one.value for one in node.keywords)]
        return called(node) in DECLARING and all(_fixed(source, one, depth) for one in parts)
    if isinstance(node, ast.UnaryOp | ast.BinOp):
        parts = [node.operand] if isinstance(node, ast.UnaryOp) else [node.left, node.right]
        return all(_fixed(source, one, depth) for one in parts)
    return isinstance(node, ast.Constant)


def _destination(call: ast.Call) -> str:
    """The name under which an `add_argument` is read: its `dest`, else its first long option, else its first."""
    given = next((one.value for one in call.keywords if one.arg == "dest"), None)
    if given is not None:
        return str(_literal(given) or "")
    names = [one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    chosen = next((name for name in names if name.startswith("--")), names[0] if names else "")
    return chosen.lstrip("-").replace("-", "_")


def _literal(node: ast.AST | None) -> object:
    return node.value if isinstance(node, ast.Constant) else None


def _reads(source: Source, name: str) -> bool:
    """Whether a name is read anywhere, but to be printed or logged."""
    for node in source.nodes(ast.Name, ast.Attribute):
        if last_name(node) == name and isinstance(getattr(node, "ctx", None), ast.Load) and not _printed(node):
            return True
    texts = [n for n in source.nodes(ast.Constant) if n.value == name and not _is_destination(n)]
    return bool(texts) or any("**vars(" in line or "**args" in line for line in source.lines)


def _is_destination(node: ast.Constant) -> bool:
    around = parent(node)
    return isinstance(around, ast.keyword) and around.arg == "dest"


def _printed(node: ast.AST) -> bool:
    above = parent(node)
    while above is not None and not isinstance(above, ast.stmt):
        if isinstance(above, ast.Call) and called(above) in ("print", "info", "debug", "format", "write"):
            return True
        above = parent(above)
    return False


def _pass_it(setup: Setup, option: str, value: str, unused: tuple[Source, int, str, object] | None) -> Fix:
    """The option passed: by the name that is declared for it, where that is known, else as a figure."""
    built = optimizer_made(setup)
    if built is None:
        return Fix(f"pass {option}={value}", code=f"{setup.algorithm}(..., {option}={value})")
    if unused is not None:
        value = _named(built, unused) or (f"{unused[3]}" if isinstance(unused[3], int | float) else value)
    edits = [built.source.with_keyword(built.call, option, value)]
    if option == "weight_decay" and setup.algorithm == "Adam" and spell(built.source, "torch.optim.AdamW"):
        edits.append(built.source.replaced(built.call.func, spell(built.source, "torch.optim.AdamW") or ""))
    return built.source.fix(f"pass {option}={value}", *edits)


def _named(built: Made, unused: tuple[Source, int, str, object]) -> str | None:
    """A declared hyper-parameter as it is called where the optimizer is made."""
    source, _, name, _ = unused
    if source is not built.source:
        return None
    if not _is_argument(source, name):
        return name if known(source, name, built.call) else None
    # Whatever other arguments of the command line are read from there: args, self.args, config. An object of the
    # user's may have an attribute of such a name, too (self.data): what most of them are read from goes first.
    arguments = {_destination(call) for call in source.calls("add_argument")}
    read = [one for one in source.nodes(ast.Attribute) if one.attr in arguments and ast.unparse(one.value) != "self"]
    found = {(ast.unparse(one.value), one.attr) for one in read}
    count = Counter(place for place, _ in found)
    read.sort(key=lambda one: (-count[ast.unparse(one.value)], home(one) is not home(built.call)))
    return next((f"{ast.unparse(one.value)}.{name}" for one in read if known(source, one.value, built.call)), None)


@check(
    "TR501",
    "no weight decay",
    grade="warning",
    kind="C06",
    cost=(1, 2),
    source="public cases: 1 to 2 points, more over 200 epochs",
)
def no_decay(setup: Setup) -> Found | None:
    """No group of the optimizer decays its weights, or a weight decay is declared and never passed.

    For SGD from scratch, and Adam where the declaration shows that it was meant. Fine-tuning is left alone unless
    declared. A decay that is part of the loss by hand (a sum over parameters) counts.
    """
    if not setup.groups or any(float(group.get("weight_decay") or 0) > 0 for group in setup.groups):
        return None
    unused = declared_unused(setup, "weight_decay")
    sgd = setup.algorithm == "SGD" and not setup.pretrained
    if (not sgd and unused is None) or _by_hand(setup):
        return None
    declared = f"{unused[3]}" if unused is not None and unused[3] is not None else ""
    return Found(
        f"{unused[2]}{f' = {declared}' if declared else ''} is declared and reaches no optimizer"
        if unused is not None
        else "no weight decay",
        {
            "weight_decay": 0.0,
            "declared": unused is not None,
            "declared_value": unused[3] if unused else None,
            "proposed": {"weight_decay": _figure(unused) or 5e-4}
            | ({"optimizer": "AdamW"} if setup.algorithm == "Adam" else {}),
        },
        cost=1.5,
        place=Place(unused[0].path, unused[1]) if unused is not None else setup.optimizer_place,
        fix=_pass_it(setup, "weight_decay", "5e-4", unused),
    )


def _figure(unused: tuple[Source, int, str, object] | None) -> float | None:
    """The value of a declared hyper-parameter, if that is a number."""
    return number(unused[3]) if unused is not None else None


def _is_argument(source: Source, name: str) -> bool:
    return any(_destination(call) == name for call in source.calls("add_argument"))


SQUARE = re.compile(r"\*\*\s*2\b")


def _by_hand(setup: Setup) -> bool:
    """Whether the source sums squares of parameters into its loss."""
    for source in (setup.source, *setup.files.values()):
        if source is not None and any("parameters()" in line and SQUARE.search(line) for line in source.lines):
            return True
        for call in source.calls("norm", "pow", "square") if source is not None else ():
            if source is not None and any(
                "parameters()" in source.lines[i - 1] for i in range(max(1, call.lineno - 2), call.lineno + 1)
            ):
                return "clip" not in source.lines[call.lineno - 1]
    return False


@check(
    "TR502",
    "no momentum",
    grade="warning",
    kind="C07",
    cost=(1, 10),
    source="public cases: 1 to 3 points, 3 to 10 in short trainings",
)
def no_momentum(setup: Setup) -> Found | None:
    """SGD without momentum: its steps are a tenth of those with 0.9 at the same rate.

    Costs most where the training is short, or the rate is low as well. SGD at rates above 0.5 may do without.
    """
    if setup.algorithm != "SGD" or setup.momentum > 0 or setup.rates is None or setup.rates.peak > 0.5:
        return None
    unused = declared_unused(setup, "momentum")
    low = setup.rates.peak <= 0.02
    short = (setup.epochs or 100) <= 30
    fix, rate = _with_momentum(setup, unused)
    return Found(
        (f"{unused[2]} is declared and reaches no optimizer: " if unused is not None else "")
        + f"SGD without momentum at a rate of {setup.rates.peak:g}",
        {
            "momentum": 0.0,
            "rate": setup.rates.peak,
            "epochs": setup.epochs,
            "declared": unused is not None,
            "proposed": {"momentum": _figure(unused) or 0.9} | ({"lr": rate} if rate is not None else {}),
        },
        cost=9.0 if low and short else 6.0 if low else 4.0,
        place=setup.optimizer_place,
        fix=fix,
    )


def _with_momentum(setup: Setup, unused: tuple[Source, int, str, object] | None) -> tuple[Fix, float | None]:
    """Momentum passed; a rate that is too low even with it is set as well, and returned."""
    from lowres.doctor.checks.rate import customary, sensible, set_rate

    fix = _pass_it(setup, "momentum", "0.9", unused)
    built, rates = optimizer_made(setup), setup.rates
    pace = copy.copy(setup)
    vars(pace)["groups"] = [group | {"momentum": 0.9} for group in setup.groups]
    prior, best = sensible(pace), customary(pace)
    if built is None or rates is None or prior is None or best is None or rates.peak > 0.25 * prior[0]:
        return fix, None
    rate = set_rate(setup, best)
    if not fix.edits or not rate.edits:
        return fix, None
    return built.source.fix(f"{fix.title}, and {rate.title}", *fix.edits, *rate.edits), best


@check(
    "TR503",
    "decay through Adam's gradients",
    grade="warning",
    kind="C07",
    cost=(1, 3),
    source="public cases; Loshchilov & Hutter 2019",
)
def adam_l2(setup: Setup) -> Found | None:
    """`Adam(weight_decay=...)` divides the decay by the gradient's size, so that it hardly acts.

    AdamW keeps it apart.
    """
    group = setup.groups[0] if setup.groups else {}
    decay = max((float(one.get("weight_decay") or 0) for one in setup.groups), default=0.0)
    if setup.algorithm != "Adam" or decay < 1e-5 or group.get("decoupled_weight_decay"):
        return None
    sgd = in_sgd_s_place(setup, always=True)
    own = {"optimizer": "AdamW", "weight_decay": decay if decay >= 0.01 else 0.05}
    return Found(
        f"Adam's weight decay of {decay:g} goes through its gradients",
        {"weight_decay": decay, "proposed": of_sgd(setup, sgd) if sgd is not None else own},
        cost=1.5,
        place=setup.optimizer_place,
        fix=sgd or decoupled(setup, decay),
    )


@check(
    "TR504", "Adam for a residual network", grade="note", kind="C07", cost=(0, 2), source="public cases: 92 for 93 %"
)
def adam(setup: Setup) -> Found | None:
    """Residual networks from scratch reach a point more with SGD, momentum and decay than with Adam's defaults."""
    kind = setup.kind
    if setup.algorithm not in ("Adam", "RMSprop") or kind is None or "residual" not in kind.name or setup.pretrained:
        return None
    return Found(
        f"{setup.algorithm} for {kind.name}",
        {"optimizer": setup.algorithm},
        cost=1.0,
        place=setup.optimizer_place,
        fix=in_sgd_s_place(setup, always=True)
        or Fix(
            "SGD with momentum", code="torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)"
        ),
    )


@check(
    "TR505", "a hyper-parameter that reaches nothing", grade="warning", kind="C06", cost=(0, 5), source="public cases"
)
def dead(setup: Setup) -> Found | None:
    """A rate, batch size, number of epochs or label smoothing is declared and never read.

    Weight decay and momentum have checks of their own. A name that is only printed counts as never read. What is
    declared is set to a figure or to an option; what is read of a schedule or a batch is not.
    """
    for option in ("lr", "batch_size", "epochs", "label_smoothing"):
        unused = declared_unused(setup, option)
        if unused is None:
            continue
        source, line, name, value = unused
        fix = _use(setup, option, unused)
        return Found(
            f"{name}{f' = {value}' if value is not None else ''} is declared and never read",
            {"name": name, "value": value}
            | ({"proposed": {option: _figure(unused)}} if fix.edits and _figure(unused) is not None else {}),
            cost=0.5,
            place=Place(source.path, line),
            fix=fix,
        )
    return None


def _use(setup: Setup, option: str, unused: tuple[Source, int, str, object]) -> Fix:
    """Label smoothing is handed to the loss; what else is to be done with a name, only its author knows."""
    source, _, name, _ = unused
    losses = source.calls("CrossEntropyLoss")
    if option == "label_smoothing" and len(losses) == 1 and not losses[0].args:
        text = _named(Made(source, losses[0], None), unused)
        if text is not None and not any(one.arg == "label_smoothing" for one in losses[0].keywords):
            return source.fix(f"pass {name}", source.with_keyword(losses[0], "label_smoothing", text))
    return Fix(f"use {name}, or remove it", code=name)
