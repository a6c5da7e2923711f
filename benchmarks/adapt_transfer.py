"""Whether weights survive the surgery: trained on five classes, adapted, taught the other five; writes JSON.

    LOWRES_DATA_DIR=FOLDER python benchmarks/adapt_transfer.py --out benchmarks/results/adapt-transfer.json

1. torchvision's ResNet-18 as it stands, on CIFAR-10's first five classes (airplane to deer) enlarged to 64 pixels;
   its weights are kept as a file.
2. Its adaptation to 32 pixels on the other five classes (dog to truck) with few images: from scratch, and from
   that file with the stem's kernel cropped, and resized by least squares. Recipe, images and their order are the
   same for the three.

Scored after every epoch on a stratified part of those classes' test images; how many stands in the result. Each
seed has weights of its own to begin with. Each training leaves its result in --work; a run that was killed goes
on from there.
"""

import argparse
import dataclasses
import json
import statistics
import sys
from pathlib import Path

import torch
from adapt_training import interval, recipe, show
from safetensors.torch import save_file

from lowres.data import load_dataset
from lowres.recipes import to_dict
from lowres.runs import manifest
from lowres.runs.brief import brief, of_classes, part

MODEL = "torchvision:resnet18"
STARTS = {"scratch": {}, "crop": {"stem": "crop"}, "resize": {"stem": "resize"}}


def main() -> None:
    """Trains, compares, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="where CIFAR-10 lies; by default LOWRES_DATA_DIR or data/")
    parser.add_argument("--source-images", type=int, default=4_000, help="of the first five classes")
    parser.add_argument("--source-epochs", type=int, default=4)
    parser.add_argument("--images", type=int, default=1_000, help="of the other five classes")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--test-images", type=int, default=1_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--work", type=Path, default=Path("runs/adapt-transfer"), help="where finished parts are kept")
    parser.add_argument("--out", type=Path, help="write the JSON here, too")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    whole = load_dataset("cifar10", arguments.data_dir)
    source = part(of_classes(whole, range(5)), arguments.source_images, arguments.test_images)
    target = part(of_classes(whole, range(5, 10)), arguments.images, arguments.test_images)
    first = dataclasses.replace(recipe(MODEL, arguments.source_epochs, 64), upsample=64)
    second = dataclasses.replace(recipe(MODEL, arguments.epochs, 32), adapt=True)
    sources: list[dict] = []
    found: dict[str, list[dict]] = {name: [] for name in STARTS}
    for seed in range(arguments.seeds):
        weights, kept = arguments.work / f"source-s{seed}.safetensors", arguments.work / f"source-s{seed}.json"
        if not weights.exists():
            kept.unlink(missing_ok=True)
        asked = dataclasses.replace(first, seed=seed)
        label = f"five classes at 64 pixels, seed {seed}"
        result, model = brief(asked, source, device=arguments.device, emit=show(label), kept=kept)
        if model is not None:
            save_file({name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}, weights)
        sources.append(result)
        for name, options in STARTS.items():
            start = {} if name == "scratch" else {"weights": str(weights), **options}
            asked = dataclasses.replace(second, seed=seed, **start)
            label = f"the other five, {name}, seed {seed}"
            file = arguments.work / f"{name}-s{seed}.json"
            result, _ = brief(asked, target, device=arguments.device, emit=show(label), kept=file)
            print(f"{label}: {result['accuracy']:.2f} % ({result['seconds']:.0f} s)", file=sys.stderr, flush=True)
            found[name].append(result)

    def against(name: str, other: str, epoch: int) -> dict:
        pairs = zip(found[name], found[other], strict=True)
        each = [a["history"][epoch]["accuracy"] - b["history"][epoch]["accuracy"] for a, b in pairs]
        return {"each": each, "mean": statistics.mean(each), "interval": interval(each)}

    gains = {
        when: {
            "crop over scratch": against("crop", "scratch", epoch),
            "resize over scratch": against("resize", "scratch", epoch),
            "resize over crop": against("resize", "crop", epoch),
        }
        for when, epoch in (("after the first epoch", 0), ("at the end", -1))
    }

    result = {
        "what": "ResNet-18 trained unadapted at 64 pixels on five classes of CIFAR-10, adapted to 32 pixels and "
        f"trained on the other five; last epoch, {arguments.test_images:,} stratified test images of those five",
        "seeds": arguments.seeds,
        "source": {
            "classes": list(source.classes),
            "images": arguments.source_images,
            "epochs": arguments.source_epochs,
            "accuracies": [r["accuracy"] for r in sources],
            "recipe": to_dict(first),
        },
        "target": {
            "classes": list(target.classes),
            "images": arguments.images,
            "epochs": arguments.epochs,
            "test_images": arguments.test_images,
            "accuracies": {name: [r["accuracy"] for r in results] for name, results in found.items()},
            "by_epoch": {name: [[e["accuracy"] for e in r["history"]] for r in rs] for name, rs in found.items()},
            "recipe": to_dict(second),
        },
        "gain": gains,
        "seconds": sum(r["seconds"] for r in [*sources, *(r for rs in found.values() for r in rs)]),
        "machine": manifest.describe(torch.device(arguments.device)),
    }
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
