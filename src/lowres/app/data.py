"""`lowres data`: fetches data sets, verifies them, shows them."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import tyro
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from lowres import data as datasets
from lowres.app.command import console, parse, print_json
from lowres.errors import UserError, unknown
from lowres.recipes import load_recipe, recipe_entry

SHOWN = 12
"""Images in a row of the contact sheet."""


@dataclass(frozen=True)
class Fetch:
    """Downloads a data set's official archive, verified; an interrupted download goes on where it stopped.

        lowres data fetch cifar10

    Attributes:
        name: cifar10 or cifar100.
        data_dir: Where it goes; by default the folder that LOWRES_DATA_DIR names, or data/ here.
        mirror: Addresses of the same file to try first.
    """

    name: tyro.conf.Positional[str]
    data_dir: Path = field(default_factory=lambda: Path(os.environ.get("LOWRES_DATA_DIR") or "data"))
    mirror: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verify:
    """Reads a data set, checks its structure, and compares its files with the published checksums, where there are.

        lowres data verify cifar10 --data-dir ~/data

    Exit code 1 where something differs from the official release.

    Attributes:
        name: cifar10, cifar100, digits or folder:PATH.
        data_dir: Where it lies; by default data/ here, or the folder that LOWRES_DATA_DIR names.
        json: Print JSON.
    """

    name: tyro.conf.Positional[str]
    data_dir: Path | None = None
    json: bool = False


@dataclass(frozen=True)
class Info:
    """Shows a data set: counts, statistics, duplicates, and a contact sheet of images as stored and as augmented.

        lowres data info cifar10 --sheet cifar10.png --recipe resnet20-quick

    Attributes:
        name: cifar10, cifar100, digits or folder:PATH.
        data_dir: Where it lies; by default data/ here, or the folder that LOWRES_DATA_DIR names.
        sheet: Write a contact sheet to this PNG file.
        recipe: Whose augmentation the sheet shows.
        json: Print JSON.
    """

    name: tyro.conf.Positional[str]
    data_dir: Path | None = None
    sheet: Path | None = None
    recipe: str = "resnet20-quick"
    json: bool = False


def run(words: Sequence[str]) -> int:
    """Fetches, verifies or shows; see `Fetch`, `Verify`, `Info`."""
    actions = {"fetch": _fetch, "verify": _verify, "info": _info}
    if not words or words[0] in ("-h", "--help"):
        print(
            "usage: lowres data fetch|verify|info NAME [OPTIONS]\n\n  lowres data fetch cifar10\n\n"
            "`lowres data info --help` and the like say more."
        )
        return 0
    if words[0] not in actions:
        raise unknown("data command", words[0], actions)
    return actions[words[0]](words[1:])


def _fetch(words: Sequence[str]) -> int:
    asked = parse(Fetch, words, "data fetch")
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(asked.name, total=None)
        path = datasets.fetch(
            asked.name,
            asked.data_dir,
            mirrors=asked.mirror,
            progress=lambda done, whole: bar.update(task, completed=done, total=whole),
        )
    print(path)
    return 0


def _verify(words: Sequence[str]) -> int:
    asked = parse(Verify, words, "data verify")
    found = datasets.verify(asked.name, asked.data_dir)
    if asked.json:
        print_json({**vars(found), "files": dict(found.files), "ok": found.ok})
        return 0 if found.ok else 1
    for file, sum_ in found.files.items():
        print(f"{sum_}  {file}")
    print(f"{found.content}  pixels and labels, whatever the layout")
    for warning in found.warnings:
        print(f"warning: {warning}")
    if found.ok:
        published = not found.name.startswith("cifar") or any(sum_.startswith("md5:") for sum_ in found.files.values())
        print(f"{found.name} is whole" + ("" if published else " (nobody published checksums of this layout)"))
    return 0 if found.ok else 1


def _info(words: Sequence[str]) -> int:
    asked = parse(Info, words, "data info")
    recipe_entry(asked.recipe)  # an unknown name is said before anything is read
    found = datasets.info(asked.name, asked.data_dir)
    if asked.sheet is not None:
        _write_sheet(asked)
    if asked.json:
        print_json({**vars(found), "files": dict(found.files)})
        return 0
    out = console()
    out.print(f"{found.name}  {len(found.classes)} classes, images {_times(found.shape)}")
    table = Table("class", "training", "test", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in zip(found.classes, found.train_counts, found.test_counts, strict=True):
        table.add_row(row[0], f"{row[1]:,}", f"{row[2]:,}")
    table.add_row("sum", f"{sum(found.train_counts):,}", f"{sum(found.test_counts):,}")
    out.print(table)
    out.print("mean " + ", ".join(f"{m:.4f}" for m in found.mean), end="; ")
    out.print("deviation " + ", ".join(f"{s:.4f}" for s in found.std) + " (of pixels in [0, 1], training images)")
    out.print(
        f"exact duplicates: {found.train_duplicates} within the training images, "
        f"{found.duplicates} of the test images among them ({found.conflicts} with another label)"
    )
    for warning in found.warnings:
        out.print(f"warning: {warning}")
    if asked.sheet is not None:
        out.print(f"contact sheet: {asked.sheet}")
    return 0


def _write_sheet(asked: Info) -> None:
    recipe = load_recipe(asked.recipe)
    train = datasets.load_dataset(asked.name, asked.data_dir, image_size=recipe.image_size).train
    few = train.subset(range(min(SHOWN, len(train))))
    mean, std = datasets.mean_std(train.images)
    rows = [("as stored", few.images)]
    batches = datasets.Batches(
        few.images,
        few.labels,
        len(few),
        augmentation=recipe.augmentation,
        classes=len(train.classes),
        mean=mean,
        std=std,
        shuffle=False,
    )
    for epoch in range(3):
        for x, _ in batches:
            rows.append((f"as {asked.recipe} sees them, epoch {epoch + 1}", datasets.denormalise(x, mean, std)))
    try:
        datasets.contact_sheet(asked.sheet, rows)  # type: ignore[arg-type]
    except OSError as error:
        raise UserError(f"cannot write {asked.sheet}: {error.strerror}") from None


def _times(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
