"""Variants of a program: its source with some of a report's fixes in it."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from lowres.doctor.findings import Edit, Finding
from lowres.doctor.source import Source


@dataclass(frozen=True)
class Unproved:
    """A finding whose fix cannot be tried, and why."""

    code: str
    title: str
    why: str
    by_hand: str = ""


def provable(source: Source, findings: Sequence[Finding]) -> tuple[list[Finding], list[Unproved]]:
    """Errors and warnings whose fixes can be made together in the source, the costliest first; and the others."""
    chosen: list[Finding] = []
    left: list[Unproved] = []
    for one in sorted(findings, key=lambda one: -one.cost):
        if one.grade == "note":
            continue
        why = obstacle(source, one, chosen)
        if why:
            by_hand = one.fix.code or one.fix.title if one.fix else ""
            left.append(Unproved(one.code, one.fix.title if one.fix else one.title, why, by_hand))
        else:
            chosen.append(one)
    return chosen, left


def obstacle(source: Source, finding: Finding, others: Sequence[Finding]) -> str:
    """Why a fix cannot be made beside others; "" if nothing speaks against it."""
    if finding.fix is None or not finding.fix.edits:
        return "the source cannot be patched for it"
    if finding.fix.path != source.path:
        return f"it belongs to {finding.fix.path}"
    try:
        patched(source, [*others, finding])
    except ValueError as error:
        return str(error)
    return ""


def patched(source: Source, findings: Sequence[Finding]) -> str:
    """The source with the fixes of findings.

    Raises:
        ValueError: They change the same code, or what they make is no program.
    """
    spans: list[tuple[int, int, str]] = []
    for finding in findings:
        for edit in finding.fix.edits if finding.fix else ():
            span = _span(source, edit)
            if any(span[0] < end and start < span[1] for start, end, _ in spans):
                raise ValueError("another fix changes the same code")
            if span not in spans:
                spans.append(span)
    text = source.text
    for start, end, new in sorted(reversed(spans), key=lambda one: one[:2], reverse=True):
        text = text[:start] + new + text[end:]
    try:
        ast.parse(text)
    except SyntaxError as error:
        raise ValueError(f"the result would be no Python: {error.msg}") from None
    return text


def _span(source: Source, edit: Edit) -> tuple[int, int, str]:
    """An edit of lines as one of characters: what is the same before and after is left out of it."""
    lines = source.text.splitlines(keepends=True)
    start = sum(map(len, lines[: edit.line - 1]))
    old = "".join(lines[edit.line - 1 : edit.end])
    new = edit.new + "\n" if edit.new else ""
    if not old:
        return start, start, new
    same = [one for one in SequenceMatcher(None, old, new, autojunk=False).get_opcodes() if one[0] != "equal"]
    if not same:
        return start, start, ""
    first, last = same[0], same[-1]
    return start + first[1], start + last[2], new[first[3] : last[4]]
