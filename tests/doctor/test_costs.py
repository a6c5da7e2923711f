"""Measured costs stand beside those that checks expect, where there are any."""

import ast
import inspect
import json
import sys
import textwrap

import pytest

import lowres.doctor.checks  # noqa: F401 - its modules register themselves
from lowres.doctor import CHECKS, costs, explain
from lowres.doctor.findings import Found


def figures(node):
    """What the code of a cost can give, as far as it is written out."""
    if isinstance(node, ast.IfExp):
        return figures(node.body) + figures(node.orelse)
    return [node.value] if isinstance(node, ast.Constant) else []


def written_costs(function, known=()):
    """The costs of all findings that a check and its helpers make."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = [(node, getattr(node.func, "id", "")) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    given = [kw.value for call, name in calls if name == "Found" for kw in call.keywords if kw.arg == "cost"]
    home = vars(sys.modules[function.__module__])
    helpers = {home[name] for _, name in calls if name.startswith("_") and inspect.isfunction(home.get(name))}
    below = [cost for one in helpers - {function, *known} for cost in written_costs(one, (function, *known))]
    return [cost for value in given for cost in figures(value)] + below


def test_costs_lie_within_the_ranges_of_the_register():
    beyond = {
        code: cost
        for code, entry in CHECKS.items()
        for cost in written_costs(entry.function)
        if not entry.cost[0] <= cost <= entry.cost[1]
    }
    assert beyond == {}
    assert sorted(written_costs(CHECKS["DA204"].function)) == [5, 10, 15, 30]  # those of its helper


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A table of three codes."""
    path = tmp_path / "costs.json"
    path.write_text(json.dumps({"factors": {"TR502": 1.5, "TR505": 0.4, "EV404": 0.1}, "source": "our own runs"}))
    known = costs.measured(path)
    for place in ("findings", "terminal"):
        monkeypatch.setattr(f"lowres.doctor.{place}.measured", lambda: known)


def test_what_was_measured_moves_what_is_expected_of_a_case(table):
    entry = CHECKS["TR502"]
    found = entry.finding(Found("no momentum", cost=3.0))
    assert (found.cost, found.source, found.grade) == (4.5, f"{entry.source}; our own runs", "warning")
    assert entry.finding(Found("no momentum")).cost == pytest.approx(1.5 * entry.prior, abs=0.06)
    assert entry.finding(Found("no momentum", cost=9.0)).cost == entry.cost[1]  # no more than the register allows
    assert "What is expected of a case is multiplied by 1.5 (our own runs)." in explain("TR502")


def test_a_slight_warning_is_a_note_and_a_proved_error_stays(table):
    slight = CHECKS["TR505"].finding(Found("never read", cost=0.5))
    assert (slight.grade, slight.cost) == ("note", 0.2)
    assert CHECKS["TR505"].finding(Found("never read", cost=1.5)).grade == "warning"
    assert CHECKS["EV404"].finding(Found("miscounted")).grade == "error"


def test_a_note_costs_what_it_says_and_what_was_not_measured_stays(table):
    note = CHECKS["TR505"].finding(Found("printed", grade="note", cost=2.0))
    assert (note.grade, note.cost) == ("note", 2.0)
    entry = CHECKS["LR103"]
    found = entry.finding(Found("no schedule"))
    assert (found.cost, found.source) == (entry.prior, entry.source)
    assert "multiplied" not in explain("LR103")


def test_without_a_table_the_checks_stand_alone(tmp_path):
    assert costs.measured(tmp_path / "none.json").factors == {}
    assert costs.measured(tmp_path / "none.json").weigh("TR502", 30.0, (1, 10)) == 30.0
