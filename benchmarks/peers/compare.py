"""Ours beside peers' own code on the same machine, data and network, in turns; ratios as JSON.

Peers are checkouts that the user made beside the repository; whichever is given is measured. Nothing of theirs is
part of this one.

    python benchmarks/peers/compare.py --pytorch-cifar ../pytorch-cifar --timm ../pytorch-image-models
    python benchmarks/peers/compare.py --record ../airbench/airbench94_muon.py --runs 20

`--pytorch-cifar`, `--timm`: images per second of their training loop and of ours with the same network at batch 128,
each on its own terms (they load and augment as they do, we as we do), in rounds that alternate; the ratio is taken
round by round. `--record`: a GPU script of airbench's kind runs as it stands, then our recipe the same number of
times; accuracy and seconds of each run.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from data import write_batches

from lowres.data import Dataset, load_dataset
from lowres.recipes import load_recipe
from lowres.runs import manifest
from lowres.speed import measure_rate
from lowres.training.allocator import keep_memory
from lowres.training.device import place

HERE = Path(__file__).parent


def children(words: list[str], work: Path, device: str = "auto") -> list[dict[str, Any]]:
    """The JSON lines of one of the processes beside this file, run in the folder with the data.

    Peers that choose the device themselves see no GPU where the CPU is asked for.

    Raises:
        SystemExit: It failed; what it said stands above.
    """
    environment = {**os.environ, **({"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {})}
    done = subprocess.run(
        [sys.executable, *words], cwd=work, stdout=subprocess.PIPE, text=True, check=False, env=environment
    )
    if done.returncode or not done.stdout.strip():
        raise SystemExit(f"{' '.join(words)} failed with code {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def throughput(peers: dict[str, Path], asked: argparse.Namespace, dataset: Dataset, work: Path) -> dict[str, Any]:
    """Images per second, round by round, and the ratio of ours to each peer's."""
    rounds: dict[str, list[float]] = {name: [] for name in (*peers, "lowres")}
    recipe = load_recipe(asked.recipe)
    for number in range(asked.rounds):
        for name, checkout in peers.items():
            words = [str(HERE / "loop.py"), name, str(checkout.resolve()), "--network", recipe.model]
            words += ["--steps", str(asked.steps)]
            rounds[name].append(children(words, work, asked.device)[0]["images_per_second"])
        rounds["lowres"].append(measure_rate(recipe, asked.device, asked.seconds, dataset).images_per_second)
        print(f"round {number + 1}: { ({name: round(r[-1]) for name, r in rounds.items()}) }", file=sys.stderr)
    ratios = {
        name: [ours / theirs for ours, theirs in zip(rounds["lowres"], rounds[name], strict=True)] for name in peers
    }
    return {
        "network": recipe.model,
        "images_per_second": rounds,
        "times_the_peer": {
            name: {"median": statistics.median(r), "min": min(r), "max": max(r)} for name, r in ratios.items()
        },
    }


def records(scripts: list[Path], asked: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Accuracy and seconds of every run of each script and of our recipe, and how much longer each script takes."""
    found: dict[str, Any] = {}
    for script in scripts:
        words = [str(HERE / "record.py"), str(script.resolve()), "--runs", str(asked.runs)]
        found[script.name] = children(words, work)
    out = work / "ours.json"
    words = [str(HERE.parent / "time_to_accuracy.py"), asked.record_recipe, "--runs", str(asked.runs)]
    words += ["--data-dir", str(work / "data"), "--folder", str(work / "runs"), "--out", str(out), "--minutes", "1000"]
    words += ["--device", asked.device]
    subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)
    group = json.loads(out.read_text())["runs"][0]
    found["lowres " + asked.record_recipe] = [
        {"accuracy": a, "seconds": s} for a, s in zip(group["accuracies"], group["seconds"], strict=True)
    ]
    means = {
        name: {key: statistics.fmean(run[key] for run in runs) for key in ("accuracy", "seconds")}
        for name, runs in found.items()
    }
    ours = means["lowres " + asked.record_recipe]["seconds"]
    return {
        "runs": found,
        "means": means,
        "times_our_seconds": {name: mean["seconds"] / ours for name, mean in means.items()},
    }


def main() -> None:
    """Measures what was given and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pytorch-cifar", type=Path, help="checkout with main.py and models/")
    parser.add_argument("--timm", type=Path, help="checkout with train.py")
    parser.add_argument("--record", type=Path, action="append", default=[], help="a speed-run script; may be repeated")
    parser.add_argument("--recipe", default="resnet20-cosine", help="ours for --pytorch-cifar and --timm")
    parser.add_argument("--record-recipe", default="speed94", help="ours for --record")
    parser.add_argument("--runs", type=int, default=20, help="of each speed-run script")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=30, help="of a peer's loop in a round")
    parser.add_argument("--seconds", type=float, default=10.0, help="of our loop in a round")
    parser.add_argument("--data-dir", type=Path, help="where CIFAR-10 lies; by default LOWRES_DATA_DIR or data/")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, help="write the JSON here, too")
    asked = parser.parse_args()
    peers = {"pytorch-cifar": asked.pytorch_cifar, "timm": asked.timm}
    peers = {name: checkout for name, checkout in peers.items() if checkout}
    if not peers and not asked.record:
        parser.error("give at least one of --pytorch-cifar, --timm and --record")
    keep_memory()
    dataset = load_dataset("cifar10", asked.data_dir)
    result: dict[str, Any] = {"machine": manifest.describe(place(load_recipe(asked.recipe), asked.device).device)}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write_batches(dataset, work / "data")
        (work / "cifar10").mkdir()  # airbench's scripts keep their own copy in there
        for path in (work / "data").iterdir():
            (work / "cifar10" / path.name).symlink_to(path)
        if peers:
            result["throughput"] = throughput(peers, asked, dataset, work)
        if asked.record:
            result["records"] = records(asked.record, asked, work)
    text = json.dumps(result, indent=1)
    print(text)
    if asked.out:
        asked.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
