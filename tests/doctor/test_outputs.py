"""The register, its page in the documentation, and the report in its forms."""

import json
import re
from pathlib import Path

import pytest

from lowres.app import doctor as verb
from lowres.doctor import CHECKS, Finding, Fix, Place, Report, explain
from lowres.doctor.edits import Edit
from lowres.doctor.findings import Found, check
from lowres.doctor.pages import page
from lowres.doctor.sarif import to_sarif
from lowres.errors import UserError

ROOT = Path(__file__).parents[2]
EDITS = (Edit("keyword", 3, 6, 3, 12, "0.9", "momentum"),)
DIFF = """\
--- a/train.py
+++ a/train.py
@@ -2,2 +2,2 @@
 p = 1
-opt = SGD(p)
+opt = SGD(p, momentum=0.9)
@@ -7,0 +8,1 @@
+scheduler.step()"""
FINDING = Finding(
    "TR502", "SGD without <momentum>", "warning", 4.0, {"momentum": 0.0}, Place("a/train.py", 3),
    Fix("pass momentum=0.9", "a/train.py", EDITS, DIFF), "cases", "C07",
)  # fmt: skip
REPORT = Report(
    "a/train.py", "1 fault found", (FINDING,), {"low": 94, "high": 95, "this_setup": 90}, {"epochs": 3}, ("n",)
)


def test_codes_are_well_formed_and_explained():
    import lowres.doctor.checks  # noqa: F401 - registers them

    assert len(CHECKS) > 50
    for code, entry in CHECKS.items():
        assert re.fullmatch(r"[A-Z]{2}\d{3}", code)
        assert len(entry.explanation) > 60, code
        assert entry.cost[0] <= entry.cost[1]
        assert entry.source
        assert code in explain(code)


def test_the_page_of_findings_is_that_of_the_register():
    assert (ROOT / "docs/reference/findings.md").read_text(encoding="utf-8") == page()


def test_a_code_belongs_to_one_check():
    with pytest.raises(ValueError, match="two checks have the code TR502"):
        check("TR502", "x", grade="note", kind="C07", cost=(0, 0), source="x")(lambda setup: None)


def test_a_plug_in_s_check_is_applied(objects):
    import lowres

    @check("XX901", "a plug-in's", grade="note", kind="C36", cost=(0, 0), source="x")
    def plugged(setup):
        """Speaks always."""
        return Found(f"{setup.epochs} epochs")

    try:
        found = {one.code: one.title for one in lowres.diagnose(**objects).findings}
    finally:
        del CHECKS["XX901"]
    assert found["XX901"] == "30 epochs"


def test_a_check_that_fails_takes_no_other_along(objects):
    import lowres

    @check("XX902", "broken", grade="note", kind="C36", cost=(0, 0), source="x")
    def broken(setup):
        """Fails."""
        raise RuntimeError("oh")

    try:
        report = lowres.diagnose(**objects)
    finally:
        del CHECKS["XX902"]
    assert any("XX902 could not be checked" in note for note in report.notes)


def test_a_report_survives_json():
    assert Report.from_json(json.loads(json.dumps(REPORT.to_json()))) == REPORT
    assert REPORT.to_json()["schema"] == 2


def test_figures_that_json_has_no_word_for():
    one = Finding("LO305", "x", "error", 1.0, {"loss": float("nan"), "at": float("inf")}, None, None, "", "")
    assert json.loads(json.dumps(one.to_json(), allow_nan=False))["evidence"] == {"loss": "nan", "at": "inf"}


def test_sarif_has_rules_results_and_fixes():
    log = to_sarif(REPORT)["runs"][0]
    result = log["results"][0]
    assert log["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "TR502"
    assert result["level"] == "warning"
    assert result["locations"][0]["physicalLocation"]["region"]["startLine"] == 3
    first, second = result["fixes"][0]["artifactChanges"][0]["replacements"]
    assert first["insertedContent"]["text"] == "opt = SGD(p, momentum=0.9)\n"
    assert (first["deletedRegion"]["startLine"], first["deletedRegion"]["endLine"]) == (3, 4)
    assert second["insertedContent"]["text"] == "scheduler.step()\n"
    assert (second["deletedRegion"]["startLine"], second["deletedRegion"]["endLine"]) == (8, 8)


def test_the_page_escapes_what_it_quotes():
    pytest.importorskip("jinja2")
    from lowres.doctor.web import to_html

    assert "SGD without &lt;momentum&gt;" in to_html(REPORT)


@pytest.fixture
def answered(monkeypatch):
    monkeypatch.setattr(verb, "examine_target", lambda *words, **options: REPORT)


def test_the_terminal_shows_code_place_points_and_fix(answered, capsys):
    assert verb.run(["train.py"]) == 1
    said = capsys.readouterr().out
    for word in ("warning[TR502]", "a/train.py:3", "4 points", "pass momentum=0.9", "+opt = SGD"):
        assert word in said


def test_json_alone_stands_on_standard_output(answered, capsys, tmp_path):
    assert (
        verb.run(["train.py", "--json", "--sarif", str(tmp_path / "x.sarif"), "--html", str(tmp_path / "x.html")]) == 1
    )
    assert json.loads(capsys.readouterr().out)["findings"][0]["code"] == "TR502"
    assert json.loads((tmp_path / "x.sarif").read_text())["version"] == "2.1.0"
    assert "TR502" in (tmp_path / "x.html").read_text()


def test_arguments_behind_dashes_are_the_script_s(monkeypatch):
    given = {}

    def examine(target, arguments, **options):
        given["arguments"] = arguments
        return REPORT

    monkeypatch.setattr(verb, "examine_target", examine)
    verb.run(["train.py", "--json", "--", "--epochs", "3"])
    assert given["arguments"] == ["--epochs", "3"]


def test_explaining(capsys):
    assert verb.run(["--explain", "lr103"]) == 0
    assert "LR103: no schedule (warning)" in capsys.readouterr().out
    with pytest.raises(UserError, match="unknown code 'LR999'"):
        verb.run(["--explain", "LR999"])


def test_nothing_asked():
    with pytest.raises(UserError, match="name a script"):
        verb.run([])
