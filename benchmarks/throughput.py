"""Images per second of ResNet-20 at batch 128: the ordinary loop beside ours, in one run, in turns.

The ordinary loop is the one most replications have: images as PIL through torchvision's transforms, a DataLoader
with two workers, fp32, SGD, `loss.item()` at every step. Both train on the same images. Rounds alternate, so that
a machine whose speed drifts slows both; the ratio is taken round by round.

    LOWRES_DATA_DIR=FOLDER python benchmarks/throughput.py --out benchmarks/results/throughput.json
"""

import argparse
import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision import transforms

from lowres.data import Dataset, load_dataset
from lowres.recipes import load_recipe
from lowres.runs import manifest
from lowres.runs.build import build
from lowres.training.device import place
from lowres.training.optimizers import set_rate

BATCH = 128
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


class Pictures(TorchDataset):
    """What `torchvision.datasets.CIFAR10` does with its arrays: an image becomes a PIL picture, then a tensor."""

    def __init__(self, dataset: Dataset) -> None:
        self.pixels = dataset.train.images.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = dataset.train.labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


class Block(nn.Module):
    """The basic block as replications write it, with a 1x1 shortcut where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return F.relu(out)


class ResNet20(nn.Module):
    """ResNet-20 with 1x1 shortcuts, 272,474 parameters, as replications write it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        shapes = [(16, 16, 1)] * 3 + [(16, 32, 2)] + [(32, 32, 1)] * 2 + [(32, 64, 2)] + [(64, 64, 1)] * 2
        self.layers = nn.Sequential(*(Block(*shape) for shape in shapes))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        out = self.layers(F.relu(self.bn1(self.conv1(x))))
        return self.linear(F.avg_pool2d(out, 8).flatten(1))


def ordinary(dataset: Dataset, device: torch.device) -> Iterator[dict[str, float]]:
    """The ordinary loop, a step each time it is asked: seconds of the step, and of waiting for its batch."""
    loader = DataLoader(Pictures(dataset), batch_size=BATCH, shuffle=True, num_workers=2)
    model = ResNet20().to(device).train()
    assert sum(p.numel() for p in model.parameters()) == 272_474
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    total = correct = 0
    started = time.perf_counter()
    while True:
        for x, y in loader:
            loaded = time.perf_counter()
            x, y = x.to(device), y.to(device)
            optimizer.zero_grad()
            logits = model(x)
            loss = F.cross_entropy(logits, y)
            loss.backward()
            optimizer.step()
            total += loss.item()
            correct += logits.max(1)[1].eq(y).sum().item()
            now = time.perf_counter()
            yield {"step": now - started, "input": loaded - started}
            started = time.perf_counter()


def ours(dataset: Dataset, name: str, precision: str, device: str) -> Iterator[dict[str, float]]:
    """Our loop's step on a recipe, timed likewise."""
    recipe = dataclasses.replace(load_recipe(name), precision=precision, held_out=0)
    built = build(recipe, dataset, place(recipe, device))
    learner, placement = built.learner, built.placement
    learner.model.train()
    total = torch.zeros((), device=placement.device)
    correct = torch.zeros((), device=placement.device)
    started = time.perf_counter()
    while True:
        for x, y in built.batches:
            loaded = time.perf_counter()
            set_rate(learner.optimizers, 0.5)
            for optimizer in learner.optimizers:
                optimizer.zero_grad(set_to_none=True)
            with placement.autocast():
                logits = learner.model(x)
            loss = F.cross_entropy(logits.float(), y)
            loss.backward()
            for optimizer in learner.optimizers:
                optimizer.step()
            total += loss.detach() * len(y)
            correct += (logits.detach().argmax(1) == y).sum()
            if placement.device.type == "cuda":
                torch.cuda.synchronize()
            now = time.perf_counter()
            yield {"step": now - started, "input": loaded - started}
            started = time.perf_counter()


def measure(loop: Iterator[dict[str, float]], steps: int) -> dict[str, float]:
    """A round: images per second, and the share of the time that input took."""
    seen = [next(loop) for _ in range(steps)]
    seconds = sum(s["step"] for s in seen)
    return {"images_per_second": steps * BATCH / seconds, "input_share": sum(s["input"] for s in seen) / seconds}


def main() -> None:
    """Measures and prints, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="where CIFAR-10 lies; by default LOWRES_DATA_DIR or data/")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=30, help="steps in a round")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="write the JSON here, too")
    arguments = parser.parse_args()
    dataset = load_dataset("cifar10", arguments.data_dir)
    device = place(load_recipe("resnet20-cosine"), arguments.device).device
    contenders: dict[str, Callable[[], Iterator[dict[str, float]]]] = {
        "ordinary loop, fp32": lambda: ordinary(dataset, device),
        "lowres resnet20-cosine": lambda: ours(dataset, "resnet20-cosine", "auto", arguments.device),
        "lowres resnet20-quick": lambda: ours(dataset, "resnet20-quick", "auto", arguments.device),
        "lowres resnet20-cosine, fp32": lambda: ours(dataset, "resnet20-cosine", "fp32", arguments.device),
    }
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
    for number in range(arguments.rounds + 1):
        for name, begin in contenders.items():
            # A fresh loop each round: the ordinary one's workers rest while others are measured.
            loop = begin()
            measure(loop, 5)
            found = measure(loop, arguments.steps)
            del loop
            if number:  # the first round warms up
                rounds[name].append(found)
            print(f"round {number}: {name}: {found['images_per_second']:.0f} images/s", file=sys.stderr)
    reference = rounds["ordinary loop, fp32"]
    result = {
        "what": "ResNet-20, CIFAR-10, batch 128, training steps with input",
        "rounds": arguments.rounds,
        "steps_per_round": arguments.steps,
        "contenders": {
            name: {
                "images_per_second": [round(r["images_per_second"], 1) for r in found],
                "median": statistics.median(r["images_per_second"] for r in found),
                "input_share_median": statistics.median(r["input_share"] for r in found),
                "times_the_ordinary_loop": {
                    key: function(
                        [a["images_per_second"] / b["images_per_second"] for a, b in zip(found, reference, strict=True)]
                    )
                    for key, function in (("median", statistics.median), ("min", min), ("max", max))
                },
            }
            for name, found in rounds.items()
        },
        "machine": manifest.describe(device),
    }
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
