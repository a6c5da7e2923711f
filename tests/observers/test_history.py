import contextlib
import json
import math
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowres.errors import UserError
from lowres.observers import History, read_history
from lowres.training.events import EpochDone

TOTAL = 6

figures = st.floats(allow_nan=False)  # nan is unequal to itself; it has a test of its own
any_epoch = st.builds(
    EpochDone,
    epoch=st.integers(1, 10**6),
    train_loss=figures,
    train_accuracy=figures,
    loss=st.none() | figures,
    accuracy=st.none() | figures,
    evaluated_on=st.sampled_from(["validation", "test"]),
    rate=figures,
    images_per_second=figures,
    seconds=figures,
    average_loss=st.none() | figures,
    average_accuracy=st.none() | figures,
)


def write(path, start, epochs):
    history = History(path)
    history(start)
    for epoch in epochs:
        history(epoch)


@given(st.lists(any_epoch, max_size=5))
def test_history_reads_back_every_figure_exactly_and_each_line_is_plain_json(epochs):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "history.jsonl")
        for epoch in epochs:
            History(path)(epoch)
        if epochs:
            assert read_history(path) == epochs
            lines = path.read_text(encoding="utf-8").splitlines()
            refused = {"parse_constant": lambda name: pytest.fail(f"{name} is no JSON")}
            assert [json.loads(line, **refused)["epoch"] for line in lines] == [e.epoch for e in epochs]


def test_a_loss_that_is_not_a_number_is_kept(tmp_path, started):
    path = tmp_path / "history.jsonl"
    broken = EpochDone(1, math.nan, 10.0, math.inf, 10.0, "test", 0.1, 1.0, 1.0)
    write(path, started(), [broken])
    (read,) = read_history(path)
    assert math.isnan(read.train_loss)
    assert read.loss == math.inf


@settings(max_examples=50)
@given(cut=st.integers(0, 5000), resumed_after=st.integers(0, TOTAL))
def test_any_kill_and_resume_leaves_the_file_of_an_undisturbed_run(cut, resumed_after, epochs, started):
    run = epochs(TOTAL)
    with tempfile.TemporaryDirectory() as folder:
        undisturbed, killed = Path(folder, "undisturbed.jsonl"), Path(folder, "killed.jsonl")
        write(undisturbed, started(), run)
        whole = undisturbed.read_bytes()
        ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
        cut = min(cut, len(whole))
        killed.write_bytes(whole[:cut])

        # A line is whole from its closing brace on, whether or not its line end was still written.
        lines = sum(end - 1 <= cut for end in ends)
        assert read_history(killed) == run[:lines]

        history = History(killed)
        history(started(epoch=resumed_after))
        kept = min(lines, resumed_after)
        assert killed.read_bytes() == b"".join(whole.splitlines(keepends=True)[:kept])

        for epoch in run[kept:]:
            history(epoch)
        assert killed.read_bytes() == whole


def test_a_run_that_has_only_just_begun_has_an_empty_history(tmp_path, started):
    path = tmp_path / "new" / "history.jsonl"
    History(path)(started())
    assert read_history(path) == []


def test_resuming_keeps_the_file_untouched_where_nothing_is_to_be_dropped(tmp_path, epochs, started):
    path = tmp_path / "history.jsonl"
    write(path, started(), epochs(3))
    before = path.stat()
    History(path)(started(epoch=3))
    assert path.stat().st_ino == before.st_ino
    assert list(tmp_path.iterdir()) == [path]


def test_fields_of_later_versions_are_passed_over_and_survive_a_resume(tmp_path, epochs, started):
    path = tmp_path / "history.jsonl"
    write(path, started(), epochs(2))
    path.write_text(path.read_text().replace('{"epoch"', '{"gradient_norm": 1.5, "epoch"'))
    assert read_history(path) == epochs(2)
    History(path)(started(epoch=1))
    assert read_history(path) == epochs(1)
    assert "gradient_norm" in path.read_text()


def test_windows_line_ends_and_blank_lines_are_read(tmp_path, epochs, started):
    path = tmp_path / "history.jsonl"
    write(path, started(), epochs(3))
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n\r\n"))
    assert read_history(path) == epochs(3)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("not json", "not an epoch"),
        ("[1, 2]", "not an epoch"),
        ('{"epoch": 2}', "no 'train_loss'"),
        ("\x00\x00\x00", "not an epoch"),
        ("[" * 100_000, "not an epoch"),
    ],
)
def test_an_unreadable_line_is_named_by_its_number(tmp_path, epochs, started, line, problem):
    path = tmp_path / "history.jsonl"
    write(path, started(), epochs(3))
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], line, lines[2], ""]))
    with pytest.raises(UserError, match=f"line 2: {problem}"):
        read_history(path)
    with pytest.raises(UserError, match="line 2"):
        History(path)(started(epoch=3))
    assert line in path.read_text()


@pytest.mark.parametrize(
    ("field", "value"),
    [("epoch", "1"), ("epoch", 1.5), ("epoch", True), ("rate", None), ("loss", "low"), ("loss", [1]),
     ("accuracy", False), ("evaluated_on", 3), ("seconds", 10**400)],
)  # fmt: skip
def test_a_figure_of_the_wrong_kind_is_refused(tmp_path, epochs, started, field, value):
    path = tmp_path / "history.jsonl"
    write(path, started(), epochs(1))
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {field: value}) + "\n")
    with pytest.raises(UserError, match="line 1: not an epoch"):
        read_history(path)


@given(st.binary(max_size=200))
def test_foreign_bytes_are_no_epochs_or_a_user_error(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "history.jsonl")
        path.write_bytes(content)
        with contextlib.suppress(UserError):
            assert read_history(path) == []


def test_a_missing_history_says_what_to_give(tmp_path):
    with pytest.raises(UserError, match="no history at"):
        read_history(tmp_path / "history.jsonl")
    with pytest.raises(UserError, match="cannot read"):
        read_history(tmp_path)
