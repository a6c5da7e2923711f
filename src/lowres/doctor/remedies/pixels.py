"""Fixes of what the source does to stored images and labels before training: statements that scramble them."""

import ast
from collections.abc import Iterator

from lowres.doctor.findings import Fix
from lowres.doctor.patching.edits import Edit
from lowres.doctor.pipeline import Pipeline
from lowres.doctor.remedies.layers import sources
from lowres.doctor.setup import Setup
from lowres.doctor.source import Source, called, last_name, parent

STORES = ("CIFAR10", "CIFAR100", "SVHN")
"""Data sets that read their files themselves, so that nothing has to be put in order."""
MOVES = {"reshape", "view", "transpose", "permute", "swapaxes", "moveaxis"}


def transposed(setup: Setup, one: Pipeline) -> Fix:
    """Without a statement that reshapes images which are in order already."""
    title = "leave the stored images as they are"
    if type(one.base).__name__ in STORES:
        for source, node in _assignments(setup):
            changes = {called(call) for call in ast.walk(node.value) if isinstance(call, ast.Call)}
            if changes & MOVES and _in_place(source, node):
                return source.fix(title, *gone(source, node))
    return Fix("transpose, do not reshape", code="data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)  # of planar bytes")


def one_order(setup: Setup) -> Fix:
    """Without a statement that exchanges the channels of one split."""
    for source, node in _assignments(setup):
        if _in_place(source, node) and any(_backwards(one) for one in ast.walk(node.value)):
            return source.fix("leave the channels in their order", *gone(source, node))
    return Fix("one order of channels", code="data[..., ::-1]")


def labels_in_place(setup: Setup) -> Fix:
    """Without a statement that shuffles labels alone."""
    for source in sources(setup):
        for node in source.nodes(ast.Expr):
            call = node.value
            shuffles = isinstance(call, ast.Call) and called(call) == "shuffle" and bool(call.args)
            if shuffles and last_name(call.args[0]) in ("targets", "labels"):  # type: ignore[attr-defined]
                return source.fix("leave the labels with their images", *gone(source, node))
    return Fix(
        "change the order of images and labels together",
        code="order = torch.randperm(len(images)); images, labels = images[order], labels[order]",
    )


def _assignments(setup: Setup) -> Iterator[tuple[Source, ast.Assign]]:
    for source in sources(setup):
        yield from ((source, node) for node in source.nodes(ast.Assign))


def _in_place(source: Source, node: ast.Assign) -> bool:
    """Whether a statement sets a data set's `.data` to something made of it."""
    target = node.targets[0]
    own = isinstance(target, ast.Attribute) and target.attr == "data" and len(node.targets) == 1
    return own and source.segment(target) in source.segment(node.value)


def _backwards(node: ast.AST) -> bool:
    """A slice `::-1`."""
    return isinstance(node, ast.Slice) and node.step is not None and ast.unparse(node.step) == "-1"


def gone(source: Source, node: ast.stmt) -> list[Edit]:
    """A statement taken out, with a loop that it alone is in."""
    above = parent(node)
    while isinstance(above, ast.For) and above.body == [node] and not above.orelse:
        node, above = above, parent(above)
    return [source.removed(node)]
