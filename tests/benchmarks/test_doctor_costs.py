"""What faults cost in short trainings, and the doctor's table of that."""

import argparse
import json
import re
from pathlib import Path

import calibrate
import costs
import pytest
from programs import Program, write

from lowres.doctor import CHECKS
from lowres.doctor.costs import TABLE

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def row(operator, kind, code, mean, expected=1.0):
    row = {"operator": operator, "kind": kind, "code": code, "expected": expected, "cost": {"mean": mean}}
    return row | {"clean": 110.0}  # so that points are percent of what is above chance


def test_an_operators_programs_count_as_one():
    rows = [row("b", "C07", "TR502", 4.0), row("a", "C07", "TR502", 1.0), row("b", "C07", "TR502", 8.0)]
    assert [(one["operator"], one["share"]) for one in calibrate.operators(rows)] == [("a", 1.0), ("b", 6.0)]
    assert calibrate.share(row("a", "C07", "TR502", 13.0) | {"clean": 36.0}) == 50.0


def test_an_operator_is_taken_from_the_last_file_that_has_it():
    early = [row("a", "C02", "LR103", 1.0), row("b", "C07", "TR502", 2.0), row("b", "C07", "TR502", 3.0)]
    late = [row("a", "C02", "LR103", 9.0), {"operator": "b", "trouble": "it fails"}]
    found = calibrate.latest([early, late])
    assert [(one["operator"], one["cost"]["mean"]) for one in found] == [("a", 9.0), ("b", 2.0), ("b", 3.0)]


def test_a_fault_is_expected_to_cost_what_its_likes_do_and_what_the_report_says():
    rows = [
        row("a", "C07", "TR502", 16.0, 2.0),
        row("b", "C07", "TR503", 1.0, 1.5),
        row("c", "C02", "LR103", 3.0, 6.5),
    ]
    known = calibrate.operators(rows)  # half a point for each percent
    for wanted, fault in (
        (6.0, row("d", "C07", "TR502", 0.0, 3.0)),  # its like costs four times what is expected: twice
        (10.0, row("d", "C07", "TR502", 0.0, 6.0)),  # no more than the register allows
        (1.5, row("d", "C06", "TR501", 0.0, 1.5)),  # by the report alone, whatever its kind
    ):
        assert calibrate.calibrated(known, fault) == pytest.approx(wanted)


def test_the_table_has_what_was_measured_and_acquits_of_nothing():
    rows = [row("a", "C07", "TR502", 4.0, 3.0), row("b", "C07", "TR502", 9.0, 3.0), row("c", "C07", "", 9.0, None)]
    rows += [row("d", "C31", "AR105", 107.0, 10.0), row("e", "C12", "AR106", -20.0, 8.0)]
    known = calibrate.operators(rows)  # 24 points for 100 percent
    assert calibrate.factors(known) == {"AR105": 1.6, "TR502": 0.69}
    assert calibrate.calibrated(known, row("f", "C12", "AR106", 0.0, 8.0)) == 8.0


def test_what_works_late_is_judged_by_a_later_file_and_what_only_misleads_by_none():
    first = [row("a", "C02", "LR103", 1.0), row("b", "C07", "TR502", 2.0), row("c", "C24", "EV404", 0.0)]
    assert [one["operator"] for one in calibrate.judged([{"operators": first}])] == ["b"]
    second = [row("a", "C02", "LR103", 9.0), row("d", "C25", "DA213", 1.0)]
    found = calibrate.judged([{"operators": first}, {"operators": second}])
    assert [(one["operator"], one["share"]) for one in found] == [("a", 9.0), ("b", 2.0)]


def test_ranks_are_correlated():
    assert calibrate.correlation([1.0, 2.0, 9.0], [10.0, 20.0, 30.0])["rho"] == 1.0
    assert calibrate.correlation([1.0, 2.0, 9.0], [10.0, 20.0, 0.0])["rho"] == -0.5
    assert calibrate.correlation([1.0, 1.0, 1.0], [10.0, 20.0, 0.0])["rho"] is None
    assert calibrate.correlation([1.0, 2.0], [10.0, 20.0]) == {"n": 2, "rho": None, "p": None}


def test_what_is_tested_was_not_fitted():
    kinds = {"TR502": ("C07", 1.0), "LR103": ("C02", 5.0), "EV401": ("C11", 9.0)}
    rows = [
        row(f"{code}-{half}", kind, code, cost + half, 4 - cost / 8)
        for code, (kind, cost) in kinds.items()
        for half in (0, 1)
    ]
    rows.append(row("named-by-none", "C11", "", 50.0, None))
    found = calibrate.tested(calibrate.operators(rows))
    assert {name: (one["calibrated"]["n"], one["report"]["rho"]) for name, one in found.items()} == {
        "first half": (3, -1.0),
        "second half": (3, -1.0),
    }
    assert {one["calibrated"]["rho"] for one in found.values()} == {1.0}


def test_each_operator_comes_once_before_any_comes_again():
    programs = costs.chosen([], costs.SCRATCH)
    names = [one.faults[0].name for one in programs]
    assert len(set(names[: len(set(names))])) == len(set(names)) < len(names)
    assert {one.source.base for one in programs} == set(costs.QUICKEST)


def test_each_operator_is_put_into_one_program_those_that_work_late_last():
    programs = costs.once([], ["resnet9", "vgg"])
    names = [one.faults[0].name for one in programs]
    assert len(set(names)) == len(names) > 50
    assert {one.source.style.name for one in programs} == {"plain", "classes"}
    late = [one.faults[0].kind in costs.REGULARISING + costs.SCHEDULES for one in programs]
    assert late == sorted(late)
    assert [one.name for one in costs.once(["no-momentum"], ["resnet9", "vgg"])] == ["no-momentum-vgg-plain"]


def test_equal_trainings_are_one_and_each_program_is_told_when_it_is_measured():
    asked = [
        costs.Asked(name, [], {("clean", 0): {"source": "clean"}, ("faulty", 0): {"source": name}})
        for name in ("a", "b")
    ]
    told = []

    class Crew:
        def run(self, requests, estimates, deadline, end, heard):
            assert [one["source"] for one in requests] == ["clean", "a", "b"]
            for place in (0, 2, 1):
                heard(place, {"figure": float(place)})

    costs.train(asked, Crew(), 1.0, lambda one, results: told.append((one.program, results["faulty", 0]["figure"])))
    assert told == [("b", 2.0), ("a", 1.0)]


def test_a_measurement_goes_on_from_its_file(tmp_path):
    arguments = argparse.Namespace(images=9, epochs=3, test=4, batch=0, narrow=4, seeds=3, fixed=True)
    rows = [row("a", "C07", "TR502", 4.0), row("b", "C07", "TR502", 8.0)]
    costs.write_rows(tmp_path / "costs.json", rows, arguments)
    assert costs.rows_there(tmp_path / "costs.json", costs.head(arguments)) == rows
    assert costs.rows_there(tmp_path / "none.json", costs.head(arguments)) == []
    arguments.images = 10
    with pytest.raises(SystemExit, match="was measured otherwise"):
        costs.rows_there(tmp_path / "costs.json", costs.head(arguments))


def test_programs_are_cut_alike_and_a_fault_of_the_epochs_keeps_its_share(tmp_path):
    program = next(one for one in costs.chosen([], costs.SCRATCH) if one.faults[0].touches == "budget")
    base = costs.clean(program.source.base, program.source.style.name)
    write(tmp_path, [program, Program(f"clean-{base.base}-{base.style.name}", "clean", base)])
    found = costs.texts(program, tmp_path, argparse.Namespace(fixed=False, narrow=1, epochs=10))
    share = program.source.value("epochs") / base.value("epochs")
    assert found["clean"][2] == 10
    assert found["faulty"][2] == max(1, round(10 * share))


def test_a_row_has_what_the_report_expected_and_what_was_measured():
    (program,) = costs.once(["no-momentum"], ["vgg"])
    results = {
        (name, seed): {"problem": "", "figure": figure}
        for name, figures in {"clean": (50.0, 52.0), "faulty": (44.0, 42.0), "fixed": (50.0, 51.0)}.items()
        for seed, figure in enumerate(figures)
    }
    found = costs.row_of(costs.Asked(program, [["LR103", 9.0], ["TR502", 4.0], ["TR505", 2.0]], {}), results)
    assert (found["code"], found["expected"], found["clean"]) == ("TR502", 4.0, 51.0)
    assert (found["cost"]["mean"], found["cost"]["points"], found["left"]["mean"]) == (8.0, [6.0, 10.0], 0.5)
    silent = costs.row_of(costs.Asked(program, [["LR103", 9.0]], {}), results)
    assert (silent["code"], silent["expected"]) == ("", None)


def test_the_doctor_s_table_is_the_one_that_was_measured():
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    paths = [RESULTS / name for name in re.findall(r"doctor-costs[\w-]*\.json", table["source"])]
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    assert table == {
        "source": calibrate.source_of(paths, documents),
        "factors": calibrate.factors(calibrate.judged(documents)),
    }
    assert set(table["factors"]) <= set(CHECKS)


def test_a_doctor_that_is_calibrated_is_not_calibrated_again(tmp_path, monkeypatch):
    monkeypatch.setattr(costs, "TABLE", tmp_path / "costs.json")
    (tmp_path / "costs.json").write_text("{}")
    monkeypatch.setattr("sys.argv", ["costs.py", "--names", "no-decay-resnet9", "--work", str(tmp_path / "work")])
    with pytest.raises(SystemExit, match=r"^move .* away"):
        costs.main()
    assert not (tmp_path / "work").exists()


def test_ranks_are_those_of_the_files_that_they_name():
    for name in ("doctor-ranks.json", "doctor-ranks-late.json"):
        kept = json.loads((RESULTS / name).read_text(encoding="utf-8"))
        paths = [RESULTS / one for one in re.findall(r"doctor-costs[\w-]*\.json", kept["source"])]
        documents = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
        rows = calibrate.operators(calibrate.latest([one["operators"] for one in documents]))
        assert kept["all"] == calibrate.tested(rows)
        assert kept["judged by a training that suits them"] == calibrate.tested(calibrate.judged(documents))
