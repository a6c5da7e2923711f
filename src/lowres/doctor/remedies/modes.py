"""Fixes of how a network is evaluated: modes, counts, and on which images the best epoch is chosen."""

import ast

from lowres.doctor.findings import Fix, Place
from lowres.doctor.patching.edits import Edit
from lowres.doctor.pipeline import Pipeline
from lowres.doctor.remedies.origins import dataset_argument, loader_call, targets
from lowres.doctor.remedies.places import batch_loop, epoch_loop
from lowres.doctor.remedies.scopes import Function, home, known
from lowres.doctor.setup import Setup
from lowres.doctor.source import LOOPS, Source, called, last_name, parent

MODELS = ("model", "net", "network", "module", "classifier", "cnn", "resnet", "student")
METHODS = ("parameters", "train", "eval", "state_dict", "load_state_dict", "named_parameters")
"""What only networks are asked for."""


def evaluation_mode(setup: Setup, place: Place | None) -> Fix:
    """`eval()` before the evaluation's loop, and `train()` before training's, where it lacks."""
    title = "eval() before, train() after"
    manual = Fix(title, code="model.eval()  # before the loop; model.train() at the start of the next epoch")
    found = _forward(setup, place)
    if found is None:
        return manual
    source, call = found
    train = _training_place(setup)
    if train == place:
        return _by_flag(source, call, title) or manual
    name = source.segment(call.func)
    anchor = _before_evaluation(source, call, train)
    if anchor is None:
        return manual
    edits = [source.before(anchor.lineno, f"{name}.eval()")]
    trained = _forward(setup, train)
    if trained is None:
        return manual
    where, passes = trained
    loop, network = _innermost(where, passes), where.segment(passes.func)
    if loop is None:  # one batch in a function by itself
        around = batch_loop(setup)
        loop = around[1] if around is not None and around[0] is where else None
    if loop is None:
        return manual
    if not trains_anew(where, network, loop):
        if where is not source or not known(source, network, loop):
            return manual
        edits.append(source.before(loop.lineno, f"{network}.train()"))
    return source.fix(title, *edits)


def trains_anew(source: Source, network: str, loop: ast.stmt) -> bool:
    """Whether `train()` is called for each pass over the training batches.

    It is where a call stands within the loop around that over the batches; where there is none in their function,
    before the latter.
    """
    around = [one for one in source.enclosing(loop.lineno, *LOOPS) if one is not loop and home(one) is home(loop)]
    for call in source.calls("train"):
        plain = isinstance(call.func, ast.Attribute) and not call.args and not call.keywords
        if not plain or source.segment(call.func.value) != network or home(call) is not home(loop):  # type: ignore[attr-defined]
            continue
        if not around and call.lineno < loop.lineno:
            return True
        if around and around[0].lineno <= call.lineno <= (around[0].end_lineno or 0):
            return True
    return False


def training_mode(setup: Setup) -> Fix:
    """`train()` before the loop over the training batches."""
    title = "train() at the start of each epoch"
    manual = Fix(title, code="model.train()")
    place = _training_place(setup)
    found = _forward(setup, place)
    if found is None:
        return manual
    source, call = found
    if any(not e["grad"] and e.place == place for e in setup.trace.of("forward")):
        return _by_flag(source, call, title) or manual
    loop = _innermost(source, call)
    return source.fix(title, source.before(loop.lineno, f"{source.segment(call.func)}.train()")) if loop else manual


def _training_place(setup: Setup) -> Place | None:
    return next((e.place for e in setup.trace.of("forward") if e["grad"] and e.place is not None), None)


def _forward(setup: Setup, place: Place | None) -> tuple[Source, ast.Call] | None:
    """The call of the network at a place."""
    source = setup.text(place)
    if source is None or place is None:
        return None
    for call in source.nodes(ast.Call):
        here = call.lineno <= place.line <= (call.end_lineno or call.lineno)
        if here and isinstance(call.func, ast.Name | ast.Attribute) and _is_model(source, call.func):
            return source, call
    return None


def _is_model(source: Source, node: ast.expr) -> bool:
    if last_name(node).lower() in MODELS:
        return True
    text = source.segment(node)
    asked = (c.func for c in source.calls(*METHODS) if isinstance(c.func, ast.Attribute))
    return any(source.segment(func.value) == text for func in asked)


def _innermost(source: Source, call: ast.Call) -> ast.stmt | None:
    """The loop that a call is in, within its function."""
    function = home(call)
    loops = source.enclosing(call.lineno, *LOOPS)
    return next((one for one in loops if home(one) is function), None)


def _before_evaluation(source: Source, call: ast.Call, train: Place | None) -> ast.stmt | None:
    """The statement to put `eval()` before: the loop, with what is around it but not around training."""

    def trains(one: ast.stmt) -> bool:
        at = train.line if train is not None and train.path == source.path else 0
        return one.lineno <= at <= (one.end_lineno or 0)

    anchor = _innermost(source, call)
    if anchor is None:
        return None
    if trains(anchor):  # a batch by itself, within the loop over epochs
        inner = [one for one in source.enclosing(call.lineno, ast.stmt) if not trains(one)]
        anchor = next((one for one in reversed(inner) if home(one) is home(call)), None)
    above = parent(anchor) if anchor is not None else None
    while isinstance(above, ast.With) and not trains(above):
        anchor, above = above, parent(above)
    return anchor


def _by_flag(source: Source, call: ast.Call, title: str) -> Fix | None:
    """Where one function trains and evaluates: the mode by the condition that its backward pass is under."""
    function, loop = home(call), _innermost(source, call)
    if function is None or loop is None:
        return None
    for backward in source.calls("backward"):
        above = parent(backward)
        while above is not None and above is not function and not isinstance(above, ast.If):
            above = parent(above)
        if not isinstance(above, ast.If) or home(above) is not function:
            continue
        test = source.segment(above.test)
        compares = isinstance(above.test, ast.Compare) and isinstance(above.test.ops[0], ast.IsNot)
        name = source.segment(call.func)
        fixed = not any(
            test in source.segment(t) for one in ast.walk(loop) if isinstance(one, ast.Assign) for t in one.targets
        )
        if (compares or isinstance(above.test, ast.Name | ast.Attribute)) and fixed:
            code = f"{name}.train({test if compares else f'bool({test})'})"
            return source.fix(title, source.before(loop.lineno, code))
    return None


def divided_by_images(source: Source, division: ast.BinOp, counted: str = "dataset") -> Fix:
    """Hits divided by a count of images: one that the loop keeps, else how many the loader draws from.

    Args:
        source: The file.
        division: Hits by something else.
        counted: Which attribute of the loader has as many elements as it gives images: dataset or sampler.
    """
    title = "divide by the images"
    lengths = [n for n in ast.walk(division.right) if isinstance(n, ast.Call) and called(n) == "len" and n.args]
    over = source.segment(lengths[0].args[0])
    scope = home(division) or source.tree
    for loop in ast.walk(scope):
        if not isinstance(loop, ast.For) or over not in source.segment(loop.iter):
            continue
        for node in ast.walk(loop):
            if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add) and _counts_images(source, node.value):
                return source.fix(title, source.replaced(division.right, source.segment(node.target)))
    return source.fix(title, source.replaced(division.right, f"len({over}.{counted})"))


def _counts_images(source: Source, value: ast.expr) -> bool:
    text = source.segment(value).replace(" ", "")
    sized = text.endswith((".size(0)", ".shape[0]")) or (isinstance(value, ast.Call) and called(value) == "len")
    return sized and isinstance(value, ast.Call | ast.Subscript)


def on_validation(setup: Setup) -> Fix:
    """The loader of held-out training images in place of the test loader, in the loop over epochs."""
    title = "choose on held-out training images, report the test set once"
    manual = Fix(title, code="train_set, val_set = random_split(train_full, [45000, 5000])")
    test = next((one for one in setup.evals if one.role == "test"), None)
    found = loader_call(setup, test)
    if test is None or found is None or setup.train is None:
        return manual
    source, call = found
    name, other = _bound(source, call), _held_out(setup, source, setup.train)
    if not name or not other:
        return manual
    epochs = epoch_loop(setup)
    images = dataset_argument(call)
    edits = exchanged(
        source,
        name,
        other,
        epochs=epochs[1] if epochs is not None and epochs[0] is source else None,
        images=source.segment(images) if isinstance(images, ast.Name | ast.Attribute) else "",
    )
    return source.fix(f"choose by {other}, report the test set once", *edits) if edits else manual


def exchanged(source: Source, name: str, other: str, epochs: ast.stmt | None = None, images: str = "") -> list[Edit]:
    """Another loader in a loader's place, wherever a loop uses it; after the epochs it stays.

    Args:
        source: The file.
        name: What the loader is bound to.
        other: What the other one is bound to.
        epochs: The loop over epochs, if it is in this file.
        images: What the loader's data set is called; "" where it has no name.

    Returns:
        Edits; none where some use beside the others cannot be changed.
    """
    if ("." in name) != ("." in other):
        return []
    reads = _reads(source, name)
    blocks: list[ast.AST] = []
    for node in reads:
        function, above = home(node), parent(node)
        loops = [one for one in source.enclosing(node.lineno, *LOOPS) if home(one) is function]
        done = epochs is not None and epochs not in loops and function in (None, home(epochs))
        if loops and not done and _passed(node):
            alone = isinstance(above, ast.For) and above is loops[-1]
            blocks.append((function or source.tree) if alone else loops[-1])
    uses = [node for node in reads if any(_within(node, block) for block in blocks)]
    counted = [node for node in (_reads(source, images) if images else ()) if any(_within(node, b) for b in blocks)]
    if counted or not all(_passed(node) or isinstance(parent(node), ast.Attribute) for node in uses):
        return []
    if not all(known(source, other, node) or isinstance(node, ast.Attribute) for node in uses):
        return []
    last = name.rpartition(".")[2]
    return [source.replaced(n, source.segment(n).removesuffix(last) + other.rpartition(".")[2]) for n in uses]


def _reads(source: Source, name: str) -> list[ast.expr]:
    """Where something is read that a name is bound to, and not a parameter of the same name."""
    last = name.rpartition(".")[2]
    kind: type[ast.Name] | type[ast.Attribute] = ast.Attribute if "." in name else ast.Name
    found: list[ast.expr] = []
    for node in source.nodes(kind):
        function = home(node)
        while function is not None and last not in _parameters(function):
            function = home(function)
        if last_name(node) == last and isinstance(node.ctx, ast.Load) and (function is None or kind is ast.Attribute):
            found.append(node)
    return found


def _parameters(function: Function) -> set[str]:
    return {one.arg for one in ast.walk(function.args) if isinstance(one, ast.arg)}


def _passed(node: ast.expr) -> bool:
    """Whether something is handed to a call, or iterated over."""
    above = parent(node)
    if isinstance(above, ast.For | ast.comprehension):
        return above.iter is node
    return isinstance(above, ast.Call | ast.keyword)


def _within(node: ast.AST, block: ast.AST) -> bool:
    above: ast.AST | None = node
    while above is not None and above is not block:
        above = parent(above)
    return above is not None


def _bound(source: Source, call: ast.Call) -> str:
    """What a call's result is called."""
    above = parent(call)
    return source.segment(next(targets(above))) if isinstance(above, ast.Assign) and above.value is call else ""


def _held_out(setup: Setup, source: Source, train: Pipeline) -> str:
    """A loader over training images that are not trained on, which the program made and does not use."""
    from lowres.doctor.setup import pipeline

    used = {id(one.loader) for one in (train, *setup.evals)}
    for key, seen in setup.trace.loaders.items():
        if key in used or seen.place is None or seen.place.path != source.path:
            continue
        one = pipeline(setup.trace, key, "val")
        found = loader_call(setup, one)
        if found is None or one.official_test is not False or not isinstance(dataset_argument(found[1]), ast.expr):
            continue
        apart = one.prints is not None and train.prints is not None and not (one.prints & train.prints)
        if apart and one.varies is False:
            name = _bound(source, found[1])
            if name:
                return name
    return ""
