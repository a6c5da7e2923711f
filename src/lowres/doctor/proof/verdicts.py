"""What paired trials say of each fix, and of all together. Plain data and pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lowres.doctor.findings import Finding
from lowres.doctor.proof.plan import Proxy
from lowres.doctor.proof.variants import Unproved
from lowres.ladder.looks import share
from lowres.ladder.statistics import LEVEL, Comparison, Sample, judge

MARGIN = 0.5
"""Points that are worth a change."""
REGULARISING = ("C05", "C06", "C22", "C25", "C30")
"""Kinds of faults whose mending pays once a network overfits: augmentation, decay, epochs, selection, dropout."""
NEAR = 0.1
"""Share of the way from chance to 100 % below which a network is near chance."""
OVERFITTED = 5.0
"""Points by which training accuracy exceeds the other where overfitting has begun."""
SCHEDULES = ("C02", "C03")
"""Kinds whose mending pays once the rate, and not the number of steps, holds a network back."""
FITTED = 60.0
"""Training accuracy, in percent, from which that may be so."""

Word = Literal["pays", "withdrawn", "undecided", "too early", "kept"]


@dataclass(frozen=True)
class Step:
    """What one fix gains, in the presence of those before it.

    Attributes:
        code: Of its finding.
        title: Of the fix.
        expected: Points that the finding was held to cost.
        gain: Points, with the interval that holds at all looks; None where no pair of trials ended.
        word: pays; withdrawn (it harms, or makes no difference worth telling); undecided; too early (it works late,
            and the proxy is over before); kept (a proved error, whatever a short training says).
        verdict: The same in words.
        proxy: On what it was measured.
    """

    code: str
    title: str
    expected: float
    gain: Sample | None
    word: Word
    verdict: str
    proxy: Proxy

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        gain = vars(self.gain) if self.gain else None
        return {**vars(self), "gain": gain, "proxy": self.proxy.to_json()}


@dataclass(frozen=True)
class Proof:
    """What a proof found.

    Attributes:
        steps: One a fix, in the order in which they were added.
        base: Accuracy of the program as it is, in percent.
        mended: With all fixes that were not withdrawn; None where that was not measured.
        total: What they gain together.
        own: The program's own last figure, in percent; None where it evaluates nothing.
        proxy: On what the whole was measured.
        withdrawn: Codes of fixes that do not pay.
        unproved: Findings whose fixes were not tried.
        limits: What the proxy cannot tell, a line each.
        trials: How many were run or known.
        seconds: The proof took.
    """

    steps: tuple[Step, ...]
    base: Sample
    mended: Sample | None
    total: Sample | None
    own: float | None
    proxy: Proxy
    withdrawn: tuple[str, ...]
    unproved: tuple[Unproved, ...]
    limits: tuple[str, ...]
    trials: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "steps": [one.to_json() for one in self.steps],
            "base": vars(self.base),
            "mended": vars(self.mended) if self.mended else None,
            "total": vars(self.total) if self.total else None,
            "own": self.own,
            "proxy": self.proxy.to_json(),
            "withdrawn": list(self.withdrawn),
            "unproved": [one.to_json() for one in self.unproved],
            "cannot_tell": list(self.limits),
            "trials": self.trials,
            "seconds": round(self.seconds, 1),
        }


def compared(differences: Sequence[float], seeds: int, length: int = 1) -> Comparison | None:
    """A fix's paired differences, judged by themselves.

    A longer training is judged anew, so each spends a share of the level, as each look at it does of that share.

    Args:
        differences: By seed.
        seeds: Of the first look.
        length: Of the trainings that were tried for the fix, the how-manieth this is.
    """
    return judge([differences], MARGIN, LEVEL * share(length), first_look=seeds)[0]


def decided(differences: Sequence[float], seeds: int, length: int = 1) -> bool:
    """Whether an interval excludes zero, or all that is worth telling; see `compared`."""
    comparison = compared(differences, seeds, length)
    return comparison is not None and comparison.word in ("pays", "harms", "no difference")


@dataclass(frozen=True)
class Without:
    """How far trainings without a fix had come, on average, in percent.

    Attributes:
        training: Accuracy on training images in the last epoch; None where unknown.
        figure: The one that is compared.
        chance: What a guess gets.
    """

    training: float | None
    figure: float
    chance: float

    def too_early_for(self, kind: str) -> str:
        """Why nothing can be said against a fix of a kind of faults; "" if something can."""
        if self.figure - self.chance < NEAR * (100 - self.chance):
            return "the network is near chance yet"
        if kind in REGULARISING and (self.training is None or self.training - self.figure < OVERFITTED):
            return "nothing is overfitted yet"
        if kind in SCHEDULES and (self.training is None or self.training < FITTED):
            return "the rate does not hold it back yet"
        return ""


def step_of(
    finding: Finding, differences: Sequence[float], seeds: int, proxy: Proxy, without: Without, length: int = 1
) -> Step:
    """The verdict on a fix.

    A fix that gains pays. One that does not is withdrawn, unless it works late and the trainings were over before,
    or its fault is proved by arithmetic.

    Args:
        finding: Whose fix it is.
        differences: Accuracy with it minus accuracy without, a seed each, in points.
        seeds: Of the first look.
        proxy: On what they were measured.
        without: How far the trainings without it had come.
        length: Of the trainings that were tried for it, the how-manieth this is.
    """
    comparison = compared(differences, seeds, length) if differences else None
    word: Word = "undecided"
    verdict = "not measured" if comparison is None else "undecided"
    if comparison is not None and comparison.word == "pays":
        word, verdict = "pays", "pays"
    elif comparison is not None and comparison.word in ("harms", "no difference"):
        said = "harms" if comparison.word == "harms" else f"no difference of {MARGIN:g} points"
        early = without.too_early_for(finding.kind)
        word, verdict = "withdrawn", f"{said}: withdrawn"
        if early:
            word, verdict = "too early", f"{said}, but {early}"
        elif finding.grade == "error":
            word, verdict = "kept", f"{said} in so short a training; kept, for the fault is proved"
    title = finding.fix.title if finding.fix else finding.title
    return Step(finding.code, title, finding.cost, comparison.gain if comparison else None, word, verdict, proxy)


def differences_of(
    figures: Mapping[tuple[tuple[str, ...], int, Proxy], float],
    without: tuple[str, ...],
    within: tuple[str, ...],
    proxy: Proxy,
) -> list[float]:
    """Paired differences of two variants, by seed."""
    seeds = sorted(seed for codes, seed, other in figures if codes == without and other == proxy)
    return [
        figures[within, seed, proxy] - figures[without, seed, proxy]
        for seed in seeds
        if (within, seed, proxy) in figures
    ]
