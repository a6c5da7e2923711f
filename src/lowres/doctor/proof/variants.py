"""Variants of a program: its source with some of a report's fixes in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lowres.doctor.findings import Finding
from lowres.doctor.patching.mend import mend
from lowres.doctor.proof.shortening import shorten
from lowres.doctor.report import REPORTING
from lowres.doctor.source import Source


@dataclass(frozen=True)
class Unproved:
    """A finding whose fix is not tried, why, and what to change by hand.

    Attributes:
        code: Of the finding.
        title: Of the fix.
        why: It is not tried.
        by_hand: What to change; "".
        breaks: Whether it was begun, and the program did not run to its end.
    """

    code: str
    title: str
    why: str
    by_hand: str = ""
    breaks: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dict(vars(self))


def provable(source: Source, findings: Sequence[Finding], epochs: int | None) -> tuple[list[Finding], list[Unproved]]:
    """Errors and warnings whose fixes can be made in the source, all together, the costliest first; and the others.

    Args:
        source: The program.
        findings: Of its report.
        epochs: That it is meant to train for. A fix of that number cannot be tried on an equal budget.
    """
    wanted = sorted((one for one in findings if one.grade != "note"), key=lambda one: -one.cost)
    bounded = epochs is not None and shorten(source.text, epochs, 1).found
    chosen: list[Finding] = []
    left: list[Unproved] = []
    for one in wanted:
        outcome = mend(source, [*chosen, one])
        own = next(o for o in outcome.outcomes if o.code == one.code)
        why, by_hand = own.why, own.by_hand
        if not why and one.kind.startswith(REPORTING):
            why = "it makes the figure honest, not higher: no training speaks for or against it"
        if not why and any(other.code == one.code for other in chosen):
            why = "another finding of the code is tried"
        if not why and not all(o.applied for o in outcome.outcomes):
            why = "it does not go together with another fix"
        if not why and bounded and epochs is not None and not shorten(outcome.text, epochs, 1).found:
            why = "it changes the number of epochs, and all runs have the same"
        if why:
            left.append(Unproved(one.code, one.fix.title if one.fix else one.title, why, by_hand))
        else:
            chosen.append(one)
    return chosen, left


def variant(source: Source, findings: Sequence[Finding]) -> str:
    """The source with the fixes of findings."""
    return mend(source, list(findings)).text if findings else source.text
