import io

import pytest
from rich.console import Console

from lowres.app.ladder_display import Display, duration
from lowres.ladder import Cell
from lowres.ladder import Progress as Standing
from lowres.recipes import Recipe

FIRST = Cell("+ [bold] mixup", 0, Recipe(epochs=8))
SECOND = Cell("plain", 1, Recipe(epochs=8))


def tell(display):
    display(Standing(0, 4, FIRST, 0, None, None, "begun"))
    display(Standing(0, 4, SECOND, 0, None, None, "begun"))
    display(Standing(0, 4, FIRST, 3, None, 700.0, "epoch"))
    display(Standing(0, 4, SECOND, 3, None, 650.0, "lost", "its worker died (killed by SIGKILL)"))
    display(Standing(1, 4, FIRST, 8, 91.254, 400.0, "finished"))
    display(Standing(1, 4, SECOND, 0, None, 400.0, "failed", "training diverged"))


LINES = [
    "[0/4] plain, seed 1: its worker died (killed by SIGKILL); it goes on from its last checkpoint",
    "[1/4] + [bold] mixup, seed 0: 91.25 %; 7 min left",
    "[1/4] plain, seed 1: failed: training diverged",
]


def test_elsewhere_than_on_a_terminal_there_are_lines():
    console = Console(file=io.StringIO(), width=60)
    with Display(console=console) as display:
        tell(display)
    assert console.file.getvalue().splitlines() == LINES


def test_a_terminal_has_a_bar_for_the_ladder_and_one_for_each_cell_under_way():
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None, legacy_windows=False)
    with Display(console=console) as display:
        tell(display)
        assert [task.description for task in display._bars._progress.tasks] == ["cells"]
        (ladder,) = display._bars._progress.tasks
        assert (ladder.completed, ladder.total, ladder.fields["note"]) == (1, 4, "7 min left")
    shown = console.file.getvalue()
    for line in LINES:
        assert line in shown
    assert "  + [bold] mixup, seed 0" in shown
    assert "3/8" in shown
    assert "12 min left" in shown


def test_quiet_says_nothing():
    console = Console(file=io.StringIO(), force_terminal=True)
    with Display(quiet=True, console=console) as display:
        tell(display)
    assert console.file.getvalue() == ""


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0 s"), (29, "29 s"), (299, "5 min"), (11_220, "3 h 07 min")])
def test_times_are_said_as_people_do(seconds, text):
    assert duration(seconds) == text
