import io
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console as RichConsole

from lowres.observers import Console
from lowres.observers.console import _duration, _Pace
from lowres.training.events import Finished, Started, Stepped, Stopped

RUN = Path("runs", "resnet20-cifar10-s0")
SHOW, HIDE = "\x1b[?25h", "\x1b[?25l"
RESULT = {
    "accuracy": 92.07,
    "interval": [91.52, 92.58],
    "loss": 0.30123,
    "seconds": 1930.0,
    "evaluated_on": "test",
    "errors": 793,
}


def terminal(width=80):
    return RichConsole(file=io.StringIO(), force_terminal=True, width=width, _environ={"TERM": "xterm"})


def plain():
    return RichConsole(file=io.StringIO(), force_terminal=False)


def tell(console, start, epochs, end):
    observer = Console(console=console)
    observer(start)
    for epoch in epochs:
        for step in (130, 390):
            observer(Stepped(epoch.epoch, step, 390, 1.2345, 54.321, 0.1, 12345.6))
        observer(epoch)
    observer(end)
    return console.file.getvalue()


def without_styles(text):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "\n")


def test_plain_output_is_lines_without_control_characters(epochs, started):
    text = tell(plain(), started(run=RUN), epochs(10), Finished(RUN, RESULT))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)
    lines = text.splitlines()
    assert lines[0] == ("resnet20: 272,474 parameters, 50,000 images, 10 epochs of 390 steps, in " + str(RUN))
    assert lines[1].strip() == "device: cpu"
    assert len([line for line in lines if line.startswith("epoch ")]) == 10
    assert lines[3].startswith(
        "epoch 2/10; train loss 1.0000, 65.00 %; test loss 1.1000, 62.50 %; "
        "rate 0.1; 12,346 images/s; 9.8 s; 1 min 18 s left"
    )
    assert "left" not in lines[-3]
    assert lines[-2:] == [
        "Finished: accuracy 92.07 % on test images (95 % interval 91.52 to 92.58 %), 793 errors, "
        "loss 0.3012, after 32 min 10 s",
        f"The run is in {RUN}; next: lowres evaluate {RUN}",
    ]


def test_plain_output_of_a_resumed_and_stopped_run(epochs, started):
    text = tell(plain(), started(epoch=4), epochs(5)[4:], Stopped(RUN, 5, "the loss is not a number"))
    assert "goes on after epoch 4" in text.splitlines()[0]
    assert "5 s left" not in text  # an epoch takes 9.8 s, and five are to come: 49 s
    assert "49 s left" in text
    assert text.splitlines()[-1] == "Stopped after 5 epochs, all kept"


def test_epochs_without_evaluation_are_told(epochs, started):
    some = [replace(e, loss=None, accuracy=None) for e in epochs(2)]
    for console in (plain(), terminal()):
        text = without_styles(tell(console, started(), some, Finished(None, {"accuracy": None})))
        assert "1.0000" in text
        assert "None" not in text


def test_plain_output_names_the_averaged_weights(epochs, started):
    averaged = [replace(e, average_loss=0.25, average_accuracy=93.5) for e in epochs(2)]
    text = tell(plain(), started(), averaged, Stopped(None, 2, "interrupted"))
    assert "; averaged loss 0.2500, 93.50 %; rate" in text


def test_a_terminal_shows_bars_a_table_and_the_cursor_at_the_end(epochs, started):
    text = tell(terminal(), started(run=RUN), epochs(10), Finished(RUN, RESULT))
    assert text.count(HIDE) == 1
    assert text.rindex(SHOW) > text.rindex(HIDE)
    words = without_styles(text)
    assert "390/390" in words
    assert "12,346 images/s" in words
    assert "1 min 18 s left" in words
    rows = re.findall(r"^ *(\d+)/10 +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+) +", words, re.MULTILINE)
    assert rows[1] == ("2", "1.0000", "65.00", "1.1000", "62.50")
    assert [int(row[0]) for row in rows] == list(range(1, 11))
    assert f"lowres evaluate {RUN}" in words


def test_the_table_fits_eighty_columns_and_repeats_its_head(epochs, started):
    for name, averaged in (("test", None), ("validation", None), ("validation", 91.0)):
        run = [replace(e, average_loss=averaged, average_accuracy=averaged) for e in epochs(90, name)]
        words = without_styles(tell(terminal(), started(epochs=300), run, Stopped(None, 90, "")))
        heads = [line for line in words.splitlines() if "train loss" in line]
        rows = [line for line in words.splitlines() if re.match(r"\s*\d+/300 ", line)]
        assert len(heads) == 3
        assert len(rows) == 90
        assert {len(line) for line in rows} == {len(heads[0])}
        assert len(heads[0]) < 80
        assert ("91.00" in rows[0]) == (averaged is not None)


def test_averages_that_not_every_epoch_has_stand_in_their_column(epochs, started):
    run = [replace(e, average_accuracy=91.0 if e.epoch % 5 == 0 else None) for e in epochs(12)]
    words = without_styles(tell(terminal(), started(epochs=12), run, Stopped(None, 12, "")))
    lines = [line for line in words.splitlines() if "train loss" in line or re.match(r"\s*\d+/12 ", line)]
    assert [i for i, line in enumerate(lines) if "train loss" in line] == [0, 5]
    assert {len(line) for line in lines[6:]} == {len(lines[5])}
    column = lines[5].index("average %") + len("average %")
    assert [line[column - 5 : column] for line in lines[6:12]] == ["91.00", *[" " * 5] * 4, "91.00"]


def test_an_exception_brings_the_cursor_back(started):
    console = terminal()

    def interrupted():
        with Console(console=console) as observer:
            observer(started())
            assert console.file.getvalue().endswith(SHOW) is False
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    text = console.file.getvalue()
    assert text.rindex(SHOW) > text.rindex(HIDE)


def test_an_exception_nobody_catches_brings_the_cursor_back():
    program = """
import sys
from rich.console import Console as RichConsole
from lowres.observers import Console
from lowres.training.events import Started
Console(console=RichConsole(stderr=True, force_terminal=True))(Started(None, "x", 2, 0, 10, 1, 1))
raise KeyboardInterrupt
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, encoding="utf-8")
    assert "KeyboardInterrupt" in ended.stderr
    assert ended.stderr.rindex(SHOW) > ended.stderr.rindex(HIDE)


def test_one_observer_can_watch_one_run_after_another(epochs, started):
    console = terminal()
    tell(console, started(), epochs(2), Finished(None, RESULT))
    text = tell(console, started(name="resnet32"), epochs(2), Stopped(None, 2, "interrupted"))
    assert "resnet32" in text
    observer = Console(console=console)
    observer(started())
    observer(started(name="begun without an end of the first"))
    observer.close()
    assert console.file.getvalue().count(SHOW) == 4


def test_quiet_says_nothing(epochs, started):
    console = terminal()
    observer = Console(quiet=True, console=console)
    for event in (started(), *epochs(2), Finished(RUN, RESULT), Stopped(RUN, 2, "interrupted")):
        observer(event)
    assert console.file.getvalue() == ""


def test_everything_goes_to_stderr_and_a_file_gets_no_colours(capfd, monkeypatch, epochs, started):
    monkeypatch.setenv("FORCE_COLOR", "1")
    observer = Console()
    for event in (started(), *epochs(2), Finished(None, RESULT)):
        observer(event)
    out, err = capfd.readouterr()
    assert out == ""
    assert "92.07 %" in err
    assert "\x1b" not in err


def test_names_are_printed_as_they_are(started):
    run = Path("runs", "[red]mine :smile: two")
    for console in (plain(), terminal(200)):
        text = without_styles(tell(console, started(run=run, name="[bold]x"), [], Finished(run, RESULT)))
        assert "[bold]x: 272,474" in text
        assert f'lowres evaluate "{run}"' in text


def test_time_left_comes_from_past_epochs_and_the_one_under_way(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("lowres.observers.console.time.monotonic", lambda: now[0])
    pace = _Pace(epochs=10, done=4)
    assert pace.left() is None
    now[0] += 5.0
    pace.step(5, 0.5)
    assert pace.left() == pytest.approx(10.0 * 5.5)  # half an epoch took 5 s
    now[0] += 15.0
    pace.epoch(5, 20.0)
    assert pace.left() == pytest.approx(20.0 * 5)
    now[0] += 20.0
    pace.step(6, 0.5)
    assert pace.left() == pytest.approx(40.0 / 1.5 * 4.5)
    pace.epoch(10, 20.0)
    assert pace.left() == 0


def test_durations_read_well():
    assert [_duration(s) for s in (0.04, 9.94, 9.96, 59.4, 59.6, 125, 3599.6, 11_220)] == [
        "0.0 s", "9.9 s", "10 s", "59 s", "1 min 00 s", "2 min 05 s", "1 h 00 min", "3 h 07 min",
    ]  # fmt: skip


def test_a_run_without_a_folder_has_nothing_to_name():
    text = tell(plain(), Started(None, "x", 1, 0, 1, 1, 1), [], Finished(None, {"accuracy": 10.0}))
    assert "None" not in text
    assert text.splitlines()[-1] == "Finished: accuracy 10.00 %"
