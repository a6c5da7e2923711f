"""How a budget is spent."""

import pytest

from lowres.doctor.proof.plan import SMALLEST, Pace, Proxy, affordable, chained, divided, largest, least, proxy_of

QUICK = Pace(start=1.0, train=0.002, evaluate=0.0008)
HEAVY = Pace(start=1.0, train=0.09, evaluate=0.025)
ALIKE = [1.0, 1.0, 1.0]
COSTS = [1.0, 5.0, 3.0]


@pytest.mark.parametrize("passes", [320, 1000, 5000, 40_000, 1_000_000])
def test_a_proxy_passes_about_as_many_images_as_asked(passes):
    proxy = proxy_of(passes, 50_000, 128, 30)
    assert 0.6 * passes <= proxy.passes <= 1.2 * passes
    assert proxy.images % (proxy.batch or 128) == 0 or proxy.images == 50_000
    assert proxy.epochs <= 30
    assert passes < 5000 or proxy.passes / (proxy.batch or 128) > 30


def test_all_that_is_planned_fits():
    for seconds in (60, 300, 3000):
        order, proxy, seeds = affordable(QUICK, ALIKE, COSTS, seconds, 50_000, 128, 30)
        assert proxy is not None
        assert seeds * sum(pace.seconds(proxy) for pace in chained(QUICK, [1.0] * len(order))) <= seconds


def test_the_costliest_come_first_and_slow_ones_last():
    order, _, _ = affordable(QUICK, [1.0, 3.0, 1.0], COSTS, 3000, 50_000, 128, 30)
    assert order == [2, 0, 1]


def test_what_works_late_comes_after_what_works_at_once():
    order, _, _ = affordable(QUICK, ALIKE, COSTS, 3000, 50_000, 128, 30, [False, True, False])
    assert order == [2, 0, 1]


def test_a_fix_that_makes_all_slow_is_left_out_of_a_small_budget():
    order, proxy, _ = affordable(HEAVY, [1.0, 16.0, 1.0], COSTS, 1100, 50_000, 128, 20)
    assert order == [2, 0]
    assert proxy is not None


def test_a_budget_that_is_too_small_has_no_plan_and_the_least_one_has():
    assert affordable(HEAVY, ALIKE, COSTS, 100, 50_000, 128, 20) == ([], None, 0)
    needed = least(HEAVY, 1.0, 2, 50_000, 128, 20)
    order, proxy, seeds = affordable(HEAVY, ALIKE, COSTS, 2 * needed, 50_000, 128, 20)
    assert order == [1]
    assert (proxy.passes, seeds) == (SMALLEST, 3)


def test_a_longer_training_is_longer_or_none():
    longer = largest([QUICK, QUICK], 200, 4, 50_000, 128, 30, above=2000)
    assert longer is not None
    assert longer.passes > 2000
    assert largest([QUICK, QUICK], 10, 4, 50_000, 128, 30, above=2000) is None


def test_images_are_made_smaller_where_time_is_short_and_no_smaller_than_that():
    # four seeds of six variants in 0.45 of the time: 8.3 s and 75 s each; an image takes 0.1 s
    assert divided(HEAVY, 6, 480, [2, 4]) == 4
    assert divided(HEAVY, 6, 4400, [2, 4]) == 2
    assert divided(HEAVY, 6, 480, []) == 1
    assert divided(QUICK, 6, 480, [2, 4]) == 1


def test_a_proxy_in_words():
    words = [Proxy(2000, 3, 500, divided=by).words for by in (1, 2, 4)]
    assert words[0] == "3 epochs on 2,000 images"
    assert words[1] == "3 epochs on 2,000 images of half the size"
    assert words[2] == "3 epochs on 2,000 images of a quarter of the size"
