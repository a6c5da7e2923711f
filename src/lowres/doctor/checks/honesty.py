"""EV4: arithmetic and honesty of the figures."""

import ast
from collections.abc import Iterator

from lowres.doctor.findings import Found, Place, check
from lowres.doctor.pipeline import Pipeline
from lowres.doctor.remedies.modes import divided_by_images, on_validation
from lowres.doctor.remedies.splits import each_image_once
from lowres.doctor.setup import Setup
from lowres.doctor.source import Source, called, last_name, parent
from lowres.doctor.wrappers import length_of


@check(
    "EV403",
    "chosen on the test set",
    grade="warning",
    kind="C25",
    cost=(0, 1),
    source="public cases: inflates the figure by 0.3 to 3 points",
)
def selection(setup: Setup) -> Found | None:
    """The best epoch is chosen by its test accuracy, which then is reported: the figure is too good.

    All evaluation during training is on the data set's own test images, and the source compares a result with the
    best so far. A validation split that is evaluated during training as well excuses it.
    """
    train = setup.trace.train_loader()
    if train is None or setup.source is None:
        return None
    during: set[int] = set()
    seen_train = 0
    pending: set[int] = set()
    for event in setup.trace.of("iterate"):
        if event["loader"] == id(train):
            seen_train += 1
            during |= pending
            pending = set()
        elif seen_train:
            pending.add(event["loader"])
    pipelines = {id(one.loader): one for one in setup.evals}
    roles = {pipelines[key].role for key in during if key in pipelines}
    if roles != {"test"}:
        return None
    place = _comparison(setup)
    if place is None:
        return None
    return Found(
        "the best epoch is chosen by its accuracy on the test set, so that figure is too good",
        {
            "evaluated_during_training": sorted(roles),
            "test_images": next(p.size for p in setup.evals if p.role == "test"),
        },
        cost=0.3,
        place=place,
        fix=on_validation(setup),
    )


def _comparison(setup: Setup) -> Place | None:
    """An `if result > best:` that remembers something."""
    for source in (setup.source, *setup.files.values()):
        for node in source.nodes(ast.If) if source is not None else ():
            assert isinstance(node, ast.If)
            assert source is not None
            if not isinstance(node.test, ast.Compare) or not isinstance(
                node.test.ops[0], ast.Gt | ast.GtE | ast.Lt | ast.LtE
            ):
                continue
            names = [ast.unparse(one).lower() for one in (node.test.left, *node.test.comparators)]
            if any("best" in name or "max_acc" in name or "highest" in name for name in names):
                return Place(source.path, node.lineno)
    return None


@check(
    "EV404",
    "accuracy miscounted",
    grade="error",
    kind="C24",
    cost=(0, 0.1),
    source="the figure misleads; the network is as it is",
)
def arithmetic(setup: Setup) -> Found | None:
    """Hits are divided by the number of batches, or by as many images as full batches would have.

    Read in the source: a sum of hits over a loop, divided by `len` of the very thing that is looped over, or by
    that times a batch size. A mean of batch means is fine to within the last batch, and a product is exact where
    every batch of the loader is full. Where one quotient is divided once more, as by the batch size, silent.
    """
    for source in (setup.source, *setup.files.values()):
        if source is None:
            continue
        for division in source.nodes(ast.BinOp):
            assert isinstance(division, ast.BinOp)
            if not isinstance(division.op, ast.Div) or _of_several(division):
                continue
            found = _wrong_divisor(setup, source, division)
            if found:
                return Found(
                    f"hits are divided by {found}: `{source.segment(division)}`",
                    {"expression": source.segment(division), "divided_by": found},
                    cost=0.1,
                    place=Place(source.path, division.lineno),
                    fix=divided_by_images(source, division, _counted(setup, source.segment(division.right))),
                )
    return None


def _of_several(division: ast.BinOp) -> bool:
    """Whether it is one of several divisions of the same hits: `correct / len(loader) / batch_size`."""
    if any(isinstance(n, ast.BinOp) and isinstance(n.op, ast.Div) for n in ast.walk(division.left)):
        return True
    below, above = division, parent(division)
    while isinstance(above, ast.BinOp) and isinstance(above.op, ast.Mult | ast.Div):
        if isinstance(above.op, ast.Div) and above.left is below and not isinstance(above.right, ast.Constant):
            return True
        below, above = above, parent(above)
    return False


def _counted(setup: Setup, divisor: str) -> str:
    """What of a loader has as many elements as it gives images: its sampler, where that leaves some out."""
    for one in _meant(setup, divisor):
        if length_of(one.loader.sampler) not in (None, one.size):
            return "sampler"
    return "dataset"


def _meant(setup: Setup, name: str) -> list[Pipeline]:
    """The loaders that a name may stand for."""
    train = [setup.train] if setup.train is not None else []
    return train if "train" in name.lower() else setup.evals


def _wrong_divisor(setup: Setup, source: Source, division: ast.BinOp) -> str:
    lengths = [n for n in ast.walk(division.right) if isinstance(n, ast.Call) and called(n) == "len" and n.args]
    if len(lengths) != 1 or last_name(lengths[0].args[0]) in ("dataset", ""):
        return ""
    over = ast.unparse(lengths[0].args[0])
    if _exact(setup, division.right, over):
        return ""
    names = {last_name(node) for node in ast.walk(division.left) if isinstance(node, ast.Name | ast.Attribute)}
    scope = source.enclosing(division.lineno, ast.FunctionDef)
    root: ast.AST = scope[0] if scope else source.tree
    for loop in ast.walk(root):
        if not isinstance(loop, ast.For) or over not in _looped_over(loop.iter):
            continue
        for node in ast.walk(loop):
            if isinstance(node, ast.AugAssign) and last_name(node.target) in names and _counts_hits(node.value):
                plain = isinstance(division.right, ast.Call)
                return "the number of batches" if plain else "as many images as full batches have"
    return ""


def _looped_over(node: ast.AST) -> Iterator[str]:
    """The names in what a loop runs over, but those that only lend their length: `range(0, len(x), 256)`."""
    if isinstance(node, ast.Call) and called(node) == "len":
        return
    if isinstance(node, ast.Name | ast.Attribute):
        yield ast.unparse(node)
    for child in ast.iter_child_nodes(node):
        yield from _looped_over(child)


def _exact(setup: Setup, divisor: ast.expr, over: str) -> bool:
    """Whether the loaders that are meant give nothing but batches of the size that the divisor counts with."""
    loaders = _meant(setup, over)
    sides = (divisor.left, divisor.right) if isinstance(divisor, ast.BinOp) else ()
    written = [side.value for side in sides if isinstance(side, ast.Constant)]
    size = 1 if isinstance(divisor, ast.Call) else written[0] if written else None
    return bool(loaders) and all(
        one.visits and one.batch_size and one.visits % one.batch_size == 0 and size in (None, one.batch_size)
        for one in loaders
    )


def _counts_hits(value: ast.expr) -> bool:
    """A sum over comparisons, not a mean: `(a == b).sum()`, `a.eq(b).sum()`."""
    calls = {called(node) for node in ast.walk(value) if isinstance(node, ast.Call)}
    compares = "eq" in calls or any(
        isinstance(n, ast.Compare) and isinstance(n.ops[0], ast.Eq) for n in ast.walk(value)
    )
    divided = any(isinstance(n, ast.BinOp) and isinstance(n.op, ast.Div) for n in ast.walk(value))
    return compares and "sum" in calls and "mean" not in calls and not divided


@check(
    "EV405",
    "test images left out or counted twice",
    grade="warning",
    kind="C24",
    cost=(0, 0.2),
    source="public cases: 9,984 or 10,112 of 10,000 images",
)
def counted(setup: Setup) -> Found | None:
    """Evaluation gives fewer images than there are (`drop_last`), or more (padding to full batches).

    The sampler and `drop_last` of every evaluation loader are worked out; a pass of the program over it need not end.
    Distributed samplers pad on purpose, and are left alone.
    """
    for one in setup.evals:
        visits, size = one.visits, one.size
        sampler = type(one.loader.sampler).__name__
        if visits is None or size is None or "Distributed" in sampler:
            continue
        extra = _repeats(one) or one.padding
        if visits == size and not extra:
            continue
        if visits < size and not one.loader.drop_last:
            continue  # a sampler that chooses on purpose
        title = (
            f"{size - visits} of {size:,} {one.role} images are left out"
            if visits < size
            else f"{visits:,} images are evaluated of {size - extra:,}: {visits - size + extra} count twice"
        )
        return Found(
            title,
            {"images": size - extra, "evaluated": visits, "drop_last": bool(one.loader.drop_last)},
            cost=0.1,
            place=one.place,
            fix=each_image_once(setup, one),
        )
    return None


def _repeats(one: object) -> int:
    """How many images of an evaluation loader stand there a second time."""
    indices, size = getattr(one, "indices", None), getattr(one, "size", None)
    if indices is not None and size is not None:
        return int(len(indices) - len(set(indices.tolist())))
    parts = getattr(getattr(one, "loader", None), "dataset", None)
    listed = getattr(parts, "datasets", None)
    if isinstance(listed, list) and listed:
        first = listed[0]
        return sum(len(part) for part in listed[1:] if getattr(part, "dataset", None) is first)
    return 0
