"""The losses of the first steps, step by step, against stored ones: equal bit for bit on the kinds of machine that
stored theirs. A change that claims to leave the numbers alone must leave these alone.

Training amplifies the last bits about threefold a step, so elsewhere only the first loss can be the same; the course
of the twenty is held to within what other processors and threads made of it.

`python tests/runs/test_golden_losses.py` stores those of this machine, beside the others'.
"""

import dataclasses
import json
import platform
import statistics
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from lowres.data import load_dataset
from lowres.recipes import Recipe, load_recipe
from lowres.runs.build import Built, build
from lowres.training.device import place
from lowres.training.optimizers import set_rate

STORED = Path(__file__).with_name("golden_losses.json")
STEPS = 20
NAMES = ("resnet20", "semxresnet20", "resnet20-quick")


def golden_recipe(name: str) -> Recipe:
    """A recipe of the catalogue on the digits, in fp32, in small batches and with a run's length of 20 steps."""
    short = dataclasses.replace(
        load_recipe(name), data="digits", held_out=0, batch_size=64, epochs=1, precision="fp32", channels_last=False
    )
    return dataclasses.replace(short, optimizer=dataclasses.replace(short.optimizer, lr=0.02, muon_lr=0.005))


def losses(name: str) -> list[float]:
    """Training losses of 20 steps, with the recipe's own schedule over them."""
    recipe = golden_recipe(name)
    built = build(recipe, load_dataset("digits"), place(recipe, "cpu"))
    found = [step(built, x, y, i) for i, (x, y) in enumerate(built.batches) if i < STEPS]
    assert len(found) == STEPS
    return found


def step(built: Built, x: torch.Tensor, y: torch.Tensor, i: int) -> float:
    learner, plan = built.learner, built.plan()
    set_rate(learner.optimizers, plan.factor(i, STEPS))
    loss = F.cross_entropy(learner.model(x), y, label_smoothing=plan.label_smoothing)
    for optimizer in learner.optimizers:
        optimizer.zero_grad()
    loss.backward()
    for optimizer in learner.optimizers:
        optimizer.step()
    return loss.item()


def machine() -> dict[str, object]:
    """What decides the last bits: the processor's kind, the threads, the library."""
    kinds = ("vendor_id", "cpu family", "model", "stepping", "flags")
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    facts = dict(line.partition(":")[::2] for line in lines if line.partition("\t")[0] in kinds)
    return {
        "processor": {key.strip(): value.strip() for key, value in facts.items() if "flags" not in key},
        "avx512": "avx512f" in facts.get("flags\t\t", ""),
        "platform": platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def stored() -> list[dict]:
    return json.loads(STORED.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_losses_are_the_stored_ones(name):
    found = losses(name)
    for record in stored():
        golden = record["losses"][name]
        if record["machine"] == machine():
            assert found == golden
        else:
            assert found[0] == pytest.approx(golden[0], abs=1e-5)
            assert statistics.fmean(found) == pytest.approx(statistics.fmean(golden), abs=0.06)


@pytest.mark.slow
def test_twice_the_same_on_any_machine():
    assert losses("resnet20-quick") == losses("resnet20-quick")


if __name__ == "__main__":
    torch.set_num_threads(1)  # as conftest.py has it
    others = [record for record in stored() if record["machine"] != machine()]
    here = {"machine": machine(), "losses": {name: losses(name) for name in NAMES}}
    STORED.write_text(json.dumps([*others, here], indent=1) + "\n")
