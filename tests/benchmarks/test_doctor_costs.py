import argparse

import calibrate
import costs
import pytest
from programs import Program, write

from lowres.doctor.findings import CHECKS


def row(operator, kind, codes, mean):
    return {"operator": operator, "kind": kind, "codes": codes, "cost": {"mean": mean}}


def test_an_operators_programs_count_as_one():
    rows = [row("b", "C07", ["TR502"], 4.0), row("a", "C07", ["TR502"], 1.0), row("b", "C07", ["TR502"], 8.0)]
    assert [(one["operator"], one["points"]) for one in calibrate.operators(rows)] == [("a", 1.0), ("b", 6.0)]


def test_a_code_costs_the_median_of_its_operators():
    rows = [row("a", "C07", ["TR502", "TR503"], 4.0), row("b", "C07", ["TR502"], 8.0), row("c", "C02", ["LR103"], -1.0)]
    assert calibrate.fit(calibrate.operators(rows)) == {"LR103": 0.0, "TR502": 6.0, "TR503": 4.0}


def test_ranks_are_correlated():
    table = {"TR502": 9.0, "LR103": 5.0, "EV401": 2.0}
    rows = [
        row(code, CHECKS[code].kind, [code], cost) for code, cost in (("TR502", 30.0), ("LR103", 20.0), ("EV401", 1.0))
    ]
    rows = calibrate.operators(rows)
    assert calibrate.correlation(rows, table)["rho"] == 1.0
    assert calibrate.correlation(rows[:2], table) == {"n": 2, "rho": None, "p": None}


def test_what_is_tested_was_not_fitted():
    kinds = {"TR502": 1.0, "LR103": 5.0, "EV401": 9.0}
    rows = [
        row(f"{code}-{half}", CHECKS[code].kind, [code], cost + half) for code, cost in kinds.items() for half in (0, 1)
    ]
    found = calibrate.tested(calibrate.operators(rows))
    assert found["fitted"] == {"n": 3, "rho": 1.0, "p": 0.0}
    assert found["register"]["n"] == 3


def test_each_operator_comes_once_before_any_comes_again():
    programs = costs.chosen([], costs.SCRATCH)
    names = [one.faults[0].name for one in programs]
    assert len(set(names[: len(set(names))])) == len(set(names)) < len(names)
    assert {one.source.base for one in programs} == set(costs.QUICKEST)


def test_equal_trainings_are_one_and_each_program_is_told_when_it_is_measured():
    asked = [
        costs.Asked(name, {("clean", 0): {"source": "clean"}, ("faulty", 0): {"source": name}}) for name in ("a", "b")
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
    arguments = argparse.Namespace(images=9, epochs=3, test=4, batch=0, narrow=True, seeds=3, fixed=True)
    rows = [row("a", "C07", ["TR502"], 4.0), row("b", "C07", ["TR502"], 8.0)]
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
    found = costs.texts(program, tmp_path, argparse.Namespace(fixed=False, narrow=False, epochs=10))
    share = program.source.value("epochs") / base.value("epochs")
    assert found["clean"][2] == 10
    assert found["faulty"][2] == max(1, round(10 * share))
