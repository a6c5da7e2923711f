"""What a check finds, and the register of checks.

A check is a function of one `Setup` under `@check(CODE, ...)`; what it returns, a `Found`, becomes a `Finding` with
the code, the grade and the cost of its entry. Adding a check is adding a function, in any module that is imported.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from lowres.doctor.costs import LEAST, measured
from lowres.doctor.patching.edits import Edit
from lowres.doctor.patching.patch import apply, unified

if TYPE_CHECKING:
    from lowres.doctor.setup import Setup

__all__ = [
    "CHECKS",
    "GRADES",
    "Check",
    "Edit",
    "Finding",
    "Fix",
    "Found",
    "Grade",
    "Place",
    "apply",
    "check",
    "run_checks",
    "unified",
]

Grade = Literal["error", "warning", "note"]
GRADES: tuple[Grade, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Place:
    """A line of the user's source; lines count from 1."""

    path: str
    line: int


@dataclass(frozen=True)
class Fix:
    """How to mend a fault: edits of the user's own lines where there is source, otherwise code to take over.

    Attributes:
        title: In words, as an order: "pass momentum=0.9".
        path: The file that `edits` belong to.
        edits: At places of that file as it is.
        diff: The same as a unified diff, to be read.
        code: What to write by hand, where no line of source is known.
    """

    title: str
    path: str = ""
    edits: tuple[Edit, ...] = ()
    diff: str = ""
    code: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        edits = [vars(edit) for edit in self.edits]
        return {"title": self.title, "path": self.path, "edits": edits, "diff": self.diff, "code": self.code}


@dataclass(frozen=True)
class Found:
    """What a check returns: the finding, without what its entry in the register already says.

    Attributes:
        title: This case in one line: "the rate stays at 0.1 from the first step to the last".
        evidence: Figures and names that show it.
        cost: Points of accuracy here; None for the middle of the entry's range.
        place: The line to look at.
        fix: How to mend it.
        grade: Where it differs from the entry's.
    """

    title: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    cost: float | None = None
    place: Place | None = None
    fix: Fix | None = None
    grade: Grade | None = None


@dataclass(frozen=True)
class Check:
    """An entry of the register.

    Attributes:
        code: Stable: `LR103`.
        title: The fault in a few words.
        grade: error: proved by arithmetic or a probe; warning: measured elsewhere; note: style.
        kind: The class of faults, as the fault bench names it: "C02".
        cost: Points of accuracy from and to.
        source: Where the cost is from.
        function: The check.
    """

    code: str
    title: str
    grade: Grade
    kind: str
    cost: tuple[float, float]
    source: str
    function: "Callable[[Setup], Found | Iterable[Found] | None]"

    @property
    def prior(self) -> float:
        """What the register says that the fault costs: the middle of the range."""
        return sum(self.cost) / 2

    def finding(self, found: "Found") -> "Finding":
        """What the check found, with its cost: what it expects of the case, times what measurements make of that.

        What it calls a note costs what it says. A warning of a fault that was measured to cost next to nothing is one.
        """
        cost, grade, source = self.prior if found.cost is None else found.cost, found.grade or self.grade, self.source
        table = measured()
        if self.code in table.factors and found.grade != "note":
            cost, source = table.weigh(self.code, cost, self.cost), f"{source}; {table.source}"
            grade = "note" if grade == "warning" and cost < LEAST else grade
        return Finding(self.code, found.title, grade, cost, found.evidence, found.place, found.fix, source, self.kind)

    @property
    def explanation(self) -> str:
        """What it means, how it is seen, when it stays silent: the function's docstring."""
        return (self.function.__doc__ or "").strip()


@dataclass(frozen=True)
class Finding:
    """One fault of a setup; `unfixed` says why it has no fix any more, where it had one."""

    code: str
    title: str
    grade: Grade
    cost: float
    evidence: Mapping[str, Any]
    place: Place | None
    fix: Fix | None
    source: str
    kind: str
    unfixed: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "code": self.code,
            "kind": self.kind,
            "title": self.title,
            "grade": self.grade,
            "cost": round(self.cost, 2),
            "cost_source": self.source,
            "path": self.place.path if self.place else None,
            "line": self.place.line if self.place else None,
            "evidence": _plain(self.evidence),
            "fix": self.fix.to_json() if self.fix else None,
        }


CHECKS: dict[str, Check] = {}
"""All checks, by code."""


def check(
    code: str, title: str, *, grade: Grade, kind: str, cost: tuple[float, float], source: str
) -> "Callable[[Callable[[Setup], Found | Iterable[Found] | None]], Callable[[Setup], Any]]":
    """Registers a check; see `Check` for the arguments.

    Raises:
        ValueError: Another check has the code.
    """

    def register(function: "Callable[[Setup], Any]") -> "Callable[[Setup], Any]":
        if code in CHECKS and CHECKS[code].function.__qualname__ != function.__qualname__:
            raise ValueError(f"two checks have the code {code}: {CHECKS[code].function.__name__}, {function.__name__}")
        CHECKS[code] = Check(code, title, grade, kind, cost, source, function)
        return function

    return register


def run_checks(setup: "Setup") -> tuple[list[Finding], list[str]]:
    """Applies every check.

    Returns:
        The findings, errors and warnings first, the costliest of them first; and a line for each check that could
        not be done.
    """
    import lowres.doctor.checks  # noqa: F401 - its modules register themselves

    findings: list[Finding] = []
    failed: list[str] = []
    for entry in sorted(CHECKS.values(), key=lambda entry: entry.code):
        try:
            result = entry.function(setup)
            found = [result] if isinstance(result, Found) else list(result or ())
        except Exception as error:  # a check must not take the others with it, whatever the user's objects do
            failed.append(f"{entry.code} could not be checked: {type(error).__name__}: {str(error).splitlines()[:1]}")
            continue
        findings += [entry.finding(one) for one in found]
    findings = [one for one in findings if not setup.silenced(one)]
    return sorted(findings, key=lambda one: (one.grade == "note", -one.cost, one.code)), failed


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    if isinstance(value, bool | int | str) or value is None:
        return value
    number = float(value)
    return float(f"{number:.6g}") if number == number and abs(number) != float("inf") else str(number)
