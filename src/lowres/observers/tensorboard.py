"""A run in TensorBoard: scalars for each epoch, and the loss and the rate while an epoch is under way."""

from pathlib import Path

from lowres.errors import UserError
from lowres.training.events import EpochDone, Event, Finished, Started, Stepped, Stopped


class TensorBoard:
    """Observer that writes TensorBoard event files; watch them with `tensorboard --logdir FOLDER`.

    Everything is drawn over optimizer steps since the run began. A resumed run goes on from its checkpoint's
    step, and what an interrupted run had written beyond that is hidden.

    Args:
        folder: Where the event files go, made when the run starts; None: `tensorboard` in the run folder.

    Raises:
        UserError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path | None = None) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UserError("TensorBoard is not installed: pip install tensorboard") from None
        self.folder = folder
        self._open = SummaryWriter
        self._writer: SummaryWriter | None = None
        self._steps_per_epoch = 0

    def __call__(self, event: Event) -> None:
        """Writes what the event tells; opens the files at the start, closes them at the end.

        Raises:
            UserError: A run starts that has no folder, and none was named.
        """
        match event:
            case Started():
                self._start(event)
            case Stepped():
                step = (event.epoch - 1) * event.steps_per_epoch + event.step
                self._write(step, {"step/loss": event.loss, "step/rate": event.rate})
            case EpochDone():
                self._write(event.epoch * self._steps_per_epoch, _scalars(event))
                if self._writer:
                    self._writer.flush()
            case Finished() | Stopped():
                self.close()

    def close(self) -> None:
        """Closes the event files. The end of a run does so by itself."""
        if self._writer:
            self._writer.close()
            self._writer = None

    def _start(self, event: Started) -> None:
        self.close()
        folder = self.folder or (event.run and event.run / "tensorboard")
        if folder is None:
            raise UserError("TensorBoard needs a folder, for this run keeps none: TensorBoard(folder)")
        self._steps_per_epoch = event.steps_per_epoch
        # From this step on, the event files of an earlier, interrupted process no longer count.
        self._writer = self._open(str(folder), purge_step=event.epoch * event.steps_per_epoch + 1)

    def _write(self, step: int, scalars: dict[str, float | None]) -> None:
        for tag, value in scalars.items():
            if self._writer and value is not None:
                self._writer.add_scalar(tag, value, step)


def _scalars(epoch: EpochDone) -> dict[str, float | None]:
    return {
        "loss/train": epoch.train_loss,
        f"loss/{epoch.evaluated_on}": epoch.loss,
        "accuracy/train": epoch.train_accuracy,
        f"accuracy/{epoch.evaluated_on}": epoch.accuracy,
        "loss/averaged": epoch.average_loss,
        "accuracy/averaged": epoch.average_accuracy,
        "epoch/rate": epoch.rate,
        "epoch/images_per_second": epoch.images_per_second,
        "epoch/seconds": epoch.seconds,
    }
