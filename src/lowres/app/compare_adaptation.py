"""`lowres compare-adaptation`: an ImageNet network as it is, adapted, and behind enlarged images, at equal budget."""

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from rich.table import Table

from lowres.app.command import console, parse, print_json
from lowres.data import load_dataset
from lowres.errors import UserError
from lowres.runs.brief import part
from lowres.runs.roads import Road, require_imagenet, roads


@dataclass(frozen=True)
class CompareAdaptation:
    """Trains an ImageNet network as it is, adapted and behind enlarged images, from scratch and from weights.

    Recipe, images and their order are the same for all. Results are kept in --out: a comparison that was stopped
    goes on. Nothing is downloaded unless --download is given.

        lowres compare-adaptation resnet18 --epochs 2 --images 4000 --seeds 3

    Attributes:
        model: An ImageNet network: resnet18, torchvision:resnet18, timm:resnet50d.
        epochs: Of each training.
        images: Training images at most, a stratified part; 0: all.
        test_images: Test images at most, a stratified part; 0: all.
        seeds: Trainings of each.
        batch_size: Images in a step.
        upsample: Side in pixels that images are enlarged to.
        stem: How pretrained stem kernels become smaller: crop or resize.
        weights: A file of weights to begin with, in place of the library's.
        download: Let the library get its weights.
        data: cifar10, cifar100, digits or folder:PATH.
        data_dir: Where the data lie; by default data/ here, or the folder that LOWRES_DATA_DIR names.
        image_size: Side of the images in pixels; folders of images are resized to it.
        out: Where results are kept.
        device: auto, cpu, cuda, cuda:1, mps.
        json: Print JSON.
    """

    model: tyro.conf.Positional[str]
    epochs: int = 2
    images: int = 4_000
    test_images: int = 2_000
    seeds: int = 1
    batch_size: int = 64
    upsample: int = 128
    stem: Literal["crop", "resize"] = "resize"
    weights: Path | None = None
    download: bool = False
    data: str = "cifar10"
    data_dir: Path | None = None
    image_size: int = 32
    out: Path = Path("adaptations")
    device: str = "auto"
    json: bool = False


def run(words: Sequence[str]) -> int:
    """Compares; see `CompareAdaptation`."""
    asked = parse(CompareAdaptation, words, "compare-adaptation")
    if asked.seeds < 1:
        raise UserError(f"--seeds is {asked.seeds}, but must be at least 1")
    model = require_imagenet(asked.model)
    whole = load_dataset(asked.data, asked.data_dir, image_size=asked.image_size)
    found = roads(
        model,
        part(whole, min(asked.images, len(whole.train)), min(asked.test_images, len(whole.test))),
        epochs=asked.epochs,
        seeds=asked.seeds,
        batch_size=asked.batch_size,
        upsample=asked.upsample,
        stem=asked.stem,
        weights=asked.weights,
        download=asked.download,
        out=asked.out,
        device=asked.device,
        tell=lambda line: print(line, file=sys.stderr, flush=True),
    )
    if asked.json:
        print_json([{**dataclasses.asdict(road), "mean": road.mean} for road in found])
    else:
        _show(found)
    return 0


def _show(found: list[Road]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("road", "begins with", "test, %", "each seed", "parameters", "multiply-adds", "images/s", "minutes"):
        table.add_column(name, justify="left" if name in ("road", "begins with") else "right", overflow="fold")
    for road in found:
        if road.mean is None:
            table.add_row(road.name, road.weights, "-", "", "", "", "", "")
            continue
        table.add_row(
            road.name,
            road.weights,
            f"{road.mean:.2f}",
            " ".join(f"{accuracy:.2f}" for accuracy in road.accuracies),
            f"{road.parameters:,}",
            f"{(road.multiply_adds or 0) / 1e6:,.1f} M",
            f"{road.images_per_second or 0:,.0f}",
            f"{road.seconds / 60:.1f}",
        )
    out = console()
    out.print(table)
    for reason in dict.fromkeys(road.reason for road in found if road.reason):
        names = ", ".join(f"{road.name} ({road.weights})" for road in found if road.reason == reason)
        out.print(f"not trained: {names}: {reason}")
