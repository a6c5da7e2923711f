"""Objects are examined without being changed, and a live loop is watched undisturbed."""

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn

import lowres
import lowres.doctor


def state_of(objects):
    """Everything that must not change, as plain values and copies of tensors."""
    model, optimizer = objects["model"], objects["optimizer"]
    return {
        "weights": copy.deepcopy(model.state_dict()),
        "gradients": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "modes": [module.training for module in model.modules()],
        "hooks": [len(module._forward_hooks) for module in model.modules()],
        "optimizer": copy.deepcopy(optimizer.state_dict()),
        "scheduler": copy.deepcopy(objects["scheduler"].state_dict()),
        "torch": torch.get_rng_state().clone(),
        "numpy": np.random.get_state()[1].copy(),  # noqa: NPY002 - what users draw from
        "python": random.getstate(),
        "loader": objects["train_loader"].generator.get_state().clone(),
    }


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def step(objects):
    x, y = next(iter(objects["train_loader"]))
    objects["optimizer"].zero_grad()
    nn.functional.cross_entropy(objects["model"](x), y).backward()
    objects["optimizer"].step()
    objects["scheduler"].step()


@pytest.mark.parametrize("mode", ["fresh", "stepped", "in evaluation mode"])
def test_nothing_of_the_user_s_changes(objects, mode):
    if mode != "fresh":
        step(objects)
    objects["model"].train(mode != "in evaluation mode")
    before = state_of(objects)
    lowres.diagnose(**objects)
    assert equal(before, state_of(objects))


def test_the_next_step_is_the_same_with_and_without_a_visit(objects, twin):
    state = torch.get_rng_state()
    lowres.diagnose(**objects)
    step(objects)
    torch.set_rng_state(state)
    step(twin)
    assert equal(objects["model"].state_dict(), twin["model"].state_dict())


def test_a_watched_loop_is_undisturbed_and_examined(objects, twin):
    state = torch.get_rng_state()
    with lowres.doctor.watch(epochs=30) as doctor:
        for _ in range(3):
            step(objects)
            objects["model"].zero_grad()
    torch.set_rng_state(state)
    for _ in range(3):
        step(twin)
    assert equal(objects["model"].state_dict(), twin["model"].state_dict())
    assert doctor.report is not None
    assert doctor.report.seen["events"]["step"] == 3
    assert doctor.report.problem == ""


def test_a_watched_loop_s_faults_are_named(objects):
    with lowres.doctor.watch() as doctor:
        for x, y in objects["train_loader"]:
            nn.functional.cross_entropy(objects["model"](x).softmax(1), y).backward()
            objects["optimizer"].step()
    assert {"TR521", "LO301"} <= {one.code for one in doctor.report.findings}
    assert torch.nn.functional.cross_entropy.__module__ == "torch.nn.functional"  # all patches are gone


def test_patches_are_gone_after_an_error(objects):
    call = nn.Module.__call__
    doctor = lowres.doctor.watch()
    with pytest.raises(IndexError), doctor:
        step(objects) or [].pop()
    assert nn.Module.__call__ is call
    assert "IndexError" in doctor.report.problem


def test_what_is_no_network_is_told():
    with pytest.raises(lowres.UserError, match=r"wants a torch\.nn\.Module"):
        lowres.diagnose("resnet18")


class Stream(torch.utils.data.IterableDataset):
    """Images one after another, each once."""

    def __init__(self, copied):
        self.left = [(torch.randn(3, 8, 8), i % 10) for i in range(64)]
        self.live = None if copied else (one for one in self.left)  # a generator cannot be copied

    def __iter__(self):
        while self.left:
            yield self.left.pop(0)


@pytest.mark.parametrize("copied", [True, False])
def test_a_stream_loses_nothing(objects, copied):
    stream = Stream(copied)
    objects["train_loader"] = torch.utils.data.DataLoader(stream, batch_size=16, num_workers=2)
    report = lowres.diagnose(**objects)
    assert len(stream.left) == 64
    assert report.seen["train"]["batch_size"] == 16


class Hostile(torch.utils.data.Dataset):
    """Images whose labels and split fail when they are asked for."""

    @property
    def targets(self):
        raise RuntimeError("no labels here")

    @property
    def split(self):
        raise RuntimeError("no split here")

    def __len__(self):
        return 64

    def __getitem__(self, i):
        return torch.randn(3, 8, 8), i % 10


def test_what_fails_when_it_is_asked_is_noted(objects):
    objects["train_loader"] = torch.utils.data.DataLoader(Hostile(), batch_size=16, shuffle=True)
    objects["val_loader"] = torch.utils.data.DataLoader(Hostile(), batch_size=16)
    report = lowres.diagnose(**objects)
    assert any("no labels here" in note for note in report.notes)
    assert report.seen["train"]["images"] == 64


def test_the_watched_loop_never_fails_by_the_doctor(objects, monkeypatch):
    objects["train_loader"] = torch.utils.data.DataLoader(Hostile(), batch_size=16, shuffle=True)
    with lowres.doctor.watch() as doctor:
        step(objects)
    assert any("no labels here" in note for note in doctor.report.notes)

    def fail(*args, **kwargs):
        raise RuntimeError("a fault of the doctor's own")

    monkeypatch.setattr(lowres.doctor.objects, "examine", fail)
    with lowres.doctor.watch() as doctor:
        step(objects)
    assert "could not be examined: RuntimeError: a fault of the doctor's own" in doctor.report.problem
