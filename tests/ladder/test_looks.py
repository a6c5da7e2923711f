import itertools

import numpy as np
import pytest

from lowres.ladder.looks import look_sizes, looks_until, next_look, share
from lowres.ladder.statistics import LEVEL, describe, equivalence_test, judge, t_test


@pytest.mark.parametrize("first", [3, 4, 10])
def test_looks_come_at_fixed_sizes_that_grow_by_half(first):
    sizes = list(itertools.islice(look_sizes(first), 12))
    assert sizes[0] == first
    assert all(1.45 * a <= b <= 1.67 * a for a, b in itertools.pairwise(sizes))
    for count in range(first, 60):
        assert looks_until(first, count) == [size for size in sizes if size <= count]
        assert next_look(first, count) == min(size for size in sizes if size > count)


def test_looks_never_spend_more_than_there_is():
    spent = list(itertools.accumulate(share(look) for look in range(1, 1001)))
    assert spent[0] == 0.5
    assert spent[-1] == pytest.approx(1 - 1 / 1001)


def test_a_verdict_counts_all_looks_and_sees_no_more_than_the_last():
    draw = np.random.default_rng(3)
    gains = list(draw.normal(0.25, 0.2, 7))
    (found,) = judge([gains], 0.2, first_look=3)
    assert (found.looks, found.gain.count) == (2, 5)  # at 3 and at 5; the other two wait for the look at 8
    assert found.p == t_test(gains[:5])
    assert found.p_holm == pytest.approx(min(t_test(gains[:3]) * 2, t_test(gains[:5]) * 6))
    expected = min(1.0, equivalence_test(gains[:3], 0.2) * 2, equivalence_test(gains[:5], 0.2) * 6)
    assert found.p_equivalent == pytest.approx(expected)
    whole = describe(gains[:5], LEVEL / 6)
    assert (found.gain.low, found.gain.high) == (whole.low, whole.high)
    (once,) = judge([gains[:5]], 0.2)
    assert (once.looks, once.p_holm) == (0, found.p)
    assert once.gain.low > found.gain.low


def test_a_verdict_stays_when_seeds_are_added():
    draw = np.random.default_rng(0)
    for _ in range(200):
        gains = list(draw.normal(0.2, 0.2, 18))
        words = [judge([gains[:count]], 0.2, first_look=3)[0].word for count in (3, 5, 8, 12, 18)]
        first = next((i for i, word in enumerate(words) if word == "pays"), len(words))
        assert set(words[first:]) <= {"pays"}


def test_fewer_seeds_than_the_first_look_takes_have_no_verdict():
    (found,) = judge([[0.5, 0.51, 0.49, 0.5]], 0.2, first_look=5)
    assert found.verdict == "no verdict below 5 seeds"
    (found,) = judge([[0.5, 0.51]], 0.2, first_look=2)
    assert found.verdict == "no verdict below 3 seeds"


def test_missing_seeds_are_those_to_the_look_that_has_the_power():
    draw = np.random.default_rng(1)
    gains = list(draw.normal(0.1, 0.3, 8))
    (found,) = judge([gains], 0.2, first_look=3)
    assert found.word == "undecided"
    assert found.more + 8 in itertools.islice(look_sizes(3), 20)
    (once,) = judge([gains], 0.2)
    assert found.more > once.more  # looks have their price
