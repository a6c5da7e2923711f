"""What a ladder's figures prove: intervals, paired tests, Holm's correction, equivalence, and missing seeds.

With looks (`lowres.ladder.looks`), p-values are those of the look that speaks loudest, divided by what that look may
spend: the smallest of them is below any level u with a probability of u at most if nothing is there, however it was
decided which comparison to look at again. Holm's correction needs no more than that.

Pure functions of accuracies in percent. Student's t throughout, through SciPy's special functions; the exact
sign-flip test stands beside it, which assumes no normal distribution.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from lowres.errors import UserError
from lowres.ladder.looks import look_sizes, looks_until, share

LEVEL = 0.05
POWER = 0.8
FEWEST = 3  # seeds, for a verdict
_EXACT = 16  # seeds up to which all sign flips are tried
_FLIPS = 2**16  # tried at random beyond
_MOST = 10_000  # seeds that are ever asked for

Word = Literal["pays", "harms", "no difference", "undecided", "no verdict"]
Effect = Literal["observed", "margin"]


@dataclass(frozen=True)
class Sample:
    """Mean, standard deviation and 95 % t-interval of the mean; None where there are too few values.

    Values that are all alike have no interval: figures on so many images are steps apart, and a spread that falls
    between them was not measured.
    """

    count: int
    mean: float
    deviation: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Comparison:
    """A rung against the one below, on the seeds that both have.

    Attributes:
        gain: Paired differences: their mean, deviation and 95 % interval, in points.
        p: Of the paired t-test, two-sided.
        p_flip: Of the sign-flip permutation test, two-sided; exact up to 16 seeds.
        p_holm: `p`, corrected over the looks so far and over the ladder (Holm 1979).
        p_equivalent: Of two one-sided t-tests against the margin (Schuirmann 1987), corrected over the looks.
        margin: The difference that is worth telling, in points.
        word: The verdict.
        more: Seeds that an undecided rung needs besides those it has; None where nobody can say.
        effect: The difference `more` is for: the observed one, or the margin where that is larger.
        looks: How often it was looked at, where seeds are added until it is decided; else 0.
        fewest: Seeds below which there is no verdict.
    """

    gain: Sample
    p: float | None
    p_flip: float | None
    p_holm: float | None
    p_equivalent: float | None
    margin: float
    word: Word
    more: int | None = None
    effect: Effect | None = None
    looks: int = 0
    fewest: int = FEWEST

    @property
    def verdict(self) -> str:
        """The verdict in words."""
        match self.word:
            case "no difference":
                return f"no difference of at least {self.margin:g}"
            case "no verdict":
                return f"no verdict below {self.fewest} seeds"
            case "undecided" if self.more is not None:
                seeds = f"{self.more:,}{'+' if self.more >= _MOST else ''} more seed{'s' if self.more > 1 else ''}"
                return f"undecided: {seeds} ({'observed gain' if self.effect == 'observed' else 'margin'})"
        return self.word


def describe(values: Sequence[float], level: float = LEVEL) -> Sample:
    """Mean, deviation and t-interval.

    >>> describe([1.0, 2.0, 3.0]).mean
    2.0

    Args:
        values: At least one.
        level: 1 - the interval's coverage.

    Raises:
        UserError: There are none.
    """
    if not values:
        raise UserError("no figures, no mean")
    count, mean = len(values), math.fsum(values) / len(values)
    if count < 2:
        return Sample(count, mean, None, None, None)
    deviation = _deviation(values)
    if deviation == 0:
        return Sample(count, mean, deviation, None, None)
    half = float(special.stdtrit(count - 1, 1 - level / 2)) * deviation / math.sqrt(count)
    return Sample(count, mean, deviation, mean - half, mean + half)


def paired_t(differences: Sequence[float], against: float = 0.0) -> float:
    """The t statistic of paired differences; infinite where they are all alike and not `against`."""
    mean = math.fsum(differences) / len(differences) - against
    error = _deviation(differences) / math.sqrt(len(differences))
    return mean / error if error else math.copysign(math.inf, mean) if mean else 0.0


def t_test(differences: Sequence[float]) -> float:
    """Two-sided p-value of the paired t-test; at least two differences.

    Where all differences are alike, there is no spread to measure with: the sign-flip test stands in.
    """
    if _deviation(differences) == 0:
        return flip_test(differences)
    return float(2 * special.stdtr(len(differences) - 1, -abs(paired_t(differences))))


def flip_test(differences: Sequence[float]) -> float:
    """Two-sided p-value of the sign-flip permutation test (Fisher 1935): no change means either sign is as likely.

    >>> flip_test([1.0, 2.0, 3.0])
    0.25
    """
    values = np.asarray(differences, dtype=float)
    observed = abs(values.sum()) - 1e-9 * np.abs(values).max()  # of figures near 100, ties differ by rounding
    if len(values) <= _EXACT:
        return float(np.mean(np.abs(_all_signs(len(values)) @ values) >= observed))
    return float((1 + np.sum(np.abs(_some_signs(len(values)) @ values) >= observed)) / (1 + _FLIPS))


@functools.lru_cache(maxsize=_EXACT)
def _all_signs(count: int) -> npt.NDArray[np.float64]:
    bits = np.arange(2**count)[:, None] >> np.arange(count) & 1
    return np.where(bits, -1.0, 1.0)


@functools.lru_cache(maxsize=2)
def _some_signs(count: int) -> npt.NDArray[np.float64]:
    return np.random.default_rng(0).choice((-1.0, 1.0), (_FLIPS, count))


def equivalence_test(differences: Sequence[float], margin: float) -> float:
    """P-value of two one-sided t-tests: small where the mean lies surely within +-margin (Schuirmann 1987).

    Where all differences are alike, a sign test stands in: each would lie beyond the margin as often as not.
    """
    if _deviation(differences) == 0:
        return 0.5 ** len(differences) if abs(differences[0]) < margin else 1.0
    freedom = len(differences) - 1
    below = special.stdtr(freedom, paired_t(differences, margin))
    above = special.stdtr(freedom, -paired_t(differences, -margin))
    return float(max(below, above))


def holm(values: Sequence[float]) -> list[float]:
    """P-values corrected for their number (Holm 1979): the family errs with at most the level.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected = [0.0] * len(values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        largest = max(largest, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = largest
    return corrected


def power(count: int, effect: float, deviation: float, level: float = LEVEL) -> float:
    """Probability that the two-sided paired t-test sees a true difference, by the noncentral t distribution.

    Args:
        count: Pairs, at least two.
        effect: The true difference.
        deviation: Of the differences, above zero.
        level: Of the test.
    """
    shift = abs(effect) / deviation * math.sqrt(count)
    critical = float(special.stdtrit(count - 1, 1 - level / 2))
    missed = float(special.nctdtr(count - 1, shift, critical) - special.nctdtr(count - 1, shift, -critical))
    return 1.0 if math.isnan(missed) else min(1.0, max(0.0, 1 - missed))  # SciPy gives up far in the tail


def seeds_needed(effect: float, deviation: float, level: float = LEVEL, wanted: float = POWER) -> int:
    """The least number of pairs with which the paired t-test sees a difference with the wanted power.

    >>> seeds_needed(1.0, 1.0)
    10

    Args:
        effect: The true difference, not zero.
        deviation: Of the differences.
        level: Of the test.
        wanted: Its power.
    """
    if deviation == 0:
        return max(FEWEST, math.ceil(1 - math.log2(level)))  # what the sign-flip test takes
    low, high = FEWEST - 1, FEWEST
    while power(high, effect, deviation, level) < wanted:
        if high >= _MOST:
            return _MOST
        low, high = high, min(2 * high, _MOST)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle, effect, deviation, level) >= wanted else (middle, high)
    return high


@dataclass(frozen=True)
class _Looked:
    """A comparison at its last look.

    Attributes:
        values: What that look sees.
        looks: How many there were; 0 where there are none but the one at the end.
        level: What this look may spend of the level.
        p: Corrected over the looks, of the one that says most; 1 where there was no look yet.
        direction: Above zero where that look sees a gain, below where it sees a loss.
        p_equivalent: The same.
        fewest: Values of the first look.
    """

    values: Sequence[float]
    looks: int
    level: float
    p: float
    direction: float
    p_equivalent: float
    fewest: int


def _look(values: Sequence[float], margin: float, level: float, first_look: int | None) -> _Looked:
    fewest = max(FEWEST, first_look or 0)
    if len(values) < fewest:
        return _Looked(values, 0, level, 1.0, 0.0, 1.0, fewest)
    if first_look is None:
        return _Looked(values, 0, level, t_test(values), math.fsum(values), equivalence_test(values, margin), fewest)
    sizes = looks_until(fewest, len(values))
    shares = [share(look) for look in range(1, len(sizes) + 1)]
    seen = list(zip([values[:size] for size in sizes], shares, strict=True))
    p, loudest = min(((t_test(part) / spent, part) for part, spent in seen), key=lambda one: one[0])
    direction = math.fsum(loudest)
    p_equivalent = min(equivalence_test(part, margin) / spent for part, spent in seen)
    return _Looked(seen[-1][0], len(sizes), level * shares[-1], min(1.0, p), direction, min(1.0, p_equivalent), fewest)


def judge(
    gains: Sequence[Sequence[float]], margin: float, level: float = LEVEL, first_look: int | None = None
) -> list[Comparison | None]:
    """The verdict on each rung of a ladder.

    "pays" or "harms" where the Holm-corrected t-test says so at the level; else "no difference" where the
    equivalence test does; else "undecided", with the seeds that are missing for a power of 80 % at the stricter
    level the correction will ask for. Their number is for the observed gain or, where that is smaller than the
    margin, for a gain of the margin.

    Args:
        gains: Of each rung but the first, its paired differences to the rung below, one a seed.
        margin: The difference worth telling, in points, above zero.
        level: Of the verdicts.
        first_look: Where seeds are added until all is decided: seeds of the first look, at least three. Each
            comparison then has as many looks as its seeds allow, and is described as at the last of them: its
            intervals cover at all looks together. None: one look, at the end.

    Returns:
        One comparison a rung; None where a rung and the one below share no seed.

    Raises:
        UserError: The margin is not above zero.
    """
    if not 0 < margin < math.inf:
        raise UserError(f"the margin is {margin!r} points, but must be above 0")
    # Rungs without enough seeds yet are tests of the family, too.
    looked = [_look(values, margin, level, first_look) for values in gains]
    corrected = holm([one.p for one in looked])
    undone = sum(p > level for p in corrected)
    return [
        _judge(one, p_holm, margin, level, undone) if one.values else None
        for one, p_holm in zip(looked, corrected, strict=True)
    ]


def _judge(looked: _Looked, p_holm: float, margin: float, level: float, undone: int) -> Comparison:
    values = looked.values
    gain = describe(values, looked.level)
    if gain.deviation is None:
        return Comparison(gain, None, None, None, None, margin, "no verdict", fewest=looked.fewest)
    p, flip = t_test(values), flip_test(values)
    if len(values) < looked.fewest:
        equivalent = equivalence_test(values, margin)
        return Comparison(gain, p, flip, None, equivalent, margin, "no verdict", fewest=looked.fewest)
    word: Word = "undecided"
    more: int | None = None
    effect: Effect | None = None
    if p_holm <= level:
        word = "pays" if looked.direction > 0 else "harms"
    elif looked.p_equivalent <= level:
        word = "no difference"
    else:
        effect = "observed" if abs(gain.mean) >= margin else "margin"
        more = max(1, _needed(looked, max(abs(gain.mean), margin), gain.deviation, level / max(1, undone)))
    return Comparison(
        gain, p, flip, p_holm, looked.p_equivalent, margin, word, more, effect, looked.looks, looked.fewest
    )


def _needed(looked: _Looked, effect: float, deviation: float, level: float) -> int:
    """Seeds that are missing; where there are looks, until the one that has the power."""
    have = len(looked.values)
    if not looked.looks:
        needed = seeds_needed(effect, deviation, level)
        return needed if needed >= _MOST else needed - have
    for look, size in enumerate(look_sizes(looked.fewest), start=1):
        if size >= _MOST:
            break
        if look > looked.looks and _sees(size, effect, deviation, level * share(look)):
            return size - have
    return _MOST


def _sees(count: int, effect: float, deviation: float, level: float) -> bool:
    if deviation == 0:
        return count >= seeds_needed(effect, deviation, level)
    return power(count, effect, deviation, level) >= POWER


def _deviation(values: Sequence[float]) -> float:
    """Sample deviation; below what rounding leaves of equal values, zero."""
    mean = math.fsum(values) / len(values)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
    return 0.0 if deviation <= 1e-10 * max(1.0, *map(abs, values)) else deviation
