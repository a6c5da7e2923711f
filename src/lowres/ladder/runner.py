"""Climbs a ladder: has the cells trained that are missing, goes on with begun ones, keeps all results.

May be killed at any moment and started again; every finished cell stays, and the table is the same in the end.
"""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from lowres import recipes
from lowres.data import Dataset, content_checksum, load_dataset
from lowres.errors import UserError
from lowres.files import expanded, write_json, write_text
from lowres.ladder import cells
from lowres.ladder.crew import BAD_INPUT, FAILED, Crew, Errand, Failed
from lowres.ladder.definition import Ladder
from lowres.ladder.duration import seconds_of
from lowres.ladder.foreman import Foreman, Progress
from lowres.ladder.here import Here
from lowres.ladder.rounds import next_round
from lowres.ladder.statistics import FEWEST
from lowres.ladder.table import Table, from_json, make_table
from lowres.runs.build import build
from lowres.training.device import memory_told, place

RESULTS = "results.json"
MARKDOWN = "table.md"
CSV = "table.csv"
PICTURE = "ladder.png"

Workers = int | Literal["auto"] | None


class CellsFailed(UserError):
    """Cells that could not be trained; all others were, and are in the table.

    Attributes:
        table: Of the ladder without them; it is written as well.
        failures: One a cell.
        code: Exit code: 2 where one of them is bad input, 1 where training went wrong.
    """

    def __init__(self, table: Table, failures: Sequence[Failed]) -> None:
        self.table, self.failures = table, tuple(failures)
        self.code = BAD_INPUT if any(failure.code == BAD_INPUT for failure in failures) else FAILED
        first = failures[0]
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        super().__init__(f"rung {first.cell.rung!r}, seed {first.cell.seed} failed{more}: {first.reason}")


class Unkept(UserError):
    """The table could not be written, or not in every form. All cells are kept: the same command writes it.

    Attributes:
        table: That was to be written.
    """

    def __init__(self, table: Table, error: OSError) -> None:
        self.table = table
        where, why = error.filename2 or error.filename or "the table", error.strerror or error
        super().__init__(f"cannot write {where}: {why}; every cell is kept, and the same command writes the table")


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
    workers: Workers = None,
    on: Literal["local", "ray"] = "local",
    address: str = "",
    cpus: int = 1,
    gpus: float = 0.0,
    until_decided: bool = False,
    budget: str | float | None = None,
) -> Table:
    """Runs a ladder, or what is missing of it, and judges its rungs.

    >>> table = climb(load_ladder("seresnet20").resized(epochs=8), seeds=3)  # doctest: +SKIP
    >>> table.rows[-1].comparison.verdict  # doctest: +SKIP
    'pays'

    Args:
        ladder: What to run; `Ladder.resized` shortens it.
        seeds: How many (0, 1, ...), or which. Where seeds were added to this ladder before, those stay in its table.
        margin: The difference worth telling, in points of accuracy.
        data_dir: Where the data lie, as for `lowres.train`.
        out: The folder of all ladders: cells lie in `cells/`, each ladder's table in a folder of its own.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        merge: Folders of other machines, whose finished cells are taken over first.
        tell: Told whenever something has happened to a cell.
        workers: Cells that are trained at once. None: one, in this process; of a Ray cluster, as many as it holds.
            "auto": on CPUs one a core where memory allows.
        on: "local": in processes of this machine. "ray": on a Ray cluster.
        address: Of the cluster, HOST:PORT; "auto": the one that runs on this machine; "": one is started here.
        cpus: Of a cell on the cluster; it computes with as many threads.
        gpus: Of a cell on the cluster: 0.25 puts four cells on one.
        until_decided: Add seeds where they help most, until every rung is decided or the budget is spent.
        budget: For that, from now: seconds, or "90s", "10m", "2h". No cell is begun that would not be done in time.

    Returns:
        The table, which is also written, with its picture, into the ladder's folder.

    Raises:
        UserError: Bad input.
        CellsFailed: A `UserError`, too: there are cells that cannot be trained; all others are kept.
        Unkept: A `UserError`, too: the table cannot be written; the cause of `CellsFailed` where both are so.
        KeyboardInterrupt: Stopped by the user; every finished epoch is kept.
    """
    wanted = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    first_look, deadline = _patience(seeds, until_decided, budget)
    out = expanded(out)
    before = read_table(ladder, out)  # refuses results of other recipes
    if before and before.first_look:  # looks that were taken stay taken, and so do the seeds that they added
        first_look = min(first_look or before.first_look, before.first_look)
    nothing: dict[str, dict[int, float]] = {rung.name: {} for rung in ladder.rungs}
    make_table(ladder, nothing, wanted, margin, first_look)  # a bad margin is told at once
    _require_place(out)
    for source in merge:
        cells.merge(ladder, wanted, expanded(source), out, every_seed=first_look is not None)
    further = _finished_before(ladder, wanted, out) if first_look is not None else {}
    plan = cells.plan(ladder, wanted, out, further)

    def judged(plan: cells.Plan) -> Table:
        return make_table(ladder, plan.accuracies(), wanted, margin, first_look, plan.machines())

    failures: list[Failed] = []
    if plan.missing or (until_decided and next_round(judged(plan), lambda rung: 1.0)):
        errand = Errand(out, None if data_dir is None else expanded(data_dir), device)
        here = _try_out(ladder, errand, away=on == "ray")
        cells.refuse_other_images(plan.done.values(), here)
        with _crew(errand, ladder, workers, on, address, cpus, gpus) as crew:
            foreman = Foreman(out, crew, tell, deadline)
            foreman.run(plan)
            plan = cells.plan(ladder, wanted, out, further)
            while until_decided:
                cost = {cell.rung: foreman.seconds(cell) or 1.0 for cell in plan.cells}
                barred = {(cell.rung, cell.seed) for cell in (*foreman.failures, *foreman.late)}
                more = next_round(judged(plan), cost.__getitem__, crew.hands, barred)
                if not more:
                    break
                for rung, seed in more:
                    further[rung].add(seed)
                foreman.run(cells.plan(ladder, wanted, out, further))
                plan = cells.plan(ladder, wanted, out, further)
            failures = list(foreman.failures.values())
    table = judged(plan)
    unkept: Unkept | None = None
    try:
        keep_table(table, out)
    except OSError as error:
        unkept = Unkept(table, error)
    if failures:
        raise CellsFailed(table, failures) from unkept
    if unkept is not None:
        raise unkept
    return table


def _require_place(out: Path) -> None:
    """Looks, before anything is trained, whether results can be kept.

    Raises:
        UserError: They cannot.
    """
    places = (out.absolute(), *out.absolute().parents)
    there = next((one for one in places if one.exists()), None)
    if there is None:  # a drive that is not there
        raise UserError(f"cannot keep a ladder in {out}: there is no {places[-1]}; name another folder with --out")
    reason = "" if os.access(there, os.W_OK) else "cannot be written"
    reason = reason if there.is_dir() else "is a file"
    if reason:
        raise UserError(f"cannot keep a ladder in {out}: {there} {reason}; name another folder with --out")


def _patience(
    seeds: int | Sequence[int], until_decided: bool, budget: str | float | None
) -> tuple[int | None, float | None]:
    """Seeds of the first look, and until when cells are begun; None and None for a ladder with fixed seeds."""
    if until_decided != (budget is not None):
        raise UserError("--until-decided and --budget belong together: --until-decided --budget 2h")
    if not until_decided or budget is None:
        return None, None
    if not isinstance(seeds, int):
        raise UserError(f"the seeds are {list(seeds)}, but a ladder that adds seeds needs their number to begin with")
    return max(seeds, FEWEST), time.monotonic() + seconds_of(budget)


def _finished_before(ladder: Ladder, seeds: Sequence[int], out: Path) -> dict[str, set[int]]:
    """Seeds with a result that earlier sittings added; those without one may not be needed any more."""
    plan = cells.plan(ladder, seeds, out, cells.seeds_there(ladder, out))
    done = [plan.cells[index] for index in plan.done]
    return {rung.name: {cell.seed for cell in done if cell.rung == rung.name} for rung in ladder.rungs}


def _crew(errand: Errand, ladder: Ladder, workers: Workers, on: str, address: str, cpus: int, gpus: float) -> Crew:
    if on == "ray":
        from lowres.ladder.cluster import Cluster

        return Cluster(errand, address, None if workers == "auto" else workers, cpus, gpus)
    if address or (cpus, gpus) != (1, 0.0):
        raise UserError("--address, --cpus and --gpus are of a cluster: give --on ray as well")
    if workers is None or workers == 1:
        return Here(errand)
    from lowres.ladder.cores import workers_here
    from lowres.ladder.pool import Pool

    kind = place(ladder.base, errand.device).device.type
    count = workers_here(kind) if workers == "auto" else workers
    return Here(errand) if count == 1 else Pool(errand, count, kind)


def folder_of(ladder: Ladder, out: Path) -> Path:
    """Where a ladder's table and picture lie: of each length and data set its own."""
    data = Path(ladder.data.removeprefix("folder:")).name
    return out / f"{ladder.name}-{data}-{ladder.epochs}-epochs".replace(" ", "-")


def keep_table(table: Table, out: Path) -> Path:
    """Writes the table as JSON, Markdown and CSV, and its picture; returns their folder."""
    from lowres.ladder.picture import draw_ladder

    folder = folder_of(table.ladder, out)
    write_json(folder / RESULTS, table.to_json())  # first: all else can be made of it
    write_text(folder / MARKDOWN, table.to_markdown())
    write_text(folder / CSV, table.to_csv())
    draw_ladder(table, folder / PICTURE)
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


def _try_out(ladder: Ladder, errand: Errand, away: bool) -> dict[cells.Data, str]:
    """Builds every rung once, so that one that cannot be trained says so at the start and not after hours.

    Args:
        ladder: Its rungs.
        errand: Data and device.
        away: Whether cells are trained on other machines, whose devices are not known here.

    Returns:
        Checksums of the images.
    """
    datasets: dict[cells.Data, Dataset] = {}
    for rung, recipe in zip(ladder.rungs, ladder.recipes(), strict=True):
        which = cells.data_of(recipe)
        if which not in datasets:
            datasets[which] = load_dataset(recipe.data, errand.data_dir, image_size=recipe.image_size)
        try:
            trial = replace(recipe, compile=False, precision="fp32" if away else recipe.precision)
            placement = place(trial, "cpu" if away else errand.device)
            with memory_told(placement.device):
                build(trial, datasets[which], placement)
        except UserError as error:
            raise UserError(f"ladder {ladder.name!r}, rung {rung.name!r}: {error}") from None
    return {which: content_checksum(dataset) for which, dataset in datasets.items()}
