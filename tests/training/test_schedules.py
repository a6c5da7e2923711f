import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lowres.recipes import Schedule
from lowres.training.schedules import factor

SCHEDULES = st.builds(
    Schedule,
    name=st.sampled_from(["multistep", "cosine", "triangle", "constant"]),
    warmup=st.floats(0, 0.9),
    warmup_start=st.floats(0, 1),
    warmup_shape=st.sampled_from(["linear", "constant"]),
    gamma=st.floats(0.01, 1),
    final=st.floats(0, 1),
)


@given(schedule=SCHEDULES, steps=st.integers(1, 5000), data=st.data())
def test_a_factor_is_a_share_of_the_peak(schedule, steps, data):
    step = data.draw(st.integers(0, steps - 1))
    assert 0 <= factor(schedule, step, steps) <= 1


def test_multistep_is_pytorchs():
    steps, parameter = 40, torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    reference = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[20, 30], gamma=0.1)
    ours = Schedule("multistep", milestones=(0.5, 0.75), gamma=0.1)
    for step in range(steps):
        assert factor(ours, step, steps) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        reference.step()


def test_cosine_is_pytorchs_taken_at_the_middle_of_a_step():
    steps, parameter = 50, torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2 * steps)
    for half_step in range(2 * steps):
        if half_step % 2:
            ours = factor(Schedule("cosine"), half_step // 2, steps)
            assert ours == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-6)
        optimizer.step()
        reference.step()


def test_the_papers_warm_up_of_resnet110_is_400_of_64000_steps_at_a_tenth():
    warmed = Schedule("multistep", warmup=400 / 64_000, warmup_start=0.1, warmup_shape="constant")
    factors = [factor(warmed, step, 64_000) for step in (0, 399, 400, 31_999, 32_000, 47_999, 48_000, 63_999)]
    assert factors == pytest.approx([0.1, 0.1, 1, 1, 0.1, 0.1, 0.01, 0.01])


def test_triangle_rises_and_falls_in_straight_lines():
    factors = [factor(Schedule("triangle", warmup=0.2), step, 100) for step in range(100)]
    rises = [b - a for a, b in itertools.pairwise(factors)]
    assert rises[:19] == pytest.approx([1 / 20] * 19)
    assert rises[20:] == pytest.approx([-1 / 80] * 79)
    assert max(factors) == pytest.approx(1, abs=0.03)
    assert 0 < factors[-1] < 0.01


@given(steps=st.integers(10, 2000), warmup=st.floats(0.05, 0.5))
def test_a_longer_run_stretches_the_same_curve(steps, warmup):
    schedule = Schedule("cosine", warmup=warmup)
    short = factor(schedule, steps // 2, steps)
    long = factor(schedule, (steps // 2) * 3 + 1, steps * 3)  # the middle of the same step, cut in three
    assert math.isclose(short, long, abs_tol=1e-9)
