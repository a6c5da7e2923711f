"""What a batch of 128 CIFAR-sized images costs, for each augmentation of `lowres.data.Batches`; prints JSON.

    python benchmarks/input_pipeline.py --threads 1 > benchmarks/results/input-pipeline.json

The images are random: the time does not depend on what is in them. For comparison, `torchvision` is the usual
pipeline, one image after the other (pad and crop, flip, to tensor, normalise) through a `DataLoader` without
workers.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from lowres.data.augment import NO_AUGMENTATION, Augmentation
from lowres.data.batches import Batches
from lowres.data.draws import draw

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
SIZE = (32, 32)
CASES = {
    "normalise": NO_AUGMENTATION,
    "crop": Augmentation(flip="none"),
    "flip": Augmentation(crop=0),
    "crop + flip": Augmentation(),
    "crop + flip, reflected padding": Augmentation(padding="reflect"),
    "crop + flip + cutout": Augmentation(cutout=8),
    "crop + flip + mixup": Augmentation(mixup=0.2),
    "crop + flip + image-only mixup": Augmentation(mixup=1.4, mixup_beta=0.4, mixup_labels="dominant"),
    "crop + flip + cutmix": Augmentation(cutmix=1.0),
    "crop + flip + jitter": Augmentation(jitter=0.4),
}


class ByImage(Dataset[tuple[Tensor, int]]):
    """The same work done the usual way, image by image."""

    def __init__(self, images: Tensor) -> None:
        self.images = images
        self.transform = v2.Compose(
            [
                v2.RandomCrop(SIZE, padding=4),
                v2.RandomHorizontalFlip(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index]), 0


def median_milliseconds(step: Callable[[], object], repeats: int, device: torch.device) -> float:
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(1e3 * (time.perf_counter() - begun))
    return round(statistics.median(times), 3)


def batch_milliseconds(loader: Iterable[object], batches: int, device: torch.device) -> float:
    iterator: Iterator[object] = iter(loader)
    list(islice(iterator, 3))  # the epoch's draws, and whatever else happens once
    return median_milliseconds(lambda: next(iterator), batches, device)


def measure(options: argparse.Namespace) -> dict[str, object]:
    device = torch.device(options.device)
    torch.set_num_threads(options.threads)
    images = torch.randint(0, 256, (options.images, 3, *SIZE), dtype=torch.uint8).to(device)
    labels = torch.randint(0, 10, (options.images,)).to(device)
    rows = []
    for name, augmentation in CASES.items():
        milliseconds = {}
        for layout in ("contiguous", "channels_last"):
            loader = Batches(
                images,
                labels,
                options.batch_size,
                augmentation=augmentation,
                classes=10,
                mean=MEAN,
                std=STD,
                device=device,
                channels_last=layout == "channels_last",
            )
            milliseconds[layout] = batch_milliseconds(loader, options.batches, device)

        def draws(augmentation: Augmentation = augmentation) -> object:
            shape = {"images": options.images, "batch_size": options.batch_size, "size": SIZE}
            return draw(augmentation, **shape, seed=0, epoch=1, device=device)

        rows.append(
            {
                "augmentation": name,
                "milliseconds_per_batch": milliseconds,
                "milliseconds_of_draws_per_epoch": median_milliseconds(draws, 10, device),
            }
        )
    by_image = DataLoader(ByImage(images.cpu()), options.batch_size, shuffle=True)
    peer = batch_milliseconds(by_image, options.batches // 10 + 1, torch.device("cpu"))
    return {
        "batch_size": options.batch_size,
        "images": options.images,
        "threads": options.threads,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "machine": f"{platform.system()} {platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
        "torch": torch.__version__,
        "statistic": f"median of {options.batches} batches",
        "lowres": rows,
        "torchvision": {"augmentation": "crop + flip", "milliseconds_per_batch": peer},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--batches", type=int, default=200, help="measured for each case")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    print(json.dumps(measure(parser.parse_args()), indent=2))


if __name__ == "__main__":
    main()
