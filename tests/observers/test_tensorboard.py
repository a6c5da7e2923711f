import sys
from dataclasses import replace

import pytest

from lowres.errors import UserError
from lowres.observers import TensorBoard
from lowres.training.events import Finished, Stepped, Stopped

pytest.importorskip("tensorboard")


def scalars(folder, tag):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return [(e.step, pytest.approx(e.value, rel=1e-6)) for e in events.Scalars(tag)]


def test_epochs_and_steps_are_read_back_by_tensorboard(tmp_path, epochs, started):
    observer = TensorBoard(tmp_path / "tensorboard")
    observer(started())
    for epoch in epochs(2):
        observer(Stepped(epoch.epoch, 100, 390, 1.5, 40.0, 0.1, 1000.0))
        observer(epoch)
    observer(Finished(None, {}))
    folder = tmp_path / "tensorboard"
    assert scalars(folder, "accuracy/test") == [(390, 35.0), (780, 62.5)]
    assert scalars(folder, "loss/train") == [(390, 2.0), (780, 1.0)]
    assert scalars(folder, "epoch/rate") == [(390, 0.1), (780, 0.1)]
    assert scalars(folder, "step/loss") == [(100, 1.5), (490, 1.5)]
    assert scalars(folder, "step/rate") == [(100, 0.1), (490, 0.1)]


def test_a_resumed_run_goes_on_where_its_checkpoint_was(tmp_path, epochs, started):
    killed = TensorBoard(tmp_path)
    killed(started())
    for epoch in epochs(4):
        killed(replace(epoch, accuracy=1.0))
    killed.close()
    resumed = TensorBoard(tmp_path)
    resumed(started(epoch=2))
    for epoch in epochs(6)[2:]:
        resumed(epoch)
    resumed(Stopped(None, 6, "interrupted"))
    expected = [(390, 1.0), (780, 1.0)] + [(e.epoch * 390, e.accuracy) for e in epochs(6)[2:]]
    assert scalars(tmp_path, "accuracy/test") == expected


def test_an_epoch_without_evaluation_leaves_no_point(tmp_path, epochs, started):
    observer = TensorBoard(tmp_path)
    observer(started())
    observer(replace(epochs(1)[0], accuracy=None, loss=None))
    observer(epochs(2)[1])
    observer(Finished(None, {}))
    assert scalars(tmp_path, "accuracy/test") == [(780, 62.5)]


def test_averaged_weights_have_curves_of_their_own(tmp_path, epochs, started):
    observer = TensorBoard()
    observer(started(run=tmp_path))
    observer(replace(epochs(1)[0], average_accuracy=50.0, average_loss=1.0))
    observer(Finished(None, {}))
    assert scalars(tmp_path / "tensorboard", "accuracy/averaged") == [(390, 50.0)]


def test_a_run_without_a_folder_needs_one_named(started):
    with pytest.raises(UserError, match="needs a folder"):
        TensorBoard()(started())


def test_without_tensorboard_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match="pip install tensorboard"):
        TensorBoard(tmp_path)
