"""A report after its proof: a fix that does not pay is advised no more."""

from dataclasses import replace

from lowres.doctor.findings import Finding
from lowres.doctor.proof.verdicts import Proof, Step
from lowres.doctor.report import Report


def advised(report: Report, proof: Proof) -> Report:
    """The report with the proof, and with withdrawn fixes as notes that cost nothing."""
    withdrawn = {one.code: one for one in proof.steps if one.word == "withdrawn"}
    findings = [_withdrawn(one, withdrawn[one.code]) if one.code in withdrawn else one for one in report.findings]
    findings.sort(key=lambda one: (one.grade == "note", -one.cost, one.code))
    return replace(report, findings=tuple(findings), proof=proof.to_json())


def _withdrawn(finding: Finding, step: Step) -> Finding:
    if finding.grade == "note":
        return finding
    title = f"{finding.title} (its fix was tried and withdrawn: {points(step)})"
    return replace(finding, title=title, grade="note", cost=0.0, fix=None)


def points(step: Step) -> str:
    """A gain with its interval: "+6.1 ± 0.8 points after 3 epochs on 10,000 images"."""
    if step.gain is None:
        return "not measured"
    text = f"{step.gain.mean:+.1f}"
    if step.gain.low is not None and step.gain.high is not None:
        text += f" ± {(step.gain.high - step.gain.low) / 2:.1f}"
    return f"{text} points after {step.proxy.words}"
