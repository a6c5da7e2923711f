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


def row(program, folder, monkeypatch, text):
    monkeypatch.setattr(fixes, "fixed", lambda file, arguments: text)
    monkeypatch.setattr(fixes, "fails", lambda *arguments: "it raises ValueError")
    return fixes.row_of(program, folder, None, argparse.Namespace())


def test_the_way_of_writing_does_not_count(program, tmp_path, monkeypatch):
    sound = costs.clean(program.source.base, program.source.style.name).text
    found = row(program, tmp_path, monkeypatch, f"# mended\n\n{sound}\n")
    assert (found["sound"], found["differs"], found["trouble"]) == (True, [], "")
    assert (found["operator"], found["kind"]) == ("no-augmentation", "C05")


def test_another_program_is_shown_by_its_lines_and_run(program, tmp_path, monkeypatch):
    sound = costs.clean(program.source.base, program.source.style.name).text
    found = row(program, tmp_path, monkeypatch, f"{sound}\nanother = 1\n")
    assert (found["sound"], found["differs"], found["trouble"]) == (False, ["+another = 1"], "it raises ValueError")
    blind = row(program, tmp_path, monkeypatch, "")
    assert "could not see" in blind["trouble"]


def test_a_table_goes_on_where_it_was(tmp_path):
    rows = [
        {"program": "a", "sound": True, "trouble": ""},
        {"program": "b", "sound": False, "trouble": "it fails"},
        {"program": "c", "sound": False, "trouble": ""},
    ]
    fixes.write_rows(tmp_path / "fixes.json", rows)
    assert list(fixes.rows_there(tmp_path / "fixes.json").values()) == rows
    assert fixes.rows_there(tmp_path / "none.json") == {}
    assert fixes.counted(rows) == {"programs": 3, "sound_again": 1, "other_programs": 2, "fail": 1}
