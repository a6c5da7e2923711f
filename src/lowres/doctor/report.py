"""The doctor's report: findings, what the setup should reach, what was seen. Plain data, read back from JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from lowres.doctor.findings import Finding, Fix, Place, run_checks
from lowres.doctor.patching.edits import Edit
from lowres.doctor.recognise import expected, on_classes
from lowres.doctor.seen import seen
from lowres.doctor.setup import Setup

SCHEMA = 2


@dataclass(frozen=True)
class Report:
    """What the doctor says.

    Attributes:
        target: What it was asked about.
        headline: One sentence on the whole.
        findings: Errors and warnings first, the costliest of them first.
        expected: What networks like this reach, and what this setup should; empty where that cannot be told.
        seen: The setup in figures.
        notes: What could not be seen, a line each.
        problem: What was wrong with the target itself, in a line; "" if nothing was.
        traceback: What the program raised.
        proof: What paired runs with and without the fixes measured, in plain values; empty without them.
    """

    target: str
    headline: str
    findings: tuple[Finding, ...]
    expected: Mapping[str, Any] = field(default_factory=dict)
    seen: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    problem: str = ""
    traceback: str = ""
    proof: Mapping[str, Any] = field(default_factory=dict)

    @property
    def code(self) -> int:
        """The exit code: 2 if the target was no good, 1 where an error or a warning stands, otherwise 0."""
        if self.problem:
            return 2
        return int(any(one.grade != "note" for one in self.findings))

    def to_json(self) -> dict[str, Any]:
        """Plain values, of schema `SCHEMA`."""
        return {
            "schema": SCHEMA,
            "target": self.target,
            "headline": self.headline,
            "findings": [one.to_json() for one in self.findings],
            "expected": dict(self.expected),
            "seen": dict(self.seen),
            "notes": list(self.notes),
            "problem": self.problem,
            "traceback": self.traceback,
        } | ({"proof": dict(self.proof)} if self.proof else {})

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Reads what `to_json` wrote."""
        return cls(
            value["target"],
            value["headline"],
            tuple(_finding(one) for one in value["findings"]),
            value["expected"],
            value["seen"],
            tuple(value["notes"]),
            value.get("problem", ""),
            value.get("traceback", ""),
            value.get("proof", {}),
        )


def _finding(value: Mapping[str, Any]) -> Finding:
    place = Place(value["path"], value["line"]) if value["path"] else None
    fix = value["fix"]
    if fix is not None:
        fix = Fix(fix["title"], fix["path"], tuple(Edit(**one) for one in fix["edits"]), fix["diff"], fix["code"])
    return Finding(
        value["code"],
        value["title"],
        value["grade"],
        value["cost"],
        value["evidence"],
        place,
        fix,
        value["cost_source"],
        value["kind"],
    )


def examine(setup: Setup, *, problem: str = "", traceback: str = "") -> Report:
    """Applies all checks to a setup and puts the report together."""
    findings, failed = run_checks(setup)
    reach = setup.attempt("what such a setup reaches", lambda: _expected(setup, findings)) or {}
    figures = setup.attempt("the setup's figures", lambda: seen(setup)) or {}
    notes = (*dict.fromkeys((*setup.notes, *failed)),)
    headline = _headline(setup, findings, reach, problem)
    return Report(setup.target, headline, tuple(findings), reach, figures, notes, problem, traceback)


def _expected(setup: Setup, findings: list[Finding]) -> dict[str, Any]:
    kind, classes = setup.kind, setup.classes
    known = getattr(setup.train.base, "__class__", type(None)).__name__ if setup.train else ""
    if kind is None or classes not in (10, 100) or known not in ("CIFAR10", "CIFAR100"):
        return {}
    costs = [one.cost for one in findings if one.grade != "note" and not one.kind.startswith(REPORTING)]
    low, high = (on_classes(one, classes) for one in (kind.low, kind.high))
    middle = (low + high) / 2
    reach = expected(middle, costs, classes)
    return {
        "network": kind.name,
        "low": round(low, 1),
        "high": round(high, 1),
        "full_recipe_epochs": kind.epochs,
        "this_setup": round(reach, 1),
        "epochs": setup.epochs,
        "source": "published figures of such networks; the costs of the findings, taken together",
    }


REPORTING = ("C24", "C25", "C17v")
"""Kinds of faults that mislead and take no accuracy away."""


def _headline(setup: Setup, findings: list[Finding], reach: Mapping[str, Any], problem: str) -> str:
    if problem:
        return problem
    wrong = [one for one in findings if one.grade != "note"]
    count = f"{len(wrong)} fault{'s' if len(wrong) != 1 else ''} found" if wrong else "nothing wrong found"
    if not reach:
        return count
    budget = (
        f" in {reach['epochs']} epochs" if reach["epochs"] and reach["epochs"] >= reach["full_recipe_epochs"] else ""
    )
    text = f"{count}; networks like this ({reach['network'].removeprefix('a ')}) reach"
    text += f" {reach['low']:g} to {reach['high']:g} %{budget}"
    if wrong and reach["low"] - reach["this_setup"] >= 0.5:
        text += f"; this setup should reach about {reach['this_setup']:.0f}"
    return text
