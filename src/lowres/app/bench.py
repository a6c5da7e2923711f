"""`lowres bench`: speed here, against the limit of this machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.table import Table

from lowres.app.command import check_writable, console, parse, print_json
from lowres.files import expanded, write_json
from lowres.recipes import load_recipe, read_object


@dataclass(frozen=True)
class Bench:
    """Speed here: the limits of this machine, how near to them recipes train, what finished runs took.

    Images are made up, so that nothing has to be downloaded; the loop is the one that trains. The defaults take
    less than a minute.

        lowres bench
        lowres bench speed94 resnet20 --runs runs/* --json
        lowres bench --out before.json
        lowres bench --compare before.json

    Attributes:
        recipes: Recipes to time; by default resnet20-cosine, resnet20-quick and speed94.
        runs: Finished runs whose time and accuracy are shown.
        device: auto, cpu, cuda, cuda:1, mps.
        seconds: To spend on each recipe, about.
        out: Write the JSON to this file, too.
        compare: An earlier measurement, as --json prints it, to show ratios to.
        json: Print JSON.
    """

    recipes: tyro.conf.Positional[tuple[str, ...]] = ()
    runs: tuple[Path, ...] = ()
    device: str = "auto"
    seconds: float = 4.0
    out: Path | None = None
    compare: Path | None = None
    json: bool = False


def run(words: Sequence[str]) -> int:
    """Measures; see `Bench`."""
    asked = parse(Bench, words, "bench")

    from lowres.runs import load_run
    from lowres.speed import RECIPES, bench, compare
    from lowres.training.allocator import keep_memory

    check_writable("--out", asked.out)
    out = None if asked.out is None else expanded(asked.out)
    other = None if asked.compare is None else expanded(asked.compare)
    before = None if other is None else read_object(other, "measurement", "`lowres bench --out` makes one")
    if before is not None:
        compare(before, before, str(asked.compare))  # what is no measurement is refused before anything is measured
    chosen = [load_recipe(name) for name in asked.recipes or RECIPES]
    runs = [load_run(expanded(path)) for path in asked.runs]
    keep_memory()
    found = bench(chosen, device=asked.device, seconds=asked.seconds, runs=runs)
    if out is not None:  # before anything can go wrong with the other file
        write_json(out, found)
    if before is not None:
        found["compared"] = compare(found, before, str(asked.compare))
        if out is not None:
            write_json(out, found)
    if asked.json:
        print_json(found)
    else:
        _show(found)
    return 0


def _show(found: dict[str, Any]) -> None:
    out = console()
    compared = found.get("compared", {})
    machine = found["machine"]
    out.print(f"{machine['hardware']}, PyTorch {machine['versions']['torch']}, lowres {machine['lowres']}\n")
    _print_table(
        ("limit of", "multiply-adds/s", "copied bytes/s"),
        [
            (
                name,
                _giga(c["multiply_adds_per_second"]) + _ratio(compared, "multiply_adds_per_second", name),
                _giga(c["bytes_per_second"]) + _ratio(compared, "bytes_per_second", name),
            )
            for name, c in found["ceilings"].items()
        ],
    )
    _print_table(
        ("recipe", "batch", "in", "images/s", "multiply-adds/s", "of the limit", "input's share"),
        [
            (
                row["recipe"],
                str(row["batch_size"]),
                row["precision"],
                f"{row['images_per_second']:,.0f}" + _ratio(compared, "images_per_second", row["recipe"]),
                _giga(row["multiply_adds_per_second"]),
                f"{100 * row['share_of_ceiling']:.0f} %",
                f"{100 * row['input_share']:.1f} %",
            )
            for row in found["recipes"]
        ],
    )
    if found["runs"]:
        _print_table(
            ("runs of", "runs", "mean accuracy, %", "mean minutes", "reached, %", "tta", "on"),
            [
                (
                    row["recipe"],
                    str(len(row["accuracies"])),
                    f"{row['accuracy']:.2f}",
                    f"{row['mean_seconds'] / 60:.2f}",
                    ", ".join(f"{target:.0f}" for target in row["reached"]),
                    row["tta"],
                    f"{row['hardware']}, {row['precision']}",
                )
                for row in found["runs"]
            ],
        )
    if compared and not compared["same_machine"]:
        out.print("The earlier measurement is of another machine.")


def _print_table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(box=None, pad_edge=False)
    for i, name in enumerate(names):
        table.add_column(name, justify="left" if i == 0 else "right")
    for row in rows:
        table.add_row(*row)
    console().print(table)
    console().print()


def _giga(value: float) -> str:
    return f"{value / 1e9:,.1f} G"


def _ratio(compared: dict[str, Any], kind: str, name: str) -> str:
    ratio = compared.get(kind, {}).get(name)
    return "" if ratio is None else f" ({ratio:.2f}x)"
