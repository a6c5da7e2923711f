"""What stands in a ladder's table, in words: lengths, seeds, changes, figures, and what cells were trained on."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from lowres.ladder.definition import Ladder, Rung
from lowres.ladder.statistics import Sample


def length(ladder: Ladder) -> str:
    """How long runs are, and whether that is the base recipe's own length: "2 of 180 epochs a run, shortened"."""
    lengths = sorted({recipe.epochs for recipe in ladder.recipes()})
    epochs, own = str(lengths[0]) if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]}", ladder.own_epochs
    if own is None:
        return f"{epochs} epoch{'' if epochs == '1' else 's'} a run"
    if own < ladder.epochs:
        return f"{epochs} epochs a run, lengthened from {own}"
    return f"{epochs} of {own} epochs a run, shortened"


def change(rung: Rung) -> str:
    """The fields that a rung changes: "schedule=cosine"."""
    return ", ".join(f"{key}={_plain(value)}" for key, value in rung.changes.items())


def _plain(value: Any) -> str:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, Mapping) and "name" in value:
        return str(value["name"])
    return str(list(value)) if isinstance(value, tuple) else str(value)


def seeds(which: Sequence[int]) -> str:
    """Which seeds: "seeds 0 to 2"."""
    if len(which) == 1:
        return f"seed {which[0]}"
    if list(which) == list(range(which[0], which[-1] + 1)):
        return f"seeds {which[0]} to {which[-1]}"
    return "seeds " + ", ".join(map(str, which))


def machine(manifest: Mapping[str, Any]) -> str:
    """What a run was trained on, as its manifest has it: "AMD EPYC, 1 thread, fp32, torch 2.15.0".

    Where it was resumed on another machine, or with other threads, all of them in order.
    """
    sittings = [*manifest.get("earlier_sittings", []), manifest]
    return ", then ".join(dict.fromkeys(map(_sitting, sittings)))


def _sitting(manifest: Mapping[str, Any]) -> str:
    parts = [manifest.get("hardware"), manifest.get("precision")]
    torch = manifest.get("versions", {}).get("torch")
    return ", ".join(str(part) for part in [*parts, torch and f"torch {torch}"] if part) or "an unknown machine"


def trained_on(machines: Mapping[str, int]) -> str:
    """A sentence on what cells were trained on; "" where none was. `machines` has the number of cells of each."""
    if len(machines) < 2:
        return "".join(f"Trained on {name}." for name in machines)
    each = "; ".join(f"{name} ({count} cell{'' if count == 1 else 's'})" for name, count in machines.items())
    return f"Trained on {each}: on each, the same cell would end a little differently."


def figure(value: float | None, form: str = ".2f") -> str:
    """A figure, or nothing."""
    return "" if value is None else f"{value:{form}}"


def interval(sample: Sample | None, form: str) -> str:
    """An interval, "60.10 to 63.33", or nothing."""
    if sample is None or sample.low is None or sample.high is None:
        return ""
    return f"{sample.low:{form}} to {sample.high:{form}}"


def p_value(value: float | None) -> str:
    """Three decimals."""
    return "" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
