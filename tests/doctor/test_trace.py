"""What a recorder writes into its trace, and what the trace tells of it."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from lowres.doctor.frames import Frames
from lowres.doctor.recorder import Recorder


@pytest.fixture
def recorder():
    with Recorder(Frames(Path(__file__).parent)) as recorder:
        yield recorder


def loader(batches=2):
    return DataLoader(torch.randn(2 * batches, 3), batch_size=2)


def test_folds_are_evaluated_on_their_own_loaders(recorder):
    pairs = []
    for _ in range(3):
        network, average = nn.Linear(3, 1), nn.Linear(3, 1)
        pairs.append((loader(), loader()))
        for x in pairs[-1][0]:
            network(x).sum().backward()
        with torch.no_grad():
            for x in pairs[-1][1]:
                network(x)
    shared = loader()
    with torch.no_grad():
        for x in shared:
            average(x)
    assert recorder.trace.train_loader() is pairs[0][0]
    assert recorder.trace.eval_loaders() == [id(pairs[0][1]), id(shared)]


def test_what_follows_a_loader_s_end_is_not_its_own(recorder):
    outer, inner = loader(), loader()
    for _ in outer:
        for _ in inner:
            assert recorder.loader == id(inner)
        assert recorder.loader == id(outer)
    assert (recorder.loader, recorder.batch) == (None, None)
    next(iter(inner))
    assert recorder.loader == id(inner)


@pytest.mark.parametrize("inside", [True, False])
def test_batches_between_steps_and_what_a_schedule_is_stepped_by(recorder, inside):
    from lowres.doctor.rates import accumulation, cadence

    network, images = nn.Linear(3, 1), loader(6)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 5)
    for _ in range(2):
        for number, x in enumerate(images):
            network(x).sum().backward()
            if number % 3 == 2:
                optimizer.step()
                if inside:
                    scheduler.step()
        if not inside:
            scheduler.step()
    assert accumulation(recorder.trace) == 3
    assert cadence(recorder.trace) == ("batch" if inside else "epoch")
