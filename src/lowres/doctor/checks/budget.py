"""TR5: how long is trained, and when it is stopped."""

import ast

from lowres.doctor.calls import called
from lowres.doctor.findings import Fix, Found, Place, check
from lowres.doctor.patching.edits import Edit
from lowres.doctor.remedies.places import Made, declaration, epoch_loop, epochs_text, given
from lowres.doctor.remedies.schedules import schedule_made
from lowres.doctor.setup import Setup
from lowres.doctor.source import Source
from lowres.doctor.times import TIMES, times_of


@check(
    "TR531",
    "too few epochs",
    grade="warning",
    kind="C22",
    cost=(1, 50),
    source="public cases; what networks of this kind need",
)
def too_few(setup: Setup) -> Found | None:
    """Fewer passes over the data than a network of this kind needs, in view of its schedule.

    A steep schedule that ends near zero (one-cycle, cosine) needs few. At a rate that stays up it needs a third more,
    and two and a half times as many where SGD goes without momentum at a low rate. Pretrained weights need a handful.
    """
    kind, epochs = setup.kind, setup.epochs
    if kind is None or not epochs or setup.train is None or (setup.train.size or 0) < 10_000:
        return None
    rates = setup.rates
    anneals = rates is not None and rates.last <= 0.1 * rates.peak
    slow = setup.algorithm == "SGD" and setup.momentum == 0 and rates is not None and rates.peak <= 0.05
    augmented = bool(setup.train.varies)
    least = kind.least if anneals else round(kind.least * (2.5 if slow else 1.0 if setup.pretrained else 1.3))
    if epochs >= least:
        return None
    missing = least / epochs
    cost = min(45.0, 4.0 * (missing - 1) + 2.0) if epochs > 2 else 30.0
    return Found(
        f"{epochs} epochs are few for {kind.name.removeprefix('a ')}"
        + ("" if anneals else ", at a rate that does not come down")
        + f": it needs {least} at least, {kind.epochs} for its full accuracy",
        {"epochs": epochs, "least": least, "full_recipe": kind.epochs, "anneals": anneals, "augmented": augmented},
        cost=cost,
        place=_loop_place(setup),
        fix=_longer(setup, kind.epochs),
    )


def _longer(setup: Setup, full: int) -> Fix:
    """As many epochs as a full recipe takes, set where the loop reads them; a horizon in figures grows along."""
    title, found = f"train {full} epochs, as a full recipe does", epoch_loop(setup)
    manual = Fix(title, code=f"epochs = {full}")
    loop = found[1] if found is not None else None
    call = (
        next((n for n in ast.walk(loop.iter) if isinstance(n, ast.Call) and called(n) in ("range", "trange")), None)
        if (isinstance(loop, ast.For))
        else None
    )
    if found is None or call is None or len(call.args) not in (1, 2):
        return manual
    source, last = found[0], call.args[-1]
    if isinstance(last, ast.BinOp) and ast.unparse(last.right) == "1" and isinstance(last.op, ast.Add):
        last = last.left
    edit = given(source, last, setup.epochs, str(full))
    behind = declaration(source, last)
    if edit is None or (behind is not None and behind.value != setup.epochs):  # the command line says otherwise
        return manual
    if declaration(source, last) is None and not isinstance(last, ast.Constant):
        return manual
    built = schedule_made(setup)
    if built is None and isinstance(last, ast.Constant):  # a schedule that another fix adds ends after that figure
        return manual
    edits = _grown(setup, built, source, full) if built is not None and setup.epochs else []
    return manual if edits is None else source.fix(title, *dict.fromkeys([edit, *edits]))


def _grown(setup: Setup, built: Made, source: Source, full: int) -> list[Edit] | None:
    """The times of a schedule that stand there as figures, grown with the training.

    None where they cannot be: they lie behind its end already (which another finding says, and mends for the present
    length), in another file, or behind the length that the loop reads.
    """
    whole, kind = setup.epochs or 1, called(built.call)
    if kind not in TIMES or kind == "ReduceLROnPlateau":  # patience is not a share of the training
        return []
    if kind == "SequentialLR":  # its warm-up stays what it is; what follows that has to reach the end by a name
        inner = [time for call in built.source.calls(*TIMES) for time in _counts(built.source, call)]
        return None if any(0.3 * whole < value != whole for _, value in inner) else []
    times = _counts(built.source, built.call)
    if not times:
        return []
    if built.source is not source or any(value > whole for _, value in times):
        return None
    return [source.replaced(one, str(max(1, round(value * full / whole)))) for one, value in times]


def _counts(source: Source, call: ast.Call) -> list[tuple[ast.Constant, int]]:
    """The times of a schedule that stand there as figures, and their values."""
    return [(one, one.value) for one in times_of(source, call) if type(one.value) is int and one.value > 0]


def _patient(setup: Setup, place: Place | None, patience: int) -> Fix:
    """Patience as long as the training."""
    title = "train to the end of the schedule"
    manual = Fix(title, code=f"patience = {setup.epochs}")
    source = setup.text(place)
    test = next((one.test for one in source.enclosing(place.line, ast.If)), None) if source and place else None
    if source is None or test is None:
        return manual
    sides = [side for one in ast.walk(test) if isinstance(one, ast.Compare) for side in (one.left, *one.comparators)]
    for side in sides:
        behind = side if isinstance(side, ast.Constant) else declaration(source, side)
        if behind is not None and isinstance(behind.value, int) and 0 < abs(behind.value - patience) + 1 <= 2:
            horizon = epochs_text(setup, source, test) if behind is side else str(setup.epochs)
            return source.fix(title, source.replaced(behind, horizon or str(setup.epochs)))
    return manual


def _loop_place(setup: Setup) -> Place | None:
    train = setup.trace.train_loader()
    for event in setup.trace.of("iterate"):
        if train is not None and event["loader"] == id(train) and event["rounds"] and event.place is not None:
            path = setup.source.path if setup.source is not None else event.place.path
            return Place(path, event["rounds"][1]) if event.place.path == path else event.place
    return None


@check(
    "TR532",
    "impatient stopping",
    grade="warning",
    kind="C22",
    cost=(1, 20),
    source="estimate of the catalogue; public cases",
)
def impatient(setup: Setup) -> Found | None:
    """Training ends after a few epochs without a record, long before the schedule has come down.

    While epochs are passed over, the network answers rightly in the third and wrongly from then on, so that no other
    epoch is a record: where the program then ends within a tenth of its epochs (and at most 15), its patience is
    that short.
    """
    epochs, seen = setup.epochs, setup.epochs_seen
    if not epochs or epochs < 20 or seen >= epochs or setup.trace.ended or seen < 4:
        return None
    patience = seen - 3
    if patience > min(15, max(2, epochs // 10)) or not _breaks(setup):
        return None
    return Found(
        f"training stops after {patience} epochs without a record, of {epochs}",
        {"patience": patience, "epochs": epochs},
        cost=5.0,
        place=_breaks(setup),
        fix=_patient(setup, _breaks(setup), patience),
    )


def _breaks(setup: Setup) -> Place | None:
    """A `break` or `return` under a condition that counts."""
    for source in (setup.source, *setup.files.values()):
        for node in source.nodes(ast.If) if source is not None else ():
            assert isinstance(node, ast.If)
            assert source is not None
            leaves = any(isinstance(one, ast.Break | ast.Return) for one in node.body)
            test = ast.unparse(node.test).lower()
            if leaves and any(
                word in test
                for word in ("patien", "bad", "wait", "stop", "counter", "no_improve", "stale", "since", "epochs")
            ):
                return Place(source.path, node.lineno)
    return None


@check(
    "TR533", "weights of the old release", grade="note", kind="C36", cost=(0, 1), source="torchvision has deprecated it"
)
def pretrained_flag(setup: Setup) -> Found | None:
    """`pretrained=True` gives the first release of the weights; newer ones are several points better on ImageNet.

    Only of functions that the file imports from torchvision: others of the same name take other arguments.
    """
    for source in (setup.source, *setup.files.values()):
        for call in source.calls(*_zoo()) if source is not None else ():
            assert source is not None
            flag = next((k for k in call.keywords if k.arg == "pretrained"), None)
            if flag is not None and isinstance(flag.value, ast.Constant) and flag.value.value is True:
                if not _of_torchvision(source, call):
                    continue
                return Found(
                    "pretrained=True is deprecated, and means the oldest weights",
                    {},
                    cost=0.5,
                    place=Place(source.path, call.lineno),
                    fix=source.fix(
                        'weights="DEFAULT"',
                        source.keyword_removed(call, "pretrained"),
                        source.with_keyword(call, "weights", '"DEFAULT"'),
                    ),
                )
    return None


def _zoo() -> list[str]:
    import torchvision

    return list(torchvision.models.list_models())


def _of_torchvision(source: Source, call: ast.Call) -> bool:
    """Whether what is called begins with a name that the file imports from torchvision, and does not define."""
    root = ast.unparse(call.func).partition(".")[0]
    if root in {one.name for one in source.nodes(ast.FunctionDef)} | {one.name for one in source.nodes(ast.ClassDef)}:
        return False
    homes: list[str] = []
    stars: list[str] = []
    for node in source.nodes(ast.Import, ast.ImportFrom):
        assert isinstance(node, ast.Import | ast.ImportFrom)
        for one in node.names:
            home = "." if isinstance(node, ast.ImportFrom) and node.level else getattr(node, "module", None) or one.name
            homes += [home] if (one.asname or one.name.partition(".")[0]) == root else []
            stars += [home] if one.name == "*" else []
    return all(home.partition(".")[0] == "torchvision" for home in homes) if homes else "torchvision.models" in stars
