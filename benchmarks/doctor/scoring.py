"""Scores of findings against the faults that are in the programs.

A finding is right if its code is acceptable for one of the program's faults. Errors and warnings are counted, notes
are not. A fault is found if one error or warning is right for it. Intervals are percentiles of a bootstrap over
programs, since findings of one program belong together.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Accepted = Callable[[Mapping[str, Any]], frozenset[str]]


@dataclass(frozen=True)
class Outcome:
    """A tool's answer to a program.

    Attributes:
        entry: The program's entry in the manifest.
        findings: In the tool's order: code and grade ("error", "warning" or "note") each.
        seconds: How long it took.
        trouble: Why there is no answer, if there is none.
    """

    entry: Mapping[str, Any]
    findings: tuple[tuple[str, str], ...]
    seconds: float = 0.0
    trouble: str = ""

    @property
    def loud(self) -> tuple[tuple[str, str], ...]:
        """Errors and warnings."""
        return tuple(f for f in self.findings if f[1] != "note")


@dataclass
class Tally:
    """What is counted of one program; sums of these make the scores."""

    faults: int = 0
    found: int = 0
    first_tier: int = 0
    first_tier_found: int = 0
    errors: int = 0
    errors_right: int = 0
    warnings: int = 0
    warnings_right: int = 0
    sound: int = 0
    false_alarms: int = 0
    ranked: int = 0
    ranked_right: int = 0
    ranked_several: int = 0
    ranked_several_right: int = 0
    missed: list[str] = field(default_factory=list)
    false: list[str] = field(default_factory=list)

    def numbers(self) -> list[int]:
        """The counts, without the lists of names."""
        return [value for value in vars(self).values() if isinstance(value, int)]


COUNTS = tuple(name for name, value in vars(Tally()).items() if isinstance(value, int))
# A score's name, and the counts whose quotient it is.
SCORES = {
    "recall, tier 1": ("first_tier_found", "first_tier"),
    "recall, all": ("found", "faults"),
    "precision of errors": ("errors_right", "errors"),
    "precision of warnings": ("warnings_right", "warnings"),
    "false alarms per sound program": ("false_alarms", "sound"),
    "costliest fault first": ("ranked_right", "ranked"),
    "costliest fault first, several faults": ("ranked_several_right", "ranked_several"),
}


def tally(outcome: Outcome, accepted: Accepted, spared: frozenset[str] = frozenset()) -> Tally:
    """Counts one program; of the spared codes only those that are right."""
    counts = Tally()
    faults = outcome.entry["faults"]
    answers = [accepted(fault) for fault in faults]
    right = frozenset().union(*answers, accepted({"kind": "", "also": outcome.entry["extra"], "operator": ""}))
    loud = [(code, grade) for code, grade in outcome.loud if code in right or code not in spared]
    codes = {code for code, _ in loud}
    for fault, answer in zip(faults, answers, strict=True):
        hit = bool(answer & codes)
        counts.faults += 1
        counts.found += hit
        counts.first_tier += fault["tier"] == 1
        counts.first_tier_found += hit and fault["tier"] == 1
        if not hit:
            counts.missed.append(fault["operator"])
    for code, grade in loud:
        good = code in right
        if grade == "error":
            counts.errors += 1
            counts.errors_right += good
        else:
            counts.warnings += 1
            counts.warnings_right += good
        if not good:
            counts.false.append(code)
    if not faults:
        counts.sound = 1
        counts.false_alarms = len(counts.false)
    else:
        top = max(fault["cost"] for fault in faults)
        wanted = frozenset().union(*(a for f, a in zip(faults, answers, strict=True) if f["cost"] == top))
        first = bool(loud) and loud[0][0] in wanted
        counts.ranked, counts.ranked_right = 1, int(first)
        if len(faults) > 1:
            counts.ranked_several, counts.ranked_several_right = 1, int(first)
    return counts


def scores(tallies: Sequence[Tally], *, draws: int = 2000, seed: int = 0) -> dict[str, Any]:
    """Every score with its 95 % interval and what it is a quotient of; None where nothing was to be counted."""
    table = np.array([t.numbers() for t in tallies], dtype=float)
    picks = np.random.default_rng(seed).integers(0, len(table), (draws, len(table)))
    sums, total = table[picks].sum(axis=1), table.sum(axis=0)
    result = {}
    for name, (part, whole) in SCORES.items():
        i, j = COUNTS.index(part), COUNTS.index(whole)
        of = sums[:, j] > 0
        interval = np.percentile(sums[of, i] / sums[of, j], [2.5, 97.5]).tolist() if of.any() else None
        result[name] = {
            "value": round(total[i] / total[j], 4) if total[j] else None,
            "interval": [round(x, 4) for x in interval] if interval else None,
            "counts": [int(total[i]), int(total[j])],
        }
    return result


def by_operator(outcomes: Iterable[Outcome], tallies: Iterable[Tally]) -> dict[str, dict[str, Any]]:
    """For each operator how often its fault was there and found, and in which programs it was missed."""
    table: dict[str, dict[str, Any]] = {}
    for outcome, counts in zip(outcomes, tallies, strict=True):
        for fault in outcome.entry["faults"]:
            row = table.setdefault(
                fault["operator"],
                {"kind": fault["kind"], "tier": fault["tier"], "there": 0, "found": 0, "missed_in": []},
            )
            row["there"] += 1
            if fault["operator"] in counts.missed:
                row["missed_in"].append(outcome.entry["name"])
            else:
                row["found"] += 1
    return table


def false_alarms(outcomes: Iterable[Outcome], tallies: Iterable[Tally]) -> dict[str, list[str]]:
    """For each code the programs in which it was wrong."""
    table: dict[str, list[str]] = {}
    for outcome, counts in zip(outcomes, tallies, strict=True):
        for code in counts.false:
            table.setdefault(code, []).append(outcome.entry["name"])
    return dict(sorted(table.items(), key=lambda item: -len(item[1])))
