"""How cost grows: seconds and memory of training against images, width and depth, each point in its own process.

An epoch over 5,000 to 50,000 images; a step of a network at several widths; a step of ResNets of several depths. For
each series the exponent of its growth is fitted: 1 where twice as much work takes twice as long. Work is the number of
images, or the network's multiply-adds in training, which a width enters squared.

    LOWRES_DATA_DIR=FOLDER python benchmarks/scaling.py --out scaling.json --picture scaling.png
"""

import argparse
import dataclasses
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lowres.data import load_dataset
from lowres.recipes import load_recipe
from lowres.runs import manifest
from lowres.runs.build import build
from lowres.speed import measure_rate
from lowres.speed.ceilings import synchronise
from lowres.training.allocator import keep_memory
from lowres.training.device import place
from lowres.training.loop import train_epoch

SERIES: dict[str, tuple[float, ...]] = {
    "images": (5_000, 10_000, 20_000, 50_000),
    "width": (0.25, 0.5, 1.0, 1.5, 2.0),
    "depth": (20, 32, 44, 56, 110),
}
RECIPE = load_recipe("resnet20-cosine")


def epoch_over(images: int, asked: argparse.Namespace) -> dict[str, float]:
    """An epoch of ResNet-20 over so many images, after one over a few that warms up."""
    dataset = load_dataset("cifar10", asked.data_dir)
    recipe = dataclasses.replace(RECIPE, held_out=0, epochs=1)
    placement = place(recipe, asked.device)
    for count in (2 * recipe.batch_size, images):
        part = dataclasses.replace(dataset, train=dataset.train.subset(torch.arange(count)))
        built = build(recipe, part, placement)
        started = time.perf_counter()
        train_epoch(built.learner, built.batches, built.plan(), lambda event: None)
        synchronise(placement.device)
    return {"seconds": time.perf_counter() - started, "work": images}


def step_of(series: str, value: float, asked: argparse.Namespace) -> dict[str, float]:
    """Steps of a network of that width or depth, on random images; seconds for each image."""
    if series == "width":
        recipe = dataclasses.replace(load_recipe("speed94"), model_options={"width": value}, batch_size=128)
    else:
        recipe = dataclasses.replace(RECIPE, model=f"resnet{value:.0f}")
    rate = measure_rate(recipe, asked.device, asked.seconds)
    return {"seconds": 1 / rate.images_per_second, "work": rate.multiply_adds_per_image}


def point(series: str, value: float, asked: argparse.Namespace) -> dict[str, float]:
    """One measurement, with the memory that this process needed at its peak."""
    keep_memory()
    found = epoch_over(int(value), asked) if series == "images" else step_of(series, value, asked)
    device = place(RECIPE, asked.device).device
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device)
    else:  # kilobytes on Linux, bytes on macOS
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {series: value, **found, "peak_bytes": peak}


def exponent(points: list[dict[str, float]]) -> float:
    """The slope of the seconds over the work, both as logarithms."""
    work, seconds = (np.log([p[key] for p in points]) for key in ("work", "seconds"))
    return float(np.polyfit(work, seconds, 1)[0])


def draw(series: dict[str, Any], path: Path) -> None:
    """Seconds, and memory, against each of the three."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    rows = figure.subplots(2, len(series), sharex="col")
    for column, (name, found) in enumerate(series.items()):
        x = [p[name] for p in found["points"]]
        unit = "s an epoch" if name == "images" else "ms an image"
        factor = 1 if name == "images" else 1000
        rows[0][column].plot(x, [factor * p["seconds"] for p in found["points"]], "o-")
        rows[0][column].set_title(f"time ~ work^{found['exponent']:.2f}")
        rows[0][column].set_ylabel(unit)
        rows[1][column].plot(x, [p["peak_bytes"] / 1e9 for p in found["points"]], "o-")
        rows[1][column].set(xlabel=name, ylabel="peak memory, GB")
        for row in rows:
            row[column].set_ylim(bottom=0)
            row[column].set_xlim(left=0)
    figure.savefig(path, dpi=80)


def main() -> None:
    """Measures each point in its own process and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="where CIFAR-10 lies; by default LOWRES_DATA_DIR or data/")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each width and depth")
    parser.add_argument("--series", nargs="*", choices=tuple(SERIES), default=list(SERIES))
    parser.add_argument("--most", type=float, default=float("inf"), help="leave out larger values of a series")
    parser.add_argument("--point", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="write the JSON here, too")
    parser.add_argument("--picture", type=Path)
    asked = parser.parse_args()
    if asked.point:
        print(json.dumps(point(asked.point[0], float(asked.point[1]), asked)))
        return
    series: dict[str, Any] = {}
    for name in asked.series:
        points = []
        for value in (v for v in SERIES[name] if v <= asked.most):
            words = [sys.executable, __file__, "--point", name, str(value), "--device", asked.device]
            words += ["--seconds", str(asked.seconds)]
            words += ["--data-dir", str(asked.data_dir)] if asked.data_dir else []
            done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
            points.append(json.loads(done.stdout))
            print(f"{name} {value:g}: {points[-1]}", file=sys.stderr, flush=True)
        series[name] = {"points": points, "exponent": exponent(points)}
    result = {"series": series, "machine": manifest.describe(place(RECIPE, asked.device).device)}
    text = json.dumps(result, indent=1)
    print(text)
    if asked.out:
        asked.out.write_text(text + "\n")
    if asked.picture:
        draw(series, asked.picture)


if __name__ == "__main__":
    main()
