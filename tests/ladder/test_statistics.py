import math

import numpy as np
import pytest
from scipy import stats

from lowres.errors import UserError
from lowres.ladder.statistics import (
    describe,
    equivalence_test,
    flip_test,
    holm,
    judge,
    power,
    seeds_needed,
    t_test,
)

BEFORE = [91.21, 91.40, 91.02, 91.33, 91.28]
AFTER = [91.60, 91.52, 91.31, 91.75, 91.49]
GAINS = [a - b for a, b in zip(AFTER, BEFORE, strict=True)]


def test_the_t_test_is_scipys():
    reference = stats.ttest_rel(AFTER, BEFORE)
    assert t_test(GAINS) == pytest.approx(reference.pvalue, rel=1e-10)
    low, high = reference.confidence_interval(0.95)
    gain = describe(GAINS)
    assert (gain.low, gain.high) == (pytest.approx(low), pytest.approx(high))
    assert gain.deviation == pytest.approx(np.std(GAINS, ddof=1))


def test_more_seeds_than_are_ever_asked_for_are_told_as_that():
    (judged,) = judge([[2.3, -2.3, 0.0]], margin=0.05)
    assert judged is not None
    assert judged.verdict == "undecided: 10,000+ more seeds (margin)"


def test_values_that_are_all_alike_have_no_interval():
    alike = describe([-1.0, -1.0, -1.0])
    assert (alike.mean, alike.deviation, alike.low, alike.high) == (-1.0, 0.0, None, None)
    (judged,) = judge([[-1.0, -1.0, -1.0]], margin=0.5)
    assert judged is not None
    assert (judged.word, judged.gain.low) == ("undecided", None)


@pytest.mark.parametrize("count", [2, 5, 9])
def test_the_flip_test_is_scipys(count):
    values = np.random.default_rng(count).normal(0.5, 1, count)
    reference = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=2**count)
    assert flip_test(values) == pytest.approx(reference.pvalue)


def test_differences_that_tie_but_for_rounding_tie():
    before, after = (91.25, 91.10, 91.33, 91.02), (91.45, 90.90, 91.34, 91.02)
    assert flip_test([b - a for a, b in zip(before, after, strict=True)]) == flip_test([0.2, -0.2, 0.01, 0.0]) == 1.0


def test_the_flip_test_beyond_what_can_be_counted_is_near_the_t_test():
    values = list(np.random.default_rng(0).normal(0.4, 1, 40))
    assert flip_test(values) == pytest.approx(t_test(values), abs=0.01)
    assert flip_test(values) == flip_test(values)


def test_the_equivalence_test_is_two_of_scipys():
    margin = 0.6
    above = stats.ttest_1samp(GAINS, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(GAINS, margin, alternative="less").pvalue
    assert equivalence_test(GAINS, margin) == pytest.approx(max(above, below), rel=1e-9)


def test_holm_against_a_published_example():
    # The worked example of Wikipedia's "Holm-Bonferroni method": the first and the fourth are rejected at 5 %.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_power_and_seeds_against_published_tables():
    # Cohen 1988 and G*Power, two-sided paired t-test at 5 %: d = 0.5 takes 34 pairs for 80 %, d = 0.8 takes 15.
    assert seeds_needed(0.5, 1.0) == 34
    assert seeds_needed(0.8, 1.0) == 15
    assert seeds_needed(-0.8, 1.0) == 15
    assert power(34, 0.5, 1.0) == pytest.approx(0.8078, abs=1e-4)
    assert power(5, 0.0, 1.0) == pytest.approx(0.05)
    assert power(50, 100.0, 1.0) == 1.0
    assert seeds_needed(0.0001, 1.0) == 10_000


@pytest.mark.parametrize(
    ("gains", "word"),
    [
        ([0.5, 0.6, 0.55, 0.52, 0.58], "pays"),
        ([-0.5, -0.6, -0.55, -0.52, -0.58], "harms"),
        ([0.01, -0.02, 0.03, 0.0, -0.01], "no difference"),
        ([0.4, -0.5, 0.9, 0.1, -0.6], "undecided"),
        ([0.5, 0.5], "no verdict"),
        ([0.5], "no verdict"),
        ([0.0, 0.0, 0.0], "undecided"),
        ([0.0, 0.0, 0.0, 0.0, 0.0], "no difference"),
        ([0.5, 0.5, 0.5], "undecided"),  # no spread, no t-test: three signs alike are no proof
    ],
)
def test_verdicts(gains, word):
    (found,) = judge([gains], 0.2)
    assert found.word == word


@pytest.mark.parametrize("later", [[-40.0, 0.49], [-1.5, -0.9]])
def test_a_later_look_cannot_turn_a_gain_into_a_loss(later):
    first = [0.50, 0.52, 0.51]
    assert [judge([gains], 0.2, first_look=3)[0].word for gains in (first, first + later)] == ["pays", "pays"]
    losses = [-gain for gain in first + later]
    assert judge([losses], 0.2, first_look=3)[0].word == "harms"


def test_a_rung_is_judged_by_what_holms_correction_leaves():
    gains = [0.5, 0.2, 0.6, 0.3, 0.4]
    (alone,) = judge([gains], 0.1)
    assert alone.word == "pays"
    noise = [[0.1 * sign * k for k, sign in zip(range(1, 6), signs, strict=True)] for signs in ((1, -1, 1, -1, 1),) * 9]
    first = judge([gains, *noise], 0.1)[0]
    assert first.p == alone.p
    assert first.p_holm == pytest.approx(10 * alone.p)


def test_the_missing_seeds_say_what_they_are_for():
    far, near = judge([[0.9, -0.3, 0.8, -0.2]], 0.2)[0], judge([[0.4, -0.5, 0.3, -0.1]], 0.2)[0]
    assert (far.effect, near.effect) == ("observed", "margin")
    assert far.more == seeds_needed(far.gain.mean, far.gain.deviation) - 4
    assert near.more == seeds_needed(0.2, near.gain.deviation) - 4
    assert near.verdict == f"undecided: {near.more} more seeds (margin)"


def test_too_little_is_no_verdict_but_keeps_its_figures():
    one, two, none = judge([[0.3], [0.3, 0.5], []], 0.2)
    assert (one.gain.mean, one.p, one.verdict) == (0.3, None, "no verdict below 3 seeds")
    assert two.gain.mean == pytest.approx(0.4)
    assert none is None
    with pytest.raises(UserError, match="no figures"):
        describe([])


@pytest.mark.parametrize("margin", [0, -1, math.nan, math.inf])
def test_a_margin_that_is_none_is_refused(margin):
    with pytest.raises(UserError, match="margin"):
        judge([[1.0, 2.0, 3.0]], margin)


def test_calibration_in_small():
    """The full simulation is benchmarks/ladder_calibration.py."""
    draw = np.random.default_rng(0)
    repeats, wrong, covered = 300, 0, 0
    for _ in range(repeats):
        accuracies = draw.normal(90, 0.2, (8, 5))
        found = judge([list(gain) for gain in np.diff(accuracies, axis=0)], 0.2)
        wrong += any(one.word in ("pays", "harms") for one in found)
        covered += sum(one.gain.low <= 0 <= one.gain.high for one in found)
    assert wrong / repeats <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / repeats)
    assert covered / (7 * repeats) == pytest.approx(0.95, abs=0.02)
    seen = sum(judge([list(draw.normal(2.0, 1.0, 5))], 0.2)[0].word == "pays" for _ in range(repeats))
    assert seen / repeats == pytest.approx(power(5, 2.0, 1.0), abs=0.05)
