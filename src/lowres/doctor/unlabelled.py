"""Evaluation images without labels, whose data set gives a stand-in for each: those of a competition."""

import ast
import re

from lowres.doctor.findings import Place
from lowres.doctor.pipeline import Pipeline
from lowres.doctor.setup import Setup

STAND_IN = re.compile(r"unknown|unlabell?ed|unclassified|none|null|dummy|\?", re.IGNORECASE)


def unlabelled(setup: Setup, train: Pipeline, one: Pipeline) -> bool:
    """Whether the one label of a split is a stand-in: by the name of its class, or since no loop reads it."""
    return _named_otherwise(train, one) or _never_read(setup, one)


def _named_otherwise(train: Pipeline, one: Pipeline) -> bool:
    """Whether the class of the only label is named as a stand-in, and training has no class of that name.

    Another name may be that of a folder too high up: then the labels are wrong, and not left out.
    """
    known, own = (getattr(each.base, "classes", None) for each in (train, one))
    if not isinstance(known, list | tuple) or not isinstance(own, list | tuple) or one.labels is None:
        return False
    label = int(one.labels[0])
    name = str(own[label]) if 0 <= label < len(own) else ""
    return STAND_IN.match(name) is not None and name not in known


def _never_read(setup: Setup, one: Pipeline) -> bool:
    places = {event.place for event in setup.trace.of("iterate") if event["loader"] == id(one.loader)}
    return bool(places) and all(_reads_no_label(setup, place) for place in places)


def _reads_no_label(setup: Setup, place: Place | None) -> bool:
    """Whether a `for images, labels in loader:` does nothing with the labels."""
    source = setup.text(place)
    loops = source.enclosing(place.line, ast.For) if source is not None and place is not None else []
    loop = next((one for one in loops if one.lineno <= place.line <= (one.iter.end_lineno or 0)), None)  # type: ignore[union-attr]
    target = loop.target if loop is not None else None
    if not isinstance(target, ast.Tuple):
        return False
    while isinstance(target, ast.Tuple | ast.List):  # (images, labels), or (number, (images, labels))
        target = target.elts[-1] if len(target.elts) == 2 else None
    if loop is None or not isinstance(target, ast.Name):
        return False
    names = (one for line in loop.body for one in ast.walk(line) if isinstance(one, ast.Name))
    return not any(one.id == target.id and isinstance(one.ctx, ast.Load) for one in names)
