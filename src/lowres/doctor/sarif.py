"""SARIF 2.1.0, which code hosts and editors show beside the lines."""

import re
from pathlib import Path
from typing import Any

from lowres.doctor.findings import CHECKS, Finding
from lowres.doctor.report import Report
from lowres.files import write_json

HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? ")


def write_sarif(path: Path, report: Report) -> None:
    """Writes a report as SARIF."""
    write_json(path, to_sarif(report))


def to_sarif(report: Report) -> dict[str, Any]:
    """A report as a SARIF log of one run; fixes that are edits come as fixes."""
    codes = sorted({one.code for one in report.findings})
    rules = [
        {
            "id": code,
            "shortDescription": {"text": CHECKS[code].title if code in CHECKS else code},
            "fullDescription": {"text": CHECKS[code].explanation if code in CHECKS else code},
            "properties": {"cost": list(CHECKS[code].cost) if code in CHECKS else []},
        }
        for code in codes
    ]
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "lowres doctor", "rules": rules}},
                "results": [_result(one, codes, report.target) for one in report.findings],
                "invocations": [
                    {
                        "executionSuccessful": not report.problem,
                        "toolExecutionNotifications": [{"message": {"text": note}} for note in report.notes],
                    }
                ],
            }
        ],
    }


def _result(finding: Finding, codes: list[str], target: str) -> dict[str, Any]:
    where = finding.place
    uri = Path(where.path if where else target).as_posix()
    region = {"startLine": where.line} if where else {"startLine": 1}
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": codes.index(finding.code),
        "level": finding.grade,
        "message": {"text": f"{finding.title} ({finding.cost:.3g} points)"},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": uri}, "region": region}}],
    }
    if finding.fix is not None and finding.fix.edits:
        changes = [
            {
                "deletedRegion": {"startLine": first, "startColumn": 1, "endLine": end, "endColumn": 1},
                "insertedContent": {"text": text},
            }
            for first, end, text in _replacements(finding.fix.diff)
        ]
        change = {"artifactLocation": {"uri": Path(finding.fix.path).as_posix()}, "replacements": changes}
        result["fixes"] = [{"description": {"text": finding.fix.title}, "artifactChanges": [change]}]
    return result


def _replacements(diff: str) -> list[tuple[int, int, str]]:
    """Lines that a unified diff replaces: the first, the one behind the last, and what comes in their place."""
    made: list[tuple[int, int, str]] = []
    first = line = 0
    new: list[str] = []
    for text in [*diff.splitlines()[2:], " "]:
        hunk = HUNK.match(text)
        if hunk is None and text[:1] in ("-", "+"):
            line += text[0] == "-"
            new += [text[1:] + "\n"] if text[0] == "+" else []
            continue
        if new or line > first:
            made.append((first, line, "".join(new)))
            new = []
        # A hunk that takes no line off names the line that it stands behind.
        first = line = int(hunk[1]) + (hunk[2] == "0") if hunk is not None else line + 1
    return made
