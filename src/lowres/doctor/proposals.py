"""What a fix sets, in figures. It is part of a finding's evidence, as `proposed`; a recipe is written from it."""

from typing import Any

from lowres.doctor.findings import Fix
from lowres.doctor.setup import Setup


def of_sgd(setup: Setup, fix: Fix) -> dict[str, Any]:
    """Of a fix that puts SGD in another optimizer's place: what it replaces beside the class's name is the rate."""
    rate = setup.rates.peak if setup.rates is not None else None
    made: dict[str, Any] = {"optimizer": "SGD", "lr": rate, "momentum": 0.9}
    for edit in fix.edits:
        value = number(edit.code)
        name = "lr" if edit.kind == "replaced" else edit.name
        if value is not None and edit.kind in ("replaced", "keyword"):
            made[name] = value
    return made


def of_batches(fix: Fix, size: int) -> dict[str, Any]:
    """Of a fix that sets batches of a size, and the rate along with it where it has a second figure."""
    figures = [value for edit in fix.edits if (value := number(edit.code)) is not None]
    return {"batch_size": size} | ({"lr": figures[1]} if len(figures) > 1 else {})


def number(code: object) -> float | None:
    """What code says, if that is a number."""
    try:
        return float(str(code))
    except ValueError:
        return None
