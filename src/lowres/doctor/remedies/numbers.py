"""Fixes of numbers that the source declares: sizes of batches, classes of a head, where labels count from."""

import ast

from lowres.doctor.findings import Fix
from lowres.doctor.patching.edits import Edit
from lowres.doctor.pipeline import Pipeline
from lowres.doctor.remedies.layers import sources
from lowres.doctor.remedies.origins import argument, dataset_call, loader_call, number_of
from lowres.doctor.setup import Setup
from lowres.doctor.source import Source

BATCH = 128
CLASSES = ("num_classes", "n_classes", "classes")
HIGHEST = 0.2
"""The greatest rate that SGD gets by scaling along."""


def larger_batches(setup: Setup, size: int) -> Fix:
    """Batches of 128, with SGD's rate scaled along as far as it goes."""
    title = "larger batches, or norms over groups of channels"
    manual = Fix(title, code=f"batch_size={BATCH}  # or nn.GroupNorm(8, channels)")
    found = loader_call(setup, setup.train)
    if found is None:
        return manual
    source, loader = found
    given = argument(loader, 1, "batch_size")
    number = number_of(source, given)
    if number is None or number.value != size:
        return manual
    edits = [source.replaced(number, str(BATCH)), *_scaled_rate(setup, source, BATCH / size)]
    return source.fix(f"batches of {BATCH}" + (", the rate scaled along" if len(edits) > 1 else ""), *edits)


def _scaled_rate(setup: Setup, source: Source, factor: float) -> list[Edit]:
    place = setup.optimizer_place
    if setup.algorithm != "SGD" or place is None or setup.text(place) is not source:
        return []
    call = source.call_at(place.line, "SGD")
    number = number_of(source, argument(call, 1, "lr")) if call is not None else None
    if number is None or not isinstance(number.value, int | float) or not 0 < number.value * factor <= 1.05 * HIGHEST:
        return []
    return [source.replaced(number, f"{number.value * factor:.2g}")]


def head_of(setup: Setup, outputs: int, classes: int, title: str) -> Fix:
    """A head with another number of outputs."""
    manual = Fix(title, code=f"nn.Linear(features, {classes})")
    for source in sources(setup):
        edits = _heads(setup, source, outputs, classes)
        if edits:
            return source.fix(title, *edits)
    return manual


def _heads(setup: Setup, source: Source, outputs: int, classes: int) -> list[Edit]:
    if setup.model is None:
        return []
    for call in source.nodes(ast.Call):
        for keyword in call.keywords:
            number = number_of(source, keyword.value)
            if keyword.arg in CLASSES and number is not None and number.value == outputs:
                return [source.replaced(number, str(classes))]
    last = [
        width
        for call in source.calls("Linear", "LazyLinear")
        if (width := argument(call, 1, "out_features")) is not None
        and isinstance(width, ast.Constant)
        and width.value == outputs
    ]
    return [source.replaced(last[0], str(classes))] if len(last) == 1 else []


def from_zero(setup: Setup, one: Pipeline, outputs: int) -> Fix:
    """Labels as they are stored, on the side that shifts them."""
    title = "count from zero everywhere"
    manual = Fix(title, code="target_transform=None")
    if setup.train is None or setup.train.labels is None:
        return manual
    for pipeline in (setup.train, one):
        made = dataset_call(setup, pipeline)
        value = argument(made[1], -1, "target_transform") if made is not None else None
        if made is None or value is None or (isinstance(value, ast.Constant) and value.value is None):
            continue
        source = made[0]
        edits = [source.keyword_removed(made[1], "target_transform")]
        stored = int(setup.train.labels.max()) - int(setup.train.labels.min()) + 1
        if outputs > stored and pipeline is setup.train:
            edits += _heads(setup, source, outputs, stored)
        return source.fix(title, *edits)
    return manual
