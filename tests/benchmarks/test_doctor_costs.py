import argparse

import calibrate
import costs
from programs import Program, write

from lowres.doctor.findings import CHECKS


def row(operator, kind, codes, mean):
    return {"operator": operator, "kind": kind, "codes": codes, "cost": {"mean": mean}}


def test_a_code_costs_the_median_of_its_operators():
    rows = [row("a", "C07", ["TR502", "TR503"], 4.0), row("b", "C07", ["TR502"], 8.0), row("c", "C02", ["LR103"], -1.0)]
    assert calibrate.fit(rows) == {"LR103": 0.0, "TR502": 6.0, "TR503": 4.0}


def test_an_operator_is_in_one_half():
    rows = [row(name, "C07", ["TR502"], 1.0) for name in "abcabd"]
    first, other = calibrate.halves(rows)
    assert {one["operator"] for one in first} == {"a", "c"}
    assert {one["operator"] for one in other} == {"b", "d"}


def test_ranks_are_correlated():
    table = {"TR502": 9.0, "LR103": 5.0, "EV401": 2.0}
    rows = [
        row(code, CHECKS[code].kind, [code], cost) for code, cost in (("TR502", 30.0), ("LR103", 20.0), ("EV401", 1.0))
    ]
    assert calibrate.correlation(rows, table)["rho"] == 1.0
    assert calibrate.correlation(rows[:2], table) == {"n": 2, "rho": None, "p": None}


def test_programs_are_cut_alike_and_a_fault_of_the_epochs_keeps_its_share(tmp_path):
    program = next(one for one in costs.chosen([], costs.SCRATCH) if one.faults[0].touches == "budget")
    base = costs.clean(program.source.base, program.source.style.name)
    write(tmp_path, [program, Program(f"clean-{base.base}-{base.style.name}", "clean", base)])
    found = costs.texts(program, tmp_path, argparse.Namespace(fixed=False, narrow=False, epochs=10))
    share = program.source.value("epochs") / base.value("epochs")
    assert found["clean"][2] == 10
    assert found["faulty"][2] == max(1, round(10 * share))
