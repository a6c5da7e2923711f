import itertools
import math
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from lowres.errors import UserError
from lowres.observers import Curves, History, draw_curves
from lowres.observers.curves import _limits, _Line, _spread
from lowres.training.events import Finished, Stopped


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def has_colour(path, colour):
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return bool((pixels(path) == rgb).all(axis=-1).any())


@pytest.fixture
def run(tmp_path):
    """The observers of a run folder, as the loop calls them."""
    history, curves = tmp_path / "history.jsonl", tmp_path / "curves.png"
    observers = [History(history), Curves(history, curves, published=85.0)]

    def tell(*events):
        for event in events:
            for observer in observers:
                observer(event)
        return curves

    return tell


def test_the_picture_has_every_curve(tmp_path, epochs):
    path = tmp_path / "curves.png"
    draw_curves(epochs(12), path, title="resnet20", epochs=20, published=85.0)
    assert pixels(path).shape == (1140, 1320, 3)
    for colour in ("#1b5fb4", "#e0781e", "#4d7c3a", "#6b7178"):
        assert has_colour(path, colour)
    assert list(tmp_path.iterdir()) == [path]


def test_the_published_accuracy_is_drawn_only_where_it_is_known(tmp_path, epochs):
    draw_curves(epochs(3), tmp_path / "curves.png")
    assert not has_colour(tmp_path / "curves.png", "#4d7c3a")


def test_averaged_weights_have_a_curve_of_their_own(tmp_path, epochs):
    path = tmp_path / "curves.png"
    draw_curves([replace(e, average_loss=1.0, average_accuracy=50.0) for e in epochs(9)], path)
    assert has_colour(path, "#1b5fb4")
    assert has_colour(path, "#74a3dc")


def test_no_figure_is_left_in_the_process(tmp_path, epochs):
    draw_curves(epochs(3), tmp_path / "curves.png")
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


@pytest.mark.parametrize("count", [1, 2, 40])
def test_any_number_of_epochs_can_be_drawn(tmp_path, epochs, count):
    draw_curves(epochs(count, "validation"), tmp_path / "curves.png")


def test_odd_histories_can_be_drawn(tmp_path, epochs):
    path = tmp_path / "curves.png"
    never_evaluated = [replace(e, loss=None, accuracy=None) for e in epochs(4)]
    diverged = [*epochs(4), replace(epochs(5)[-1], train_loss=math.nan, loss=math.inf)]
    hopeless = [replace(e, train_loss=math.nan, loss=math.nan, rate=0.0) for e in epochs(2)]
    seldom = [e if e.epoch % 3 == 0 else replace(e, loss=None, accuracy=None) for e in epochs(7)]
    for history in (never_evaluated, diverged, hopeless, seldom):
        draw_curves(history, path, title="50 $ and $ <b>")
    with pytest.raises(UserError, match="no epoch"):
        draw_curves([], path)


def test_a_killed_and_resumed_run_draws_the_same_picture(tmp_path, epochs, started, run):
    undisturbed = tmp_path / "undisturbed.png"
    draw_curves(epochs(10), undisturbed, title="resnet20", epochs=10, published=85.0)
    run(started(), *epochs(7))  # killed here; the checkpoint is of epoch 5
    curves = run(started(epoch=5), *epochs(10)[5:], Finished(None, {}))
    assert curves.read_bytes() == undisturbed.read_bytes()


def test_short_epochs_are_not_drawn_each_but_the_end_always_is(epochs, started, run):
    drawn = [run(started(), epochs(1)[0]).read_bytes()]
    begun = time.monotonic()
    run(*epochs(8)[1:-1])
    drawn.append(run(epochs(8)[-1]).read_bytes())
    assert drawn[0] == drawn[1] or time.monotonic() - begun > 5
    drawn.append(run(Stopped(None, 8, "interrupted")).read_bytes())
    assert drawn[2] != drawn[0]


def test_nothing_is_drawn_before_the_first_epoch(started, run):
    assert not run(started(), Stopped(None, 0, "interrupted")).exists()


def test_a_drawing_that_fails_leaves_the_last_picture_and_no_rest(tmp_path, epochs, monkeypatch):
    path = tmp_path / "curves.png"
    draw_curves(epochs(3), path)
    before = path.read_bytes()

    def torn(_figure, target, **_options):
        target.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", torn)
    with pytest.raises(OSError, match="space"):
        draw_curves(epochs(4), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [PermissionError("in use by another process"), OSError(28, "No space left")])
def test_a_picture_that_cannot_be_written_does_not_end_the_run(epochs, started, run, monkeypatch, error):
    def held(*_arguments, **_options):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("lowres.observers.curves.draw_curves", held)
        run(started(), *epochs(2))
    assert run(Finished(None, {})).exists()


def test_a_spike_does_not_flatten_the_curves_but_a_last_value_is_always_within():
    steady = tuple((epoch, 1.0) for epoch in range(1, 100))
    assert _limits([_Line("test", "", ((0, 50.0), *steady))], "high") == (0.0, 1.05)
    assert _limits([_Line("test", "", (*steady, (100, 50.0)))], "high") == (0.0, 52.5)
    bottom, top = _limits([_Line("test", "", (*steady, (100, 90.0)))], "low")
    assert bottom < 1.0
    assert top > 90.0


def test_labels_are_moved_apart_in_their_order():
    places = _spread([0.9, 0.5, 0.51, 0.5], 0.1)
    assert sorted(range(4), key=places.__getitem__) == [1, 3, 2, 0]
    ordered = sorted(places)
    assert all(b - a >= 0.1 - 1e-9 for a, b in itertools.pairwise(ordered))
    assert _spread([0.5, 0.5], 0.1) == pytest.approx([0.45, 0.55])
    assert _spread([0.0, 0.0], 0.1) == pytest.approx([0.0, 0.1])
    assert _spread([0.2, 0.8, 0.5], 0.1) == pytest.approx([0.2, 0.8, 0.5])
    assert _spread([1.0, 1.0, 1.0], 0.1) == pytest.approx([0.85, 0.95, 1.05])
