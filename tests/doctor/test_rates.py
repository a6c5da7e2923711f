"""The rate over a whole training."""

import pytest
import torch
from torch.optim import lr_scheduler

from lowres.doctor.rates import simulate


def optimizer(rate=0.1):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], rate)


def test_a_cosine_ends_near_zero_and_the_schedule_itself_is_left():
    scheduler = lr_scheduler.CosineAnnealingLR(optimizer(), 100)
    rates = simulate(scheduler, 100, "epoch")
    assert rates.peak == pytest.approx(0.1)
    assert rates.last < 1e-3
    assert rates.at(0.5) == pytest.approx(0.05, abs=0.002)
    assert (rates.rises(), rates.constant, scheduler.last_epoch) == (0, False, 0)


def test_a_horizon_too_short_climbs_again():
    assert simulate(lr_scheduler.CosineAnnealingLR(optimizer(), 60), 100, "epoch").rises() == 1


def test_one_cycle_rises_first_and_that_is_no_climbing():
    rates = simulate(lr_scheduler.OneCycleLR(optimizer(), 0.4, total_steps=1000), 1000, "batch")
    assert rates.peak == pytest.approx(0.4, rel=0.01)
    assert (rates.rises(), rates.error) == (0, "")


def test_one_cycle_beyond_its_total_says_so():
    assert "step 51" in simulate(lr_scheduler.OneCycleLR(optimizer(), 0.4, total_steps=50), 100, "batch").error


def test_warm_up_then_cosine():
    one = optimizer()
    parts = [lr_scheduler.LinearLR(one, 0.1, total_iters=10), lr_scheduler.CosineAnnealingLR(one, 90)]
    rates = simulate(lr_scheduler.SequentialLR(one, parts, milestones=[10]), 100, "epoch")
    assert (rates.rises(), rates.peak) == (0, pytest.approx(0.1))
    assert rates.last < 0.003
