import dataclasses

import numpy as np
import pytest
from scipy import stats

from lowres.ladder import Ladder, Rung
from lowres.ladder.rounds import decision, next_round
from lowres.ladder.statistics import LEVEL, judge
from lowres.ladder.table import make_table
from lowres.recipes import Recipe

LADDER = Ladder("three", Recipe(), (Rung("a"), Rung("b", {"epochs": 10}), Rung("c", {"epochs": 11})))
FLAT = [90.0, 90.3, 89.8]
SURE = [93.0, 93.3, 92.81]  # pays at once, against FLAT
NEAR = [93.6, 93.5, 93.2]  # against SURE: +0.6, +0.2, +0.39


def table(*figures, first_look=3):
    accuracies = {rung.name: dict(enumerate(values)) for rung, values in zip(LADDER.rungs, figures, strict=True)}
    return make_table(LADDER, accuracies, range(first_look), 0.2, first_look)


def equal(rung):
    return 1.0


def test_an_undecided_rung_and_the_one_below_are_brought_to_the_next_look():
    found = table(FLAT, SURE, NEAR)
    assert [row.comparison.word for row in found.rows[1:]] == ["pays", "undecided"]
    assert next_round(found, equal) == {(rung, seed) for rung in "bc" for seed in (3, 4)}


def test_only_what_is_missing_is_asked_for():
    found = table(FLAT, [*SURE, 93.1, 93.2, 93.3], NEAR)
    assert next_round(found, equal) == {("c", 3), ("c", 4)}


def test_nothing_is_asked_for_where_all_is_decided_or_cannot_be():
    assert next_round(table(FLAT, SURE, [96.01, 96.32, 95.8]), equal) == frozenset()
    found = table(FLAT, SURE, NEAR)
    assert next_round(found, equal, barred={("c", 4)}) == frozenset()


def test_the_likelier_decision_comes_first_then_the_cheaper_one():
    noise, strong = [90.9, 89.2, 90.5], [91.5, 90.3, 91.9]  # c against b: nearly proved; b against a: not at all
    found = table(FLAT, noise, strong)
    assert [row.comparison.word for row in found.rows[1:]] == ["undecided", "undecided"]
    assert next_round(found, equal) == {(rung, seed) for rung in "bc" for seed in (3, 4)}
    dear = {"a": 1.0, "b": 1.0, "c": 1e6}
    assert next_round(found, dear.__getitem__) == {(rung, seed) for rung in "ab" for seed in (3, 4)}
    assert next_round(found, equal, hands=5) == {(rung, seed) for rung in "abc" for seed in (3, 4)}


def test_fewer_seeds_than_the_first_look_are_brought_to_it():
    found = table(FLAT[:1], SURE[:1], NEAR[:1])
    assert next_round(found, equal, hands=9) == {(rung, seed) for rung in "abc" for seed in (1, 2)}


@pytest.mark.parametrize(("mean", "deviation"), [(0.5, 0.4), (0.0, 0.1), (0.0, 1.0), (3.0, 0.01)])
def test_the_chance_of_a_decision_is_what_simulation_gives(mean, deviation):
    (compared,) = judge([[mean - deviation, mean, mean + deviation]], 0.2)
    draw = np.random.default_rng(0)
    values = draw.normal(mean, deviation, (4000, 12))
    seen = stats.ttest_1samp(values, 0.0, axis=1).pvalue <= LEVEL
    below = stats.ttest_1samp(values, 0.2, axis=1, alternative="less").pvalue <= LEVEL
    above = stats.ttest_1samp(values, -0.2, axis=1, alternative="greater").pvalue <= LEVEL
    expected = max(np.mean(seen), np.mean(below & above))
    assert decision(compared, 12, LEVEL) == pytest.approx(expected, abs=0.03)


def test_gains_without_spread_are_decided_for_sure():
    (compared,) = judge([[0.5, 0.5, 0.5]], 0.2)
    assert decision(dataclasses.replace(compared), 5, LEVEL) == 1.0
