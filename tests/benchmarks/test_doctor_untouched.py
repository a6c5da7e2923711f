"""Over the bench's clean programs: a visit of the doctor changes nothing of their objects, bit for bit."""

import copy
import random
from pathlib import Path

import capture
import numpy as np
import pytest
import torch
from bases import BASES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from programs import all_programs, write

import lowres
from lowres.data import Dataset, Images


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("programs")
    write(folder, [one for one in all_programs() if one.name.startswith("clean-") and one.name.endswith("-plain")])
    return folder


@pytest.fixture(scope="module", params=list(BASES))
def objects(request, programs, tmp_path_factory):
    """The objects that a clean program makes: network, loader, optimizer, schedule, loss."""
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (300, 3, 32, 32), dtype=torch.uint8, generator=draw)
    images = Images(pixels, torch.arange(300) * 7 % 10, tuple("abcdefghij"))
    home = tmp_path_factory.mktemp("torch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(capture, "_dataset", lambda data: Dataset("cifar10", images, images))
        patch.setenv("TORCH_HOME", str(home))
        if request.param == "finetune":
            capture.stand_in_weights(home)
        seen = capture.run(programs / f"clean-{request.param}-plain.py", Path("nowhere"))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(seen.optimizer, 10)
    return seen, schedule


def state_of(seen, schedule):
    model, loader = seen.model, seen.loader
    return {
        "tensors": copy.deepcopy(model.state_dict()),
        "buffers": {name: buffer.clone() for name, buffer in model.named_buffers()},
        "gradients": {n: None if p.grad is None else p.grad.clone() for n, p in model.named_parameters()},
        "wanted": {name: p.requires_grad for name, p in model.named_parameters()},
        "modes": {name: module.training for name, module in model.named_modules()},
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules()],
        "identity": [id(p) for p in model.parameters()],
        "optimizer": copy.deepcopy(seen.optimizer.state_dict()),
        "schedule": copy.deepcopy({k: v for k, v in schedule.state_dict().items() if not callable(v)}),
        "loader": [id(loader.dataset), loader.batch_size, loader.num_workers, id(loader.sampler)],
        "torch": torch.get_rng_state().clone(),
        "numpy": np.random.get_state()[1].copy(),  # noqa: NPY002 - what users draw from
        "python": random.getstate(),
    }


def same(a, b):
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


@pytest.mark.slow
@settings(max_examples=1, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**31), steps=st.integers(0, 1), training=st.booleans())
def test_tensors_optimizer_and_generators_are_as_before(objects, seed, steps, training):
    seen, schedule = objects
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - what users draw from
    random.seed(seed)
    for _ in range(steps):
        seen.model.train()
        seen.loss(seen.model(seen.inputs[:8]), seen.labels[:8]).backward()
        seen.optimizer.step()
        schedule.step()
    seen.model.train(training)
    before = state_of(seen, schedule)
    report = lowres.diagnose(
        seen.model, seen.loader, seen.loader, optimizer=seen.optimizer, scheduler=schedule, loss_fn=seen.loss, epochs=10
    )
    after = state_of(seen, schedule)
    changed = [name for name in before if not same(before[name], after[name])]
    assert changed == []
    assert report.seen["network"]["parameters"] == sum(p.numel() for p in seen.model.parameters())
