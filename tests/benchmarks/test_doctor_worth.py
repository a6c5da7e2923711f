"""Success and harm of fixes, counted from what was measured."""

import json
import sys

import pytest
import worth


def fixed(program, alike=False):
    return {"program": program, "alike": alike}


def trained(operator, cost, left):
    row = {"operator": operator, "base": "vgg", "style": "plain", "cost": {"points": cost}}
    return row | ({"left": {"points": left}} if left else {})


FIXES = [fixed("a-vgg-plain", alike=True), fixed("b-vgg-plain"), fixed("c-vgg-plain"), fixed("d-vgg-plain")]
TRAINED = [
    trained("b", [10.0, 12.0, 11.0], [0.2, 0.6, 0.4]),
    trained("c", [1.0, 0.0, -1.0], [1.0, 1.5, 0.5]),
    trained("d", [1.0], []),
]


def test_success_and_harm_are_counted_by_the_mean():
    others = worth.joined(FIXES, TRAINED)
    assert [row["program"] for row in others] == ["b-vgg-plain", "c-vgg-plain", "d-vgg-plain"]
    assert others[0]["gain"] == pytest.approx([9.8, 11.4, 10.6])
    assert others[2] == {"program": "d-vgg-plain", "left": None, "gain": None}
    counts = worth.counted(FIXES, others)
    assert list(counts.values()) == [4, 1, 1, 1, 1]


def test_what_was_trained_twice_counts_as_the_second_time():
    (row,) = worth.joined([fixed("b-vgg-plain")], [*TRAINED, trained("b", [2.0, 2.0], [5.0, 4.0])])
    assert (row["left"], row["gain"]) == ([5.0, 4.0], [-3.0, -2.0])


def test_each_program_has_a_line_and_files_of_several_doctors_are_refused(tmp_path, monkeypatch, capsys):
    files = [tmp_path / "fixes.json", tmp_path / "trained.json"]
    monkeypatch.setattr(sys, "argv", ["worth.py", *map(str, files), "--out", str(tmp_path / "worth.json")])
    files[0].write_text(json.dumps({"sources": "x", "rows": FIXES}))
    files[1].write_text(json.dumps({"sources": "x", "operators": TRAINED}))
    worth.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "b-vgg-plain: +0.4 (-0.1 to +0.9); +10.6 (+8.6 to +12.6)"
    assert lines[3] == "d-vgg-plain: not trained; not trained"
    assert json.loads(lines[4])["worse by more than 0.3"] == 1
    assert json.loads((tmp_path / "worth.json").read_text())["counted"] == json.loads(lines[4])
    files[1].write_text(json.dumps({"sources": "y", "operators": TRAINED}))
    with pytest.raises(SystemExit):
        worth.main()
    assert "several doctors" in capsys.readouterr().err
