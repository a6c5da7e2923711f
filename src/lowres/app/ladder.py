"""`lowres ladder`: runs a ladder or what is missing of it, and says which rung pays."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro
from rich.table import Table

from lowres.app.command import console, parse, print_json
from lowres.app.ladder_display import Display
from lowres.errors import UserError
from lowres.files import expanded
from lowres.ladder import CellsFailed, Ladder, Unkept, climb, folder_of, list_ladders, load_ladder, plan
from lowres.ladder import Table as LadderTable
from lowres.training.allocator import keep_memory


@dataclass(frozen=True)
class Climb:
    """Runs a ladder, or what is missing of it, and says which rung pays.

    Each rung is trained with every seed. What has finished is kept: stopped or killed, the same command goes on,
    and ladders share equal cells. Without a name, the ladders there are.

        lowres ladder seresnet20 --epochs 8 --seeds 3
        lowres ladder mine.json --data digits --margin 0.5
        lowres ladder seresnet20 --epochs 8 --workers auto
        lowres ladder seresnet20 --epochs 8 --until-decided --budget 2h
        lowres ladder seresnet20 --on ray --address 10.0.0.1:6379
        lowres ladder seresnet20 --epochs 8 --merge ~/from-another-machine/ladders

    Attributes:
        name: A built-in ladder or a JSON file.
        seeds: How many, from 0; a verdict needs three.
        epochs: Of the base recipe, in place of its own; rungs that set the epochs keep their ratio to it.
        data: cifar10, cifar100, digits or folder:PATH, in place of the recipe's.
        data_dir: Where the data lie; by default data/ here, or the folder that LOWRES_DATA_DIR names.
        out: Where cells and tables are kept, of all ladders.
        device: auto, cpu, cuda, cuda:1, mps.
        margin: The difference worth telling, in points of accuracy.
        workers: Cells at once, in processes of their own: a number, or auto, on CPUs one a core where memory allows.
        on: local, or ray: on a Ray cluster, each cell a task.
        address: Of the cluster, HOST:PORT or auto; without it, one is started here.
        cpus: Of each cell on the cluster.
        gpus: Of each cell on the cluster; 0.25 puts four cells on one.
        until_decided: Add seeds where they help most, until every rung is decided or the budget is spent.
        budget: Time for that, such as 90s, 10m or 2h; no cell is begun that would not be done by then.
        merge: Another machine's folder, whose finished cells are taken over.
        plan: Only say which cells are missing.
        json: Print JSON.
        quiet: Show no progress.
    """

    name: tyro.conf.Positional[str] = ""
    seeds: int = 3
    epochs: int | None = None
    data: str | None = None
    data_dir: Path | None = None
    out: Path = Path("ladders")
    device: str = "auto"
    margin: float = 0.2
    workers: int | Literal["auto"] | None = None
    on: Literal["local", "ray"] = "local"
    address: str = ""
    cpus: int = 1
    gpus: float = 0.0
    until_decided: bool = False
    budget: str | None = None
    merge: Path | None = None
    plan: bool = False
    json: bool = False
    quiet: bool = False


def run(words: Sequence[str]) -> int:
    """Climbs; see `Climb`."""
    asked = parse(Climb, words, "ladder")
    if not asked.name:
        _list(asked.json)
        return 0
    if asked.seeds < 1:
        raise UserError(f"--seeds is {asked.seeds}, but must be at least 1")
    ladder = load_ladder(asked.name).resized(epochs=asked.epochs, data=asked.data)
    if asked.plan and asked.merge is not None:
        raise UserError("--plan only looks, and --merge takes cells over: merge first, then --plan")
    if asked.plan and (asked.until_decided or asked.budget is not None):
        raise UserError("--plan lists the cells of --seeds; which ones --until-decided adds is up to their results")
    if asked.plan:
        _plan(ladder, asked)
        return 0
    keep_memory()  # here and not in the library: the process is ours
    failed: CellsFailed | Unkept | None = None
    try:
        with Display(quiet=asked.quiet) as display:
            table = climb(
                ladder,
                seeds=asked.seeds,
                margin=asked.margin,
                data_dir=asked.data_dir,
                out=asked.out,
                device=asked.device,
                merge=() if asked.merge is None else (asked.merge,),
                tell=display,
                workers=asked.workers,
                on=asked.on,
                address=asked.address,
                cpus=asked.cpus,
                gpus=asked.gpus,
                until_decided=asked.until_decided,
                budget=asked.budget,
            )
    except (CellsFailed, Unkept) as error:
        failed, table = error, error.table
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted: the same command goes on; every finished epoch is kept") from None
    _show(table, asked)
    if failed is None:
        return 0
    if isinstance(failed, Unkept):
        raise failed
    for failure in failed.failures:
        line = f"lowres: rung {failure.cell.rung!r}, seed {failure.cell.seed} failed: {failure.reason}"
        print(line, file=sys.stderr)
    if failed.__cause__ is not None:
        print(f"lowres: {failed.__cause__}", file=sys.stderr)
    return failed.code


def _show(table: LadderTable, asked: Climb) -> None:
    if asked.json:
        print_json(table.to_json())
        return
    screen = console()
    screen.print(f"{table.caption}\n")
    screen.print(table.to_rich())
    screen.print(f"\n{table.explanation}\n\n{folder_of(table.ladder, asked.out)}")


def _list(as_json: bool) -> None:
    ladders = [load_ladder(name) for name in list_ladders()]
    if as_json:
        print_json(
            [{"name": one.name, "summary": one.summary, "rungs": [rung.name for rung in one.rungs]} for one in ladders]
        )
        return
    table = Table(box=None, pad_edge=False)
    for name in ("ladder", "rungs", "data", "epochs", "asks"):
        table.add_column(name, justify="right" if name in ("rungs", "epochs") else "left")
    for one in ladders:
        table.add_row(one.name, str(len(one.rungs)), one.data, str(one.epochs), one.summary)
    console().print(table)


def _plan(ladder: Ladder, asked: Climb) -> None:
    found = plan(ladder, range(asked.seeds), expanded(asked.out))
    rows: list[dict[str, Any]] = []
    for index, cell in enumerate(found.cells):
        done = found.done.get(index)
        row = {"rung": cell.rung, "seed": cell.seed, "cell": cell.name, "epochs": cell.recipe.epochs}
        rows.append(row | {"run": str(done.folder) if done else None})
    if asked.json:
        print_json(rows)
        return
    table = Table(box=None, pad_edge=False)
    for name in ("rung", "seed", "epochs", "cell", "state"):
        table.add_column(name, justify="right" if name in ("seed", "epochs") else "left")
    for row in rows:
        state = "finished" if row["run"] else "missing"
        table.add_row(*(str(row[key]) for key in ("rung", "seed", "epochs", "cell")), state)
    screen = console()
    screen.print(table)
    screen.print(f"\n{len(found.missing)} of {len(found.cells)} cells are missing")
