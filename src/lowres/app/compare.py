"""`lowres compare`: runs side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.table import Table

from lowres.app.command import console, parse, print_json
from lowres.errors import UserError
from lowres.recipes import differences
from lowres.runs import Run, load_run


@dataclass(frozen=True)
class Compare:
    """Runs side by side: last-epoch test accuracy with its interval, and where the recipes differ.

    Runs on the same data stand together, the best first. To choose between recipes, hold images out
    (--held-out 5000) and choose by the validation accuracy: a test set that selects no longer tests.

        lowres compare runs/*

    Attributes:
        runs: Run folders.
        json: Print JSON.
    """

    runs: tyro.conf.Positional[tuple[Path, ...]]
    json: bool = False


def run(words: Sequence[str]) -> int:
    """Compares; see `Compare`."""
    asked = parse(Compare, words, "compare")
    if not asked.runs:
        raise UserError("nothing to compare: name run folders, such as `lowres compare runs/*`")
    runs = [load_run(path) for path in asked.runs]
    runs.sort(key=lambda r: (r.recipe.data, 0.0 if r.result is None else -r.result["accuracy"]))
    rows = [_row(r, runs[0]) for r in runs]
    if asked.json:
        print_json(rows)
    else:
        _show(rows)
    return 0


def _row(r: Run, first: Run) -> dict[str, Any]:
    result = r.result or {}
    return {
        "run": str(r.folder),
        "recipe": r.recipe.name,
        "model": r.recipe.model,
        "data": r.recipe.data,
        "seed": r.recipe.seed,
        "outcome": r.outcome,
        "epochs": len(r.history()),
        "epochs_planned": r.recipe.epochs,
        **{
            key: result.get(key)
            for key in (
                *("parameters", "accuracy", "interval", "validation_accuracy"),
                *("accuracy_without_tta", "loss", "seconds", "images_per_second"),
            )
        },
        "tta": result.get("tta", "none"),
        "differs": {key: here for key, (_, here) in differences(first.recipe, r.recipe).items()},
    }


def _show(rows: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("run", "parameters", "epochs", "validation, %", "test, %", "95 % interval", "minutes", "images/s"):
        table.add_column(name, justify="left" if name == "run" else "right")
    table.add_column("differs from the first in", overflow="fold")
    for row in rows:
        differs = ", ".join(f"{key}={value}" for key, value in row["differs"].items())
        if row["accuracy"] is None:
            done = f"{row['epochs']}/{row['epochs_planned']}"
            table.add_row(row["run"], "", done, "", row["outcome"], "", "", "", differs)
            continue
        table.add_row(
            row["run"],
            _figure(row["parameters"], ",.0f"),
            str(row["epochs"]),
            _figure(row["validation_accuracy"], ".2f"),
            f"{row['accuracy']:.2f}" + ("" if row["tta"] == "none" else f" (tta {row['tta']})"),
            "" if row["interval"] is None else "{:.2f} to {:.2f}".format(*row["interval"]),
            "" if row["seconds"] is None else f"{row['seconds'] / 60:.1f}",
            _figure(row["images_per_second"], ",.0f"),
            differs,
        )
    console().print(table)


def _figure(value: float | None, form: str) -> str:
    return "" if value is None else f"{value:{form}}"
