"""Runs a peer's own training loop, with a network of ours in it, and prints how fast it went, as JSON.

A process of its own for `compare.py`: the peer's code is read from a checkout beside the repository, is run as it
stands, and is left by a hard exit after so many steps. It runs in the current folder, where it finds the data.

    python benchmarks/peers/loop.py pytorch-cifar CHECKOUT --network resnet20 --steps 30
    python benchmarks/peers/loop.py timm CHECKOUT --network resnet20 --steps 30
"""

import argparse
import io
import json
import os
import re
import runpy
import sys
import time
import types
from pathlib import Path
from typing import Any

import torch
from data import accept_batches

from lowres.models import create_model

WARM_UP = 5


class Watch:
    """Takes the time of each step and ends the process after the last."""

    def __init__(self, steps: int, batch: int, out: int) -> None:
        self.steps = steps
        self.batch = batch
        self.out = out
        self.times: list[float] = []

    def tick(self, *_: Any) -> None:
        self.times.append(time.perf_counter())
        if len(self.times) <= self.steps + WARM_UP:
            return
        seconds = self.times[-1] - self.times[WARM_UP]
        figures = {"images_per_second": self.steps * self.batch / seconds, "steps": self.steps}
        os.write(self.out, (json.dumps(figures) + "\n").encode())
        os._exit(0)  # past the peer's loaders and whatever it would do at its end


class Log(io.TextIOBase):
    """Takes the time whenever the peer's log tells of a step."""

    def __init__(self, watch: Watch, pattern: str, onward: Any) -> None:
        self.watch = watch
        self.onward = onward
        self.pattern = re.compile(pattern)

    def write(self, text: str) -> int:
        if self.pattern.search(text):
            self.watch.tick()
        self.onward.write(text)
        return len(text)


def pytorch_cifar(checkout: Path, network: str, watch: Watch) -> None:
    """The loop most people copy: `main.py`. Its display needs a terminal and is replaced by our watch."""
    sys.path.insert(0, str(checkout))
    display: Any = types.ModuleType("utils")
    display.progress_bar = watch.tick
    sys.modules["utils"] = display
    import models  # the checkout's

    models.SimpleDLA = lambda: create_model(network, seed=0)  # whatever network its main builds
    sys.argv = ["main.py"]
    runpy.run_path(str(checkout / "main.py"), run_name="__main__")


def timm(checkout: Path, network: str, watch: Watch, device: str) -> None:
    """`train.py` of the checkout, with our network in its registry."""
    sys.path.insert(0, str(checkout))
    from timm.models import register_model

    def ours(pretrained: bool = False, **_: Any) -> torch.nn.Module:
        model = create_model(network, seed=0)
        model.num_classes = 10
        return model

    ours.__name__ = f"ours_{network}"
    register_model(ours)
    sys.stderr = Log(watch, r"Train: \d+ \[", sys.stderr)
    words = f"--dataset torch/cifar10 --data-dir data --model ours_{network} --num-classes 10 --img-size 32 --epochs 1"
    words += (
        f" --batch-size {watch.batch} --lr 0.1 --workers 2 --log-interval 1 --device {device} --output {Path.cwd()}"
    )
    words += " --mean 0.4914 0.4822 0.4465 --std 0.247 0.2435 0.2616 --warmup-epochs 0 --no-prefetcher"
    sys.argv = ["train.py", *words.split()]
    runpy.run_path(str(checkout / "train.py"), run_name="__main__")


def main() -> None:
    """Runs one loop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=("pytorch-cifar", "timm"))
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--network", default="resnet20")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--batch", type=int, default=128, help="as the peer's loop has it")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    asked = parser.parse_args()
    # Results go where standard output went; what the peer prints goes to standard error.
    accept_batches()
    watch = Watch(asked.steps, asked.batch, os.dup(1))
    os.dup2(2, 1)
    if asked.peer == "timm":
        timm(asked.checkout.resolve(), asked.network, watch, asked.device)
    else:
        pytorch_cifar(asked.checkout.resolve(), asked.network, watch)


if __name__ == "__main__":
    main()
