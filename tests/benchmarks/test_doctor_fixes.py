"""What `--fix` makes of the bench's programs, told from the sound ones."""

import argparse

import costs
import fixes
import pytest
from programs import Program, write


@pytest.fixture
def program(tmp_path):
    """A program without augmentation and its sound one, in a folder."""
    (one,) = (one for one in costs.chosen(["no-augmentation-resnet9"], costs.SCRATCH))
    base, style = one.source.base, one.source.style.name
    write(tmp_path, [one, Program(f"clean-{base}-{style}", "clean", costs.clean(base, style))])
    return one


def row(program, folder, monkeypatch, text, fixed, sound):
    monkeypatch.setattr(fixes, "examined", lambda file, arguments: {"findings": [], "fixed": text})
    monkeypatch.setattr(fixes, "trained", lambda *arguments: (fixed, sound))
    return fixes.row_of(program, folder, None, argparse.Namespace())


RESULT = {"problem": "", "weights": "a", "steps": 12, "figure": 20.0, "own": 19.5}


def test_the_way_of_writing_does_not_count(program, tmp_path, monkeypatch):
    sound = costs.clean(program.source.base, program.source.style.name).text
    found = row(program, tmp_path, monkeypatch, f"# mended\n\n{sound}\n", {}, {})
    assert (found["sound"], found["alike"], found["differs"], found["trouble"]) == (True, True, [], "")
    assert (found["operator"], found["kind"]) == ("no-augmentation", "C05")


def test_another_program_is_shown_by_its_lines_and_trained(program, tmp_path, monkeypatch):
    text = costs.clean(program.source.base, program.source.style.name).text + "\nanother = 1\n"
    for fixed, alike in (
        (RESULT, True),
        (RESULT | {"weights": "b"}, False),
        (RESULT | {"own": 19.0}, False),
        (RESULT | {"problem": "it raises ValueError"}, False),
    ):
        found = row(program, tmp_path, monkeypatch, text, fixed, RESULT)
        assert (found["sound"], found["alike"], found["differs"]) == (False, alike, ["+another = 1"])
        assert found["trouble"] == fixed["problem"]
    with pytest.raises(RuntimeError, match="the sound program does not run"):
        row(program, tmp_path, monkeypatch, text, RESULT, RESULT | {"problem": "it raises ValueError"})
    blind = row(program, tmp_path, monkeypatch, "", RESULT, RESULT)
    assert "could not see" in blind["trouble"]
    assert not blind["alike"]


def test_a_table_goes_on_where_it_was(tmp_path):
    rows = [
        {"program": "a", "sound": True, "alike": True, "trouble": ""},
        {"program": "b", "sound": False, "alike": False, "trouble": "it fails"},
        {"program": "c", "sound": False, "alike": True, "trouble": ""},
    ]
    fixes.write_rows(tmp_path / "fixes.json", rows)
    assert list(fixes.rows_there(tmp_path / "fixes.json").values()) == rows
    assert fixes.rows_there(tmp_path / "none.json") == {}
    counted = {"programs": 3, "sound_again": 1, "train_alike": 1, "others": 1, "fail": 1}
    assert fixes.counted(rows) == counted
