"""`lowres ladder`: runs a ladder or what is missing of it, and says which rung pays."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import tyro
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from lowres.app.command import console, parse, print_json
from lowres.errors import UserError
from lowres.ladder import Ladder, climb, folder_of, list_ladders, load_ladder, plan
from lowres.ladder import Progress as Standing
from lowres.training.allocator import keep_memory


@dataclass(frozen=True)
class Climb:
    """Runs a ladder, or what is missing of it, and says which rung pays.

    Each rung is trained with every seed. What has finished is kept: stopped or killed, the same command goes on,
    and ladders share equal cells. Without a name, the ladders there are.

        lowres ladder seresnet20 --epochs 8 --seeds 3
        lowres ladder mine.json --data digits --margin 0.5
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
    if asked.plan:
        _plan(ladder, asked)
        return 0
    keep_memory()  # here and not in the library: the process is ours
    try:
        with _Display(quiet=asked.quiet) as display:
            table = climb(
                ladder,
                seeds=asked.seeds,
                margin=asked.margin,
                data_dir=asked.data_dir,
                out=asked.out,
                device=asked.device,
                merge=() if asked.merge is None else (asked.merge,),
                tell=display,
            )
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted: the same command goes on; every finished epoch is kept") from None
    if asked.json:
        print_json(table.to_json())
        return 0
    screen = console()
    screen.print(f"{table.caption}\n")
    screen.print(table.to_rich())
    screen.print(f"\n{table.explanation}\n\n{folder_of(ladder, asked.out)}")
    return 0


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
    found = plan(ladder, range(asked.seeds), asked.out.expanduser())
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


class _Display:
    """Progress over cells, to stderr: a bar on a terminal, a line a cell elsewhere."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: Progress | None = None
        if not quiet and sys.stderr.isatty():
            from rich.console import Console

            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[left]}"),
            )
            self._bar = Progress(*columns, console=Console(stderr=True, markup=False, highlight=False))
            self._task = self._bar.add_task("cells", total=None, left="")

    def __call__(self, standing: Standing) -> None:
        """Shows where the ladder stands."""
        cell = standing.cell
        left = "" if standing.left is None else f"{_duration(standing.left)} left"
        finished = standing.accuracy is not None
        line = f"[{standing.done}/{standing.total}] {cell.rung}, seed {cell.seed}: "
        if finished and not self._quiet:
            text = f"{line}{standing.accuracy:.2f} %" + (f"; {left}" if left and standing.done < standing.total else "")
            if self._bar:
                self._bar.console.print(text)
            else:
                print(text, file=sys.stderr, flush=True)
        if self._bar:
            now = f"{cell.rung}, seed {cell.seed}, epoch {standing.epoch}/{cell.recipe.epochs}"
            self._bar.update(self._task, description=now, completed=standing.done, total=standing.total, left=left)

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{max(0, round(seconds))} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
