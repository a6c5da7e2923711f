"""Takes the fixes of a report: the source with all edits that go together, and what became of each fix."""

import ast
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowres.doctor.findings import Finding, Fix
from lowres.doctor.patching.clashes import clash
from lowres.doctor.patching.edits import Edit, Unpatchable
from lowres.doctor.patching.patch import patched
from lowres.doctor.source import Source
from lowres.errors import UserError


@dataclass(frozen=True)
class Outcome:
    """What became of a finding's fix.

    Attributes:
        code: Of the finding.
        title: The fix in words, or the finding where there is none.
        applied: Whether the mended source has it.
        why: Why not; "".
        by_hand: What to change by hand then.
    """

    code: str
    title: str
    applied: bool
    why: str = ""
    by_hand: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dict(vars(self))


@dataclass(frozen=True)
class Mended:
    """Source after the fixes of a report.

    Attributes:
        text: The source, each change marked with its code; as it was where nothing could be applied.
        outcomes: In the order of the findings, the costliest first.
        kept: Where an earlier file of its name is, once it is written; None: there was none.
    """

    text: str
    outcomes: tuple[Outcome, ...]
    kept: Path | None = None

    @property
    def applied(self) -> list[Outcome]:
        """The fixes that the text has."""
        return [one for one in self.outcomes if one.applied]


def mend(source: Source, findings: Iterable[Finding], codes: Sequence[str] = ()) -> Mended:
    """Applies fixes to the source they were made for.

    Args:
        source: The target, as it was examined.
        findings: Those of the report.
        codes: Which to fix; none: all errors and warnings.

    Raises:
        UserError: A code is not among the findings.
    """
    chosen = _chosen(list(findings), codes)
    chosen.sort(key=lambda one: -one.cost)
    reasons: dict[int, str] = {}
    taken: list[tuple[Finding, Fix]] = []
    for i, one in enumerate(chosen):
        reasons[i] = _obstacle(source, one, taken)
        if not reasons[i] and one.fix is not None:
            taken.append((one, one.fix))
    text, failed = _together(source, taken)
    for i, one in enumerate(chosen):
        reasons[i] = reasons[i] or failed.get(id(one), "")
    return Mended(text, tuple(_outcome(one, reasons[i]) for i, one in enumerate(chosen)))


def _chosen(findings: list[Finding], codes: Sequence[str]) -> list[Finding]:
    if not codes:
        return [one for one in findings if one.grade != "note"]
    known = list(dict.fromkeys(one.code for one in findings))
    wanted = [code.strip().upper() for code in codes if code.strip()]
    for code in wanted:
        if code not in known:
            found = f"found are {', '.join(known)}" if known else "nothing was found"
            raise UserError(f"--fix {code}: there is no such finding here; {found}")
    return [one for one in findings if one.code in wanted]


def _obstacle(source: Source, finding: Finding, taken: list[tuple[Finding, Fix]]) -> str:
    """Why a fix cannot be taken; "" if nothing speaks against it."""
    fix = finding.fix
    if fix is None:
        return finding.unfixed or "no change of code mends it"
    if not fix.edits:
        return "to be done by hand"
    if Path(fix.path) != Path(source.path):
        return f"it belongs to {fix.path}"
    for other, made in taken:
        if other.code == finding.code and made == fix:
            continue
        edit = clash(source, fix.edits, made.edits)
        if edit is not None:
            where = f" on line {edit.line}" if edit.line else ""
            return f"{other.code} changes the same code{where}"
    return ""


def _together(source: Source, taken: list[tuple[Finding, Fix]]) -> tuple[str, dict[int, str]]:
    """The text with all fixes; where they do not make a program together, with as many as do, the costliest first."""
    try:
        return _program(source.text, [(edit, one.code) for one, fix in taken for edit in fix.edits]), {}
    except Unpatchable:
        pass
    text, failed = source.text, {}
    edits: list[tuple[Edit, str]] = []
    for one, fix in taken:
        more = [*edits, *((edit, one.code) for edit in fix.edits)]
        try:
            text, edits = _program(source.text, more), more
        except Unpatchable as error:
            failed[id(one)] = str(error)
    return text, failed


def _program(text: str, edits: Sequence[tuple[Edit, str]]) -> str:
    """The text after its edits, if that is a program."""
    after = patched(text, edits)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(after, "<fixed>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise Unpatchable(f"the result would be no Python: {getattr(error, 'msg', error)}") from None
    return after


def _outcome(finding: Finding, why: str) -> Outcome:
    fix = finding.fix
    if fix is None:
        return Outcome(finding.code, finding.title, False, why)
    if not why:
        return Outcome(finding.code, fix.title, True)
    return Outcome(finding.code, fix.title, False, why, fix.code or _body(fix.diff))


def _body(diff: str) -> str:
    return "\n".join(line for line in diff.splitlines()[2:] if not line.startswith("@@"))
