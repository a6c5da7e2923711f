"""Measured costs stand in for the register's, where there are any."""

import json

import pytest

from lowres.doctor import CHECKS, costs, explain
from lowres.doctor.findings import Found, _finding


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A table of two codes."""
    path = tmp_path / "costs.json"
    path.write_text(json.dumps({"points": {"TR502": 7.5, "TR501": 0.1, "EV404": 0.0}, "source": "our own runs"}))
    known = costs.measured(path)
    monkeypatch.setattr("lowres.doctor.findings.measured", lambda: known)


def test_a_measured_cost_counts(table):
    found = _finding(CHECKS["TR502"], Found("no momentum"))
    assert (found.cost, found.source, found.grade) == (7.5, "our own runs", "warning")
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
