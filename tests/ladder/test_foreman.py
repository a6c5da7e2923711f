import dataclasses
import time

import pytest

from lowres.files import write_json
from lowres.ladder import Ladder, Rung, plan
from lowres.ladder import foreman as foreman_module
from lowres.ladder.crew import Begun, Busy, Done, EpochOver, Failed, Lost
from lowres.ladder.foreman import TRIES, Foreman
from lowres.observers.history import History
from lowres.recipes import Recipe, to_dict
from lowres.training.events import EpochDone

LADDER = Ladder("two", Recipe(epochs=4), (Rung("a"), Rung("b", {"label_smoothing": 0.1})))


class Script:
    """A crew that reports what a function says of each cell; a list is several reports."""

    def __init__(self, out, says, hands=1):
        self.out, self.says, self.hands, self.taken = out, says, hands, []

    def work(self, take, tell):
        while (cell := take()) is not None:
            self.taken.append((cell.rung, cell.seed))
            for report in self.says(cell, self.taken.count((cell.rung, cell.seed))):
                if isinstance(report, Done):
                    finish(self.out, cell)
                tell(report)


def finish(out, cell):
    folder = out / "cells" / cell.name / "run"
    folder.mkdir(parents=True)
    write_json(folder / "recipe.json", to_dict(cell.recipe))
    write_json(folder / "manifest.json", {"result": {"accuracy": 90.0, "seconds": 40.0}})


def climb(out, says, hands=1, deadline=None, seeds=1):
    crew, told = Script(out, says, hands), []
    foreman = Foreman(out, crew, told.append, deadline)
    foreman.run(plan(LADDER, range(seeds), out))
    return crew, foreman, told


def test_a_lost_cell_is_given_out_again_at_once(tmp_path):
    def says(cell, time_of):
        return [Begun(cell), Lost(cell, "gone") if (cell.rung, time_of) == ("a", 1) else Done(cell)]

    crew, foreman, told = climb(tmp_path, says)
    assert crew.taken == [("a", 0), ("a", 0), ("b", 0)]
    assert foreman.failures == {}
    assert [p.state for p in told] == ["begun", "lost", "begun", "finished", "begun", "finished"]
    assert told[1].reason == "gone"


def test_a_cell_that_is_lost_again_and_again_is_given_up(tmp_path):
    def says(cell, time_of):
        return [Lost(cell, "its worker died (killed by SIGKILL)") if cell.rung == "a" else Done(cell)]

    crew, foreman, told = climb(tmp_path, says)
    assert crew.taken == [("a", 0)] * TRIES + [("b", 0)]
    (failure,) = foreman.failures.values()
    assert failure.code == 1
    assert failure.reason.startswith("its worker died (killed by SIGKILL), for the 3rd time")
    assert [p.state for p in told] == ["lost"] * (TRIES - 1) + ["failed", "finished"]
    assert (told[-1].done, told[-1].total, told[-1].left) == (1, 2, 0.0)


def test_a_cell_that_is_busy_elsewhere_is_waited_for(tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr(foreman_module.time, "sleep", waits.append)

    def says(cell, time_of):
        return [Busy(cell) if cell.rung == "a" and time_of < 3 else Done(cell)]

    crew, foreman, _ = climb(tmp_path, says)
    assert crew.taken == [("a", 0), ("b", 0), ("a", 0), ("a", 0)]
    assert len(waits) == 1
    assert not foreman.late


def test_what_has_failed_is_not_tried_in_a_later_round(tmp_path):
    crew, foreman, _ = climb(tmp_path, lambda cell, _: [Failed(cell, "why", 2) if cell.rung == "a" else Done(cell)])
    foreman.run(plan(LADDER, range(2), tmp_path))
    assert crew.taken == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert len(foreman.failures) == 2


def test_no_cell_is_begun_that_would_be_late(tmp_path):
    """An epoch takes 10 s, a cell 40 s, as the first one shows."""
    crew, foreman, _ = climb(tmp_path, lambda cell, _: [Done(cell)], deadline=time.monotonic() + 39)
    assert crew.taken == [("a", 0)]
    assert foreman.late
    crew, foreman, _ = climb(tmp_path, lambda cell, _: [Done(cell)], deadline=time.monotonic() + 100)
    assert crew.taken == [("b", 0)]
    assert not foreman.late


def test_a_cell_that_was_begun_needs_the_rest_of_its_time_only(tmp_path):
    (first, second) = plan(LADDER, range(1), tmp_path).missing
    finish(tmp_path, first)
    folder = tmp_path / "cells" / second.name / "run"
    folder.mkdir(parents=True)
    write_json(folder / "recipe.json", to_dict(second.recipe))
    write_json(folder / "manifest.json", {"outcome": "running"})
    (folder / "checkpoint.pt").touch()
    history = History(folder / "history.jsonl")
    for epoch in (1, 2, 3):
        history(EpochDone(epoch, 1.0, 50.0, 1.0, 50.0, "test", 0.1, 1000.0, 10.0))
    crew, foreman, _ = climb(tmp_path, lambda cell, _: [Failed(cell, "", 1)], deadline=time.monotonic() + 15)
    assert crew.taken == [("b", 0)]
    assert not foreman.late


@pytest.mark.parametrize(("hands", "left"), [(1, [80, 70, 40]), (2, [40, 40, 40]), (9, [40, 40, 40])])
def test_the_time_left_is_shared_by_the_hands_there_are(tmp_path, hands, left):
    finish(tmp_path, plan(LADDER, range(1), tmp_path).cells[0])

    def says(cell, _):
        return [Begun(cell), EpochOver(cell, 1, 10.0), Done(cell)]

    crew, told = Script(tmp_path, says, hands), []
    three = dataclasses.replace(LADDER, rungs=(*LADDER.rungs, Rung("c", {"clip": 1.0})))
    Foreman(tmp_path, crew, told.append).run(plan(three, range(1), tmp_path))
    assert [p.left for p in told[:3]] == left
