"""The report on a terminal: a headline, a line for each finding with its code, place and points, its fix below."""

from rich.console import Console
from rich.text import Text

from lowres.doctor.costs import measured
from lowres.doctor.findings import CHECKS, Finding
from lowres.doctor.report import Report
from lowres.errors import unknown

COLOURS = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}


def show(report: Report, screen: Console) -> None:
    """Prints a report."""
    if report.traceback:
        screen.print(report.traceback + "\n")
    screen.print(Text(f"{report.target}: ", style="bold") + Text(report.headline))
    for finding in report.findings:
        screen.print()
        _show_finding(finding, screen)
    if report.expected and report.expected["low"] - report.expected["this_setup"] < 0.5:
        screen.print(f"\nexpected here: {report.expected['low']:g} to {report.expected['high']:g} %")
    for note in report.notes:
        screen.print(Text("note: ", style="dim") + Text(note, style="dim"))
    if report.findings:
        codes = " ".join(sorted({one.code for one in report.findings})[:3])
        screen.print(
            f"\n`lowres doctor --explain CODE` says more ({codes}); `# lowres: ignore[CODE]` in the source silences"
        )


def _show_finding(finding: Finding, screen: Console) -> None:
    colour = COLOURS[finding.grade]
    points = f"{finding.cost:.3g} points" if finding.cost >= 0.05 else "no points"
    head = Text(f"{finding.grade}[{finding.code}]", style=colour)
    screen.print(head + Text(f" {finding.title}", style="bold") + Text(f"  ({points})", style="dim"))
    if finding.place is not None:
        screen.print(Text(f"  --> {finding.place.path}:{finding.place.line}", style="blue"))
    if finding.fix is None:
        return
    screen.print(Text(f"  fix: {finding.fix.title}", style="green"))
    lines = [line for line in finding.fix.diff.splitlines() if not line.startswith(("---", "+++", "@@"))]
    for line in lines or finding.fix.code.splitlines():
        style = "green" if line.startswith("+") else "red" if line.startswith("-") else "dim"
        screen.print(Text(f"    {line}", style=style))


def explain(code: str) -> str:
    """What a code means, how it is found, when it stays silent, and where its cost is from.

    Raises:
        UserError: There is no such code.
    """
    import lowres.doctor.checks  # noqa: F401 - its modules register themselves

    entry = CHECKS.get(code.upper())
    if entry is None:
        raise unknown("code", code, CHECKS)
    low, high = entry.cost
    words = "\n".join(line.removeprefix("    ") for line in entry.explanation.splitlines())
    cost = f"Cost: {low:g} to {high:g} points ({entry.source})."
    table = measured()
    if entry.code in table.factors:
        cost += f" What is expected of a case is multiplied by {table.factors[entry.code]:g} ({table.source})."
    return f"{entry.code}: {entry.title} ({entry.grade})\n\n{words}\n\n{cost}"
