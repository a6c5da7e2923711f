"""Climbs a ladder on this machine: trains the cells that are missing, goes on with begun ones, keeps all results.

May be killed at any moment and started again; every finished cell stays, and the table is the same in the end.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import filelock

from lowres import recipes
from lowres.data import Dataset, load_dataset
from lowres.errors import UserError
from lowres.files import write_json, write_text
from lowres.ladder import cells
from lowres.ladder.cells import Cell
from lowres.ladder.definition import Ladder
from lowres.ladder.table import Table, from_json, make_table
from lowres.runs import Run, train
from lowres.runs.build import build
from lowres.training.device import place
from lowres.training.events import EpochDone, Event

RESULTS = "results.json"
MARKDOWN = "table.md"
CSV = "table.csv"
PICTURE = "ladder.png"
_LOCK = ".lock"
_WAIT = 2.0  # seconds between two looks at cells that other processes train


@dataclass(frozen=True)
class Progress:
    """Where a ladder stands.

    Attributes:
        done: Finished cells.
        total: All cells.
        cell: The cell under way, or the one just finished.
        epoch: Its finished epochs.
        accuracy: Its last-epoch test accuracy in percent, once it has finished.
        left: Seconds that all missing cells will take yet; None before anything is known.
    """

    done: int
    total: int
    cell: Cell
    epoch: int
    accuracy: float | None
    left: float | None


def climb(
    ladder: Ladder,
    *,
    seeds: int | Sequence[int] = 3,
    margin: float = 0.2,
    data_dir: str | Path | None = None,
    out: str | Path = "ladders",
    device: str = "auto",
    merge: Iterable[str | Path] = (),
    tell: Callable[[Progress], None] = lambda progress: None,
) -> Table:
    """Runs a ladder, or what is missing of it, and judges its rungs.

    >>> table = climb(load_ladder("seresnet20").resized(epochs=8), seeds=3)  # doctest: +SKIP
    >>> table.rows[-1].comparison.verdict  # doctest: +SKIP
    'pays'

    Args:
        ladder: What to run; `Ladder.resized` shortens it.
        seeds: How many (0, 1, ...), or which.
        margin: The difference worth telling, in points of accuracy.
        data_dir: Where the data lie, as for `lowres.train`.
        out: The folder of all ladders: cells lie in `cells/`, each ladder's table in a folder of its own.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        merge: Folders of other machines, whose finished cells are taken over first.
        tell: Told after every epoch and every cell.

    Returns:
        The table, which is also written, with its picture, into the ladder's folder.

    Raises:
        UserError: Bad input, or a cell that cannot be trained; what has finished is kept.
        KeyboardInterrupt: Stopped by the user; every finished epoch is kept.
    """
    wanted = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    out = Path(out).expanduser()
    read_table(ladder, out)  # refuses results of other recipes
    make_table(ladder, {rung.name: {} for rung in ladder.rungs}, wanted, margin)  # a bad margin is told at once
    for source in merge:
        cells.merge(cells.cells_of(ladder, wanted), Path(source).expanduser(), out)
    plan = cells.plan(ladder, wanted, out)
    if plan.missing:
        _try_out(ladder, data_dir, device)
        _Sitting(plan, out, data_dir, device, tell).run()
        plan = cells.plan(ladder, wanted, out)
    table = make_table(ladder, plan.accuracies(), wanted, margin)
    keep_table(table, out)
    return table


def folder_of(ladder: Ladder, out: Path) -> Path:
    """Where a ladder's table and picture lie: of each length and data set its own."""
    data = Path(ladder.data.removeprefix("folder:")).name
    return out / f"{ladder.name}-{data}-{ladder.epochs}-epochs".replace(" ", "-")


def keep_table(table: Table, out: Path) -> Path:
    """Writes the table as JSON, Markdown and CSV, and its picture; returns their folder."""
    from lowres.ladder.picture import draw_ladder

    folder = folder_of(table.ladder, out)
    write_text(folder / MARKDOWN, table.to_markdown())
    write_text(folder / CSV, table.to_csv())
    draw_ladder(table, folder / PICTURE)
    write_json(folder / RESULTS, table.to_json())
    return folder


def read_table(ladder: Ladder, out: Path) -> Table | None:
    """The table that a ladder left before, or None.

    Raises:
        UserError: It is damaged, or one of its rungs had another recipe.
    """
    path = folder_of(ladder, out) / RESULTS
    if not path.exists():
        return None
    before = from_json(recipes.read_object(path, "table", ""), str(path))
    there = {rung.name: recipe for rung, recipe in zip(before.ladder.rungs, before.ladder.recipes(), strict=True)}
    for rung, here in zip(ladder.rungs, ladder.recipes(), strict=True):
        if rung.name in there and cells.recipe_key(there[rung.name]) != cells.recipe_key(here):
            field, (old, new) = next(iter(recipes.differences(there[rung.name], here).items()))
            raise UserError(
                f"{path} holds results of another recipe for rung {rung.name!r}: {field} is {old!r} there, "
                f"{new!r} here; name the ladder anew or move that folder away"
            )
    return before


def _try_out(ladder: Ladder, data_dir: str | Path | None, device: str) -> None:
    """Builds every rung once, so that one that cannot be trained says so at the start and not after hours."""
    datasets: dict[tuple[str, int], Dataset] = {}
    for rung, recipe in zip(ladder.rungs, ladder.recipes(), strict=True):
        which = (recipe.data, recipe.image_size)
        if which not in datasets:
            folder = None if data_dir is None else Path(data_dir)
            datasets[which] = load_dataset(recipe.data, folder, image_size=recipe.image_size)
        try:
            build(replace(recipe, compile=False), datasets[which], place(recipe, device))
        except UserError as error:
            raise UserError(f"ladder {ladder.name!r}, rung {rung.name!r}: {error}") from None


class _Sitting:
    """One sitting at a ladder: what is left, and how long it takes."""

    def __init__(
        self,
        plan: cells.Plan,
        out: Path,
        data_dir: str | Path | None,
        device: str,
        tell: Callable[[Progress], None],
    ) -> None:
        self.out, self.data_dir, self.device, self.tell = out, data_dir, device, tell
        self.total = len(plan.cells)
        self.missing = plan.missing
        self.seconds: dict[str, float] = {}  # an epoch takes, by recipe
        for run in plan.done.values():
            self._learn(run)

    def run(self) -> None:
        """Trains until nothing is missing. Cells that other processes train meanwhile are left to them."""
        while self.missing:
            before = len(self.missing)
            for cell in list(self.missing):
                self._try(cell)
            if len(self.missing) == before:
                time.sleep(_WAIT)

    def _try(self, cell: Cell) -> None:
        place_of_cell = self.out / cells.FOLDER / cell.name
        try:
            place_of_cell.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(place_of_cell / _LOCK, timeout=0):
                run = cells.finished(self.out, cell) or self._train(cell, place_of_cell)
        except filelock.Timeout:
            return
        except OSError as error:
            raise UserError(f"cannot write in {place_of_cell}: {error.strerror}") from None
        self._learn(run)
        self.missing.remove(cell)
        accuracy = float(cells.result_of(run)["accuracy"])
        self._tell(cell, cell.recipe.epochs, accuracy)

    def _train(self, cell: Cell, place_of_cell: Path) -> Run:
        begun = cells.begun(self.out, cell)

        def watch(event: Event) -> None:
            if isinstance(event, EpochDone):
                self.seconds[cells.recipe_key(cell.recipe)] = event.seconds
                self._tell(cell, event.epoch, None)

        return train(
            None if begun else cell.recipe,
            resume=begun.folder if begun else None,
            data_dir=self.data_dir,
            out=place_of_cell,
            device=self.device,
            observers=[watch],
        )

    def _learn(self, run: Run) -> None:
        seconds = cells.result_of(run).get("seconds")
        if seconds:
            self.seconds[cells.recipe_key(run.recipe)] = seconds / run.recipe.epochs

    def _tell(self, cell: Cell, epoch: int, accuracy: float | None) -> None:
        left: float | None = None
        if self.seconds:
            usual = sum(self.seconds.values()) / len(self.seconds)
            left = sum(
                self.seconds.get(cells.recipe_key(other.recipe), usual)
                * (other.recipe.epochs - (epoch if other == cell else 0))
                for other in self.missing
            )
        done = self.total - len(self.missing)
        self.tell(Progress(done, self.total, cell, epoch, accuracy, left))
