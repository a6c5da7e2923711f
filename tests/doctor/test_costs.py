"""Measured costs stand beside the register's, where there are any."""

import ast
import inspect
import json
import sys
import textwrap

import pytest

import lowres.doctor.checks  # noqa: F401 - its modules register themselves
from lowres.doctor import CHECKS, costs, explain
from lowres.doctor.findings import Found, _finding


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
    """A table of two codes."""
    path = tmp_path / "costs.json"
    path.write_text(json.dumps({"points": {"TR502": 7.5, "TR501": 0.1, "EV404": 0.0}, "source": "our own runs"}))
    known = costs.measured(path)
    monkeypatch.setattr("lowres.doctor.findings.measured", lambda: known)


def test_a_measured_cost_counts(table):
    found = _finding(CHECKS["TR502"], Found("no momentum"))
    source = f"{CHECKS['TR502'].source}; our own runs"
    assert (found.cost, found.source, found.grade) == (7.5, source, "warning")
    assert "Here it counts with 7.5 (our own runs)." in explain("TR502")


def test_a_slight_warning_is_a_note_and_a_proved_error_stays(table):
    assert _finding(CHECKS["TR501"], Found("no decay")).grade == "note"
    assert _finding(CHECKS["EV404"], Found("miscounted")).grade == "error"


def test_what_was_not_measured_or_is_known_of_the_case_stays(table):
    entry = CHECKS["LR103"]
    found = _finding(entry, Found("no schedule"))
    assert (found.cost, found.source) == (sum(entry.cost) / 2, entry.source)
    assert _finding(CHECKS["TR502"], Found("no momentum", cost=3.0)).cost == 3.0


def test_without_a_table_the_register_stands(tmp_path):
    assert costs.measured(tmp_path / "none.json").points == {}
