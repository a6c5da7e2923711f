import argparse
import json

import expected
import pytest
import report
import run
import scoring
from scoring import Outcome, Tally


def accepted(fault):
    kinds = {fault["kind"], *fault["also"]} - {""}
    return frozenset(kind.replace("C", "LR") for kind in kinds)


def fault(kind, *, tier=1, cost=5.0, also=()):
    return {"operator": f"op-{kind}", "kind": kind, "also": list(also), "tier": tier, "cost": cost}


def entry(*faults, name="p", extra=()):
    return {"name": name, "group": "single" if faults else "clean", "faults": list(faults), "extra": list(extra)}


def outcome(faults, findings, **more):
    return Outcome(entry(*faults, **more), tuple(findings), 2.0)


def test_hits_misses_and_false_alarms_are_counted():
    counts = scoring.tally(
        outcome(
            [fault("C01", cost=20), fault("C05"), fault("C24", tier=3, cost=0.1)],
            [("LR05", "warning"), ("LR01", "error"), ("LR99", "warning"), ("LR24", "note")],
        ),
        accepted,
    )
    assert (counts.faults, counts.found) == (3, 2)
    assert (counts.first_tier, counts.first_tier_found) == (2, 2)
    assert (counts.errors, counts.errors_right) == (1, 1)
    assert (counts.warnings, counts.warnings_right) == (2, 1)
    assert counts.missed == ["op-C24"]  # a note finds nothing
    assert counts.false == ["LR99"]
    assert (counts.ranked, counts.ranked_right, counts.ranked_several_right) == (1, 0, 0)
    assert counts.sound == 0


def test_the_costliest_may_be_any_of_equals_and_notes_before_it_do_not_count():
    faults = [fault("C01", cost=20), fault("C04", cost=20), fault("C05", cost=1)]
    counts = scoring.tally(outcome(faults, [("LR05", "note"), ("LR04", "error"), ("LR01", "error")]), accepted)
    assert (counts.ranked_right, counts.ranked_several_right) == (1, 1)


def test_what_a_fault_entails_is_a_right_answer():
    counts = scoring.tally(outcome([fault("C04", also=["C21"])], [("LR21", "error")]), accepted)
    assert (counts.found, counts.errors_right, counts.false) == (1, 1, [])


def test_what_is_also_there_is_no_false_alarm_and_no_miss():
    counts = scoring.tally(outcome([fault("C03")], [("LR03", "error"), ("LR18", "warning")], extra=["C18"]), accepted)
    assert (counts.faults, counts.found, counts.false) == (1, 1, [])


def test_sound_programs_count_false_alarms():
    counts = scoring.tally(outcome([], [("LR01", "warning"), ("LR02", "error"), ("LR03", "note")]), accepted)
    assert (counts.sound, counts.false_alarms, counts.ranked) == (1, 2, 0)


def test_a_spared_code_counts_where_it_is_right_alone():
    answer = [("LR18", "warning"), ("LR03", "warning")]
    counts = scoring.tally(outcome([fault("C03")], answer), accepted, frozenset({"LR03", "LR18"}))
    assert (counts.found, counts.warnings, counts.false, counts.ranked_right) == (1, 1, [], 1)


def test_scores_are_quotients_of_sums_with_intervals():
    tallies = [Tally(faults=2, found=1, sound=0), Tally(faults=1, found=1), Tally(sound=1, false_alarms=1)]
    scores = scoring.scores(tallies, draws=500)
    assert scores["recall, all"]["value"] == pytest.approx(2 / 3, abs=1e-4)
    assert scores["recall, all"]["counts"] == [2, 3]
    low, high = scores["recall, all"]["interval"]
    assert 0.5 <= low <= 2 / 3 <= high <= 1
    assert scores["false alarms per sound program"]["value"] == 1
    assert scores["precision of errors"] == {"value": None, "interval": None, "counts": [0, 0]}
    assert scoring.scores(tallies, draws=500) == scores


def test_tables_name_programs():
    outcomes = [outcome([fault("C01")], [], name="a"), outcome([fault("C01")], [("LR01", "error")], name="b")]
    outcomes.append(outcome([], [("LR07", "warning")], name="c"))
    tallies = [scoring.tally(one, accepted) for one in outcomes]
    row = scoring.by_operator(outcomes, tallies)["op-C01"]
    assert (row["there"], row["found"], row["missed_in"]) == (2, 1, ["a"])
    assert scoring.false_alarms(outcomes, tallies) == {"LR07": ["c"]}
    result = report.summarise(outcomes, tallies)
    assert "LR07 x1: c" in report.text("doctor", result)
    assert report.compact(result)["operators"] == {"op-C01": "1/2"}
    assert report.compact(result)["false_alarms"] == {"LR07": 1}
    answers = [{"findings": [{"code": c, "grade": g} for c, g in one.findings]} for one in outcomes]
    assert "MISSED op-C01" in report.feedback(outcomes, tallies, answers, accepted)


@pytest.mark.parametrize("tool", expected.TOOLS)
def test_tables_of_tools_know_classes_and_nothing_else(tool):
    table = expected.TOOLS[tool]
    assert all(kind in {f"C{number:02}" for number in range(1, 37)} for kind in table)
    answers = expected.accepted(tool)({"kind": "C20", "also": ["C15"], "operator": ""})
    assert answers == frozenset(table["C20"]) | frozenset(table.get("C15", ()))


def test_the_doctors_table_has_its_register():
    pytest.importorskip("lowres.doctor")
    import lowres.doctor.checks  # noqa: F401 - its modules register themselves
    from lowres.doctor.findings import CHECKS

    listed = {code for codes in expected.DOCTOR.values() for code in codes}
    assert listed <= set(CHECKS)
    for check in CHECKS.values():
        if check.kind in expected.DOCTOR and check.cost != (0, 0) and check.grade != "note":
            assert check.code in expected.DOCTOR[check.kind], check.code


def test_findings_are_read_behind_other_output():
    document = {"findings": [{"code": "LR101", "grade": "error", "cost": 3.0, "title": "t", "line": 4}]}
    found = run.read("epoch 1\n" + json.dumps(document, indent=1) + "\n")
    findings = [{"code": "LR101", "grade": "error", "cost": 3.0, "title": "t"}]
    assert found == {"findings": findings, "blind": False}
    assert run.read('{"findings": [], "notes": ["the program was ended before its end: late"]}')["blind"]
    assert run.read('{"findings": [], "problem": "too slow"}')["trouble"] == "too slow"
    assert run.read("no JSON\n") is None
    assert run.read('{"half":\n') is None


def test_a_sample_has_of_every_group():
    entries = [{"name": str(i), "group": "one" if i < 90 else "other"} for i in range(100)]
    chosen = run.sample(entries, 10, seed=0)
    assert {e["group"] for e in chosen} == {"one", "other"}
    assert len(chosen) == 10


def test_answers_are_asked_for_once_and_kept(tmp_path, monkeypatch):
    # A tool that prints one finding stands in for the doctor.
    fake = tmp_path / "lowres" / "app" / "main.py"
    fake.parent.mkdir(parents=True)
    (tmp_path / "lowres" / "__init__.py").write_text("")
    document = json.dumps({"findings": [{"code": "LR1", "grade": "note"}]})
    fake.write_text(
        "import sys\ndef main():\n    print('noise')\n"
        f"    print({document!r})\n    open(sys.argv[-3], 'w').write('fixed = 1\\n')\n"
    )
    (tmp_path / "p.py").write_text("fixed = 0\n")
    monkeypatch.setattr(run.lowres, "__file__", str(tmp_path / "lowres" / "__init__.py"))
    arguments = argparse.Namespace(tool_path=None, work=tmp_path, data_dir=tmp_path, timeout=60.0, seconds=None)
    kept = tmp_path / "answer.json"
    answer = run.ask("doctor", tmp_path / "p.py", arguments, kept)
    assert [f["code"] for f in answer["findings"]] == ["LR1"]
    assert answer["fixed"] == "fixed = 1\n"
    fake.write_text("raise SystemExit(9)")
    assert run.ask("doctor", tmp_path / "p.py", arguments, kept) == answer
    trouble = run.ask("doctor", tmp_path / "p.py", arguments, tmp_path / "other.json")
    assert trouble["trouble"].startswith("exit 9")
    assert not (tmp_path / "other.json").exists()
