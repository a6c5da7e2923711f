"""The numbers in a scheduler's construction that are times: milestones, horizons, warm-ups."""

import ast
from collections.abc import Iterator

from lowres.doctor.source import Source, called, last_name, parent

TIMES: dict[str, tuple[str, ...]] = {
    "CosineAnnealingLR": ("optimizer", "T_max"),
    "MultiStepLR": ("optimizer", "milestones"),
    "StepLR": ("optimizer", "step_size"),
    "LinearLR": ("optimizer", "-", "-", "total_iters"),
    "ConstantLR": ("optimizer", "-", "total_iters"),
    "PolynomialLR": ("optimizer", "total_iters"),
    "CosineAnnealingWarmRestarts": ("optimizer", "T_0"),
    "OneCycleLR": ("optimizer", "-", "total_steps", "epochs"),
    "SequentialLR": ("optimizer", "schedulers", "milestones"),
    "ReduceLROnPlateau": ("optimizer", "-", "-", "patience"),
    "CyclicLR": ("optimizer", "-", "-", "step_size_up", "step_size_down"),
}
"""Positional parameters of schedulers; those that are times have their name, but for the first."""
NO_TIMES = ("optimizer", "schedulers", "-")


def times_of(source: Source, call: ast.Call) -> Iterator[ast.Constant]:
    """Numbers in the arguments of a scheduler that are times, and those behind names that are such arguments.

    A name counts where it stands by itself, in a list or in a sum: in a product it may be the batches of an epoch.
    """
    names = TIMES[called(call)]
    given = [(name, one) for name, one in zip(names, call.args, strict=False) if name not in NO_TIMES]
    known = {name for name in names if name not in NO_TIMES}
    given += [(one.arg or "", one.value) for one in call.keywords if one.arg in known]
    for _, value in given:
        for node in ast.walk(value):
            if isinstance(node, ast.Constant):
                yield node
            elif isinstance(node, ast.Name) and _summed(node, call):
                yield from _numbers(source, node.id)


def _summed(node: ast.AST, call: ast.Call) -> bool:
    around = parent(node)
    while around is not None and around is not call:
        sums = isinstance(around, ast.BinOp) and isinstance(around.op, ast.Add | ast.Sub)
        if not sums and not isinstance(around, ast.List | ast.Tuple | ast.keyword):
            return False
        around = parent(around)
    return True


def _numbers(source: Source, name: str) -> Iterator[ast.Constant]:
    for one in source.nodes(ast.Assign):
        if isinstance(one.value, ast.Constant) and any(last_name(target) == name for target in one.targets):
            yield one.value
