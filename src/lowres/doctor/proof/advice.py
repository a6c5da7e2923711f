"""A report after its proof: a fix that does not pay is advised no more, and one that breaks the program not applied."""

from dataclasses import replace

from lowres.doctor.findings import Finding
from lowres.doctor.proof.verdicts import Proof, Step
from lowres.doctor.report import Report


def advised(report: Report, proof: Proof) -> Report:
    """The report with the proof, with withdrawn fixes as notes that cost nothing, and broken ones left to the user."""
    withdrawn = {one.code: one for one in proof.steps if one.word == "withdrawn"}
    broken = {one.code: one.why for one in proof.unproved if one.breaks}
    findings = [_withdrawn(one, withdrawn[one.code]) if one.code in withdrawn else one for one in report.findings]
    findings = [_by_hand(one, broken[one.code]) if one.code in broken else one for one in findings]
    findings.sort(key=lambda one: (one.grade == "note", -one.cost, one.code))
    return replace(report, findings=tuple(findings), proof=proof.to_json())


def _withdrawn(finding: Finding, step: Step) -> Finding:
    if finding.grade == "note":
        return finding
    title = f"{finding.title} (its fix was tried and withdrawn: {points(step)})"
    return replace(finding, title=title, grade="note", cost=0.0, fix=None, unfixed="withdrawn by the proof")


def _by_hand(finding: Finding, why: str) -> Finding:
    if finding.fix is None:
        return finding
    fix = replace(finding.fix, edits=(), code=finding.fix.code or finding.fix.diff)
    return replace(finding, title=f"{finding.title} (its fix was tried: {why})", fix=fix)


def points(step: Step) -> str:
    """A gain with its interval: "+6.1 ± 0.8 points after 3 epochs on 10,000 images"."""
    if step.gain is None:
        return "not measured"
    text = f"{step.gain.mean:+.1f}"
    if step.gain.low is not None and step.gain.high is not None:
        text += f" ± {(step.gain.high - step.gain.low) / 2:.1f}"
    return f"{text} points after {step.proxy.words}"
