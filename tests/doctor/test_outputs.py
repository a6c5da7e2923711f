"""The register, its page in the documentation, and the report in its forms."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from lowres.app import doctor as verb
from lowres.doctor import CHECKS, Finding, Fix, Place, Report, explain
from lowres.doctor.findings import Found, check
from lowres.doctor.pages import page
from lowres.doctor.patching.edits import Edit
from lowres.doctor.sarif import to_sarif
from lowres.doctor.source import read
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


# Mended files.

SCRIPT = "import torch\n\nopt = SGD(p)\nf()\n"


@pytest.fixture
def script(tmp_path, monkeypatch):
    """A script whose report has a fix for it, one by hand and a note."""
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    source = read(path)
    sgd, f = source.calls("SGD", "f")
    findings = (
        replace(FINDING, fix=source.fix("pass momentum=0.9", source.with_keyword(sgd, "momentum", "0.9"))),
        replace(FINDING, code="EV403", fix=Fix("hold images out", code="split(data)")),
        replace(
            FINDING, code="DA206", grade="note", fix=source.fix("shuffle", source.with_keyword(f, "shuffle", "True"))
        ),
    )
    report = replace(REPORT, target=str(path), findings=findings)
    monkeypatch.setattr(verb, "examine_target", lambda *words, **options: report)
    return path


@pytest.mark.parametrize("words", [["{}", "--fix"], ["--fix", "{}"], ["{}", "--fix=all"], ["--fix", "all", "{}"]])
def test_the_script_is_mended_beside_it(script, capsys, words):
    assert verb.run([word.format(script) for word in words]) == 1
    assert script.read_text() == SCRIPT
    mended = script.with_name("train.fixed.py")
    assert mended.read_text() == SCRIPT.replace("SGD(p)", "SGD(p, momentum=0.9)  # lowres TR502")
    assert "+opt = SGD(p, momentum=0.9)  # lowres TR502" in script.with_name("train.fixed.diff").read_text()
    said = capsys.readouterr().out
    for word in ("fixed TR502: pass momentum=0.9", "not fixed EV403", "    split(data)", f"1 fix applied: {mended}"):
        assert word in said


@pytest.mark.parametrize("words", [["--fix=DA206"], ["--fix", "da206"], ["--fix", "DA206,EV403"]])
def test_codes_choose_what_is_mended(script, tmp_path, words):
    verb.run([*words, str(script), "--out", str(tmp_path / "other.py")])
    text = (tmp_path / "other.py").read_text()
    assert text == SCRIPT.replace("f()", "f(shuffle=True)  # lowres DA206")
    assert (tmp_path / "other.diff").exists()


def test_mending_in_json(script, capsys):
    verb.run([str(script), "--fix", "--json"])
    fixed = json.loads(capsys.readouterr().out)["fixed"]
    assert [one["applied"] for one in fixed["fixes"]] == [True, False]
    assert fixed["file"].endswith("train.fixed.py")


def test_nothing_to_write(script, capsys):
    verb.run([str(script), "--fix=EV403"])
    assert "no fix could be applied: nothing was written" in capsys.readouterr().out
    assert [path.name for path in script.parent.iterdir()] == ["train.py"]


def test_what_cannot_be_mended(script, tmp_path):
    bad = {
        ("--fix=LR999", "{}"): "--fix LR999: there is no such finding here; found are TR502, EV403, DA206",
        ("torchvision:resnet50", "--fix"): "--fix takes a script or a notebook",
        ("{}", "--fix", "--recipe"): "choose one",
        ("{}", "--out", "x.py"): "give one of them",
        ("{}", "--fix", "--out", "{}"): "never overwritten",
    }
    for words, message in bad.items():
        with pytest.raises(UserError, match=re.escape(message)):
            verb.run([word.format(script) for word in words])


def test_the_recipe_that_lowres_train_takes(script, monkeypatch, capsys):
    from lowres import recipes
    from lowres.doctor.as_recipe import Prescription

    made = Prescription(replace(recipes.load_recipe("resnet20"), name="train"), ("epochs: 60",))
    monkeypatch.setattr(verb, "prescribe", lambda report, name: made)
    for _ in range(2):  # it may be written again
        verb.run([str(script), "--recipe"])
    path = script.with_name("train.recipe.json")
    assert recipes.read(path) == made.recipe
    said = capsys.readouterr().out
    assert "recipe: epochs: 60" in said
    assert f"lowres train {path}" in said
