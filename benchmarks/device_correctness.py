"""Whether another device learns what the CPU learns: the golden losses of twenty steps there, against the CPU's here.

The first loss must be the same but for rounding; after that the last bits grow about threefold a step, so the course of
the twenty is held to a tolerance. Every network of the catalogue's recipes is also run forward, in fp32.

    python benchmarks/device_correctness.py --device cuda --out correctness.json
"""

import argparse
import dataclasses
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from lowres.data import load_dataset
from lowres.models import create_model
from lowres.recipes import Recipe, load_recipe
from lowres.runs import manifest
from lowres.runs.build import build
from lowres.training.device import place
from lowres.training.optimizers import set_rate

STEPS = 20
RECIPES = ("resnet20", "semxresnet20", "resnet20-quick", "speed94")
FIRST, COURSE, LOGITS = 1e-4, 0.06, 1e-3


def short(name: str) -> Recipe:
    """A recipe on the digits, at 16 pixels, in fp32, in small batches, with gentle rates."""
    recipe = dataclasses.replace(
        load_recipe(name),
        data="digits",
        image_size=16,
        held_out=0,
        batch_size=64,
        epochs=1,
        precision="fp32",
        channels_last=False,
    )
    return dataclasses.replace(recipe, optimizer=dataclasses.replace(recipe.optimizer, lr=0.02, muon_lr=0.005))


def losses(recipe: Recipe, device: str) -> list[float]:
    """Of twenty steps."""
    built = build(recipe, load_dataset("digits"), place(recipe, device))
    plan, learner = built.plan(), built.learner
    found = []
    for i, (x, y) in zip(range(STEPS), built.batches, strict=False):
        set_rate(learner.optimizers, plan.factor(i, STEPS))
        loss = F.cross_entropy(learner.model(x), y, label_smoothing=plan.label_smoothing)
        for optimizer in learner.optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in learner.optimizers:
            optimizer.step()
        found.append(loss.item())
    return found


def forward_difference(name: str, device: torch.device) -> float:
    """The largest difference of a network's logits, relative to their size."""
    recipe = load_recipe(name)
    model = create_model(recipe.model, seed=0, **recipe.model_options).eval()
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        here = model(images)
        there = model.to(device)(images.to(device)).cpu()
    return float((here - there).abs().max() / here.abs().max())


def main() -> None:
    """Compares and writes the JSON; exit code 1 where something is out of its tolerance."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, help="write the JSON here, too")
    asked = parser.parse_args()
    torch.backends.cudnn.allow_tf32 = False  # otherwise convolutions in fp32 have ten bits
    rows: list[dict[str, Any]] = []
    for name in RECIPES:
        recipe = short(name)
        here, there = losses(recipe, "cpu"), losses(recipe, asked.device)
        first = abs(here[0] - there[0])
        course = abs(statistics.fmean(here) - statistics.fmean(there))
        logits = forward_difference(name, torch.device(asked.device))
        passed = first <= FIRST and course <= COURSE and logits <= LOGITS
        rows.append({"recipe": name, "passed": passed, "first": first, "course": course, "logits": logits})
        rows[-1] |= {"losses_cpu": here, "losses_device": there}
    result = {
        "tolerances": {"first": FIRST, "course": COURSE, "logits": LOGITS},
        "rows": rows,
        "machine": manifest.describe(torch.device(asked.device)),
    }
    text = json.dumps(result, indent=1)
    print(text)
    if asked.out:
        asked.out.write_text(text + "\n")
    sys.exit(0 if all(row["passed"] for row in rows) else 1)


if __name__ == "__main__":
    main()
