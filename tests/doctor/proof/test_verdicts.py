"""Verdicts on fixes: what pays, what is withdrawn, and what a short training may not withdraw."""

import random

import pytest

from lowres.doctor.findings import Finding, Fix
from lowres.doctor.proof.plan import Proxy
from lowres.doctor.proof.verdicts import Without, compared, decided, differences_of, step_of

PROXY = Proxy(1000, 3, 500)
GROWN = Without(training=90.0, figure=70.0, chance=10.0)
YOUNG = Without(training=40.0, figure=39.0, chance=10.0)
BLIND = Without(training=14.0, figure=13.0, chance=10.0)
GAINS = [5.0, 6.0, 5.5, 6.2]
LOSSES = [-5.0, -6.0, -5.5, -6.2]


def finding(kind="C07", grade="warning"):
    return Finding("XX101", "a fault", grade, 4.0, {}, None, Fix("mend it"), "a book", kind)


@pytest.mark.parametrize(
    ("differences", "kind", "grade", "without", "word"),
    [
        (GAINS, "C07", "warning", YOUNG, "pays"),
        (GAINS, "C05", "warning", BLIND, "pays"),
        (LOSSES, "C07", "warning", YOUNG, "withdrawn"),
        (LOSSES, "C07", "warning", BLIND, "too early"),
        (LOSSES, "C05", "warning", YOUNG, "too early"),
        (LOSSES, "C05", "warning", GROWN, "withdrawn"),
        (LOSSES, "C02", "warning", YOUNG, "too early"),
        (LOSSES, "C02", "warning", GROWN, "withdrawn"),
        (LOSSES, "C11", "error", GROWN, "kept"),
        ([0.0] * 6, "C24", "error", GROWN, "undecided"),
        ([0.0] * 9, "C24", "error", GROWN, "kept"),
        ([-8.0, 9.0, 1.0, -3.0], "C07", "warning", GROWN, "undecided"),
        ([5.0, 6.0, 5.0], "C07", "warning", GROWN, "undecided"),
        ([], "C07", "warning", GROWN, "undecided"),
    ],
)
def test_verdicts(differences, kind, grade, without, word):
    step = step_of(finding(kind, grade), differences, 4, PROXY, without)
    assert step.word == word
    assert step.verdict
    assert (step.gain is None) == (not differences)


def test_decided_is_what_excludes_zero():
    assert decided(GAINS, 4)
    assert not decided(GAINS[:3], 4)
    assert not decided([-8.0, 9.0, 1.0, -3.0], 4)


def test_longer_trainings_share_the_error_with_those_before():
    draw = random.Random(0)
    trainings = [[[draw.gauss(0, 2) for _ in range(4)] for _ in range(3)] for _ in range(300)]
    said = [[compared(one, 4, k).word for k, one in enumerate(ones, start=1)] for ones in trainings]
    wrong = sum("pays" in words or "harms" in words for words in said)
    assert 0 < wrong < 0.05 * len(trainings)
    assert decided(GAINS, 4, 3)
    assert not decided([3.0, 5.0, 4.5, 6.0], 4, 3)
    assert decided([3.0, 5.0, 4.5, 6.0], 4)


def test_pairs_share_a_seed():
    figures = {((), 0, PROXY): 50.0, ((), 1, PROXY): 51.0, (("A",), 1, PROXY): 53.0, (("A",), 2, PROXY): 99.0}
    assert differences_of(figures, (), ("A",), PROXY) == [2.0]
