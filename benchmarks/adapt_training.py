"""Adapted against unadapted on CIFAR-10: equal epochs, equal recipe, several seeds; writes JSON.

    LOWRES_DATA_DIR=FOLDER python benchmarks/adapt_training.py --out benchmarks/results/adapt-training.json

torchvision's ResNet-18 and ResNeXt-50 32x4d from scratch, on a stratified part of the training images, scored on
a stratified part of the test images (the same for all; how many stands in the result). Seeds decide the
initial weights and the order of the images, and are paired: both networks of a pair see the same batches. The
difference of each pair is given, with the mean and its 95 % interval (Student's t over seeds).

Each training leaves its result in --work; a run that was killed goes on from there.
"""

import argparse
import dataclasses
import json
import statistics
import sys
from pathlib import Path

import torch
from scipy import stats

from lowres.data import Augmentation, load_dataset
from lowres.recipes import Optimizer, Recipe, Schedule, to_dict
from lowres.runs import manifest
from lowres.runs.brief import brief, part
from lowres.training.events import EpochDone

BUDGETS = {  # training images, epochs, batch size, learning rate, norm that gradients are clipped to
    "torchvision:resnet18": (4_000, 2, 32, 0.02, 0.0),
    # A lower rate: adapted, the deeper network diverges at 0.02. No clipping: it would hold it back as it is.
    "torchvision:resnext50_32x4d": (4_000, 4, 32, 0.01, 0.0),
}
OTHERS = (2_000, 2, 32, 0.02, 0.0)


def recipe(model: str, epochs: int, batch: int, lr: float, clip: float) -> Recipe:
    """The recipe both have: SGD with Nesterov's momentum, a triangle, crops and flips."""
    return Recipe(
        name="adapt-training",
        model=model,
        augmentation=Augmentation(crop=4, padding="zero", flip="random"),
        optimizer=Optimizer(lr=lr, momentum=0.9, nesterov=True, weight_decay=5e-4, decay="kernels"),
        schedule=Schedule("triangle", warmup=0.2),
        epochs=epochs,
        batch_size=batch,
        clip=clip,
    )


def interval(differences: list[float]) -> list[float] | None:
    """Student's 95 % interval of the mean; None for a single difference."""
    if len(differences) < 2:
        return None
    spread = statistics.stdev(differences) / len(differences) ** 0.5
    half = float(stats.t.ppf(0.975, len(differences) - 1)) * spread
    mean = statistics.mean(differences)
    return [mean - half, mean + half]


def show(label: str) -> object:
    def emit(event: object) -> None:
        if isinstance(event, EpochDone):
            print(
                f"{label}: epoch {event.epoch}: training loss {event.train_loss:.3f}, "
                f"{event.images_per_second:.1f} images/s",
                file=sys.stderr,
                flush=True,
            )

    return emit


def main() -> None:
    """Trains, compares, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="where CIFAR-10 lies; by default LOWRES_DATA_DIR or data/")
    parser.add_argument("--models", nargs="*", default=list(BUDGETS))
    parser.add_argument("--images", type=int, help="training images, for all models")
    parser.add_argument("--epochs", type=int, help="for all models")
    parser.add_argument("--test-images", type=int, default=1_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--work", type=Path, default=Path("runs/adapt-training"), help="where finished parts are kept")
    parser.add_argument("--out", type=Path, help="write the JSON here, too")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    whole = load_dataset("cifar10", arguments.data_dir)
    found = {}
    for model in arguments.models:
        images, epochs, batch, lr, clip = BUDGETS.get(model, OTHERS)
        images, epochs = arguments.images or images, arguments.epochs or epochs
        dataset = part(whole, images, arguments.test_images)
        both: dict[str, list[dict]] = {"as it is": [], "adapted": []}
        for seed in range(arguments.seeds):
            for name, results in both.items():
                asked = dataclasses.replace(recipe(model, epochs, batch, lr, clip), adapt=name == "adapted", seed=seed)
                label = f"{model} {name}, seed {seed}"
                file = arguments.work / f"{label}.json".replace(":", "-").replace(" ", "-").replace(",", "")
                result, _ = brief(asked, dataset, device=arguments.device, kept=file, curve=False, emit=show(label))
                print(f"{label}: {result['accuracy']:.2f} % ({result['seconds']:.0f} s)", file=sys.stderr, flush=True)
                results.append(result)
        differences = [a["accuracy"] - b["accuracy"] for a, b in zip(both["adapted"], both["as it is"], strict=True)]
        found[model] = {
            "training_images": images,
            "epochs": epochs,
            "recipe": to_dict(recipe(model, epochs, batch, lr, clip)),
            "accuracies": {name: [r["accuracy"] for r in results] for name, results in both.items()},
            "gain": {"each": differences, "mean": statistics.mean(differences), "interval": interval(differences)},
            "runs": both,
        }
    result = {
        "what": "ImageNet networks on CIFAR-10 from scratch, as they are and adapted; last epoch, "
        f"{arguments.test_images:,} stratified test images, no test-time augmentation",
        "seeds": arguments.seeds,
        "test_images": arguments.test_images,
        "models": found,
        "machine": manifest.describe(torch.device(arguments.device)),
    }
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
