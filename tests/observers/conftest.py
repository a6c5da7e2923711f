from collections.abc import Callable
from pathlib import Path

import pytest

from lowres.training.events import EpochDone, Started


def _epochs(count: int, evaluated_on: str = "test") -> list[EpochDone]:
    return [
        EpochDone(
            epoch=epoch,
            train_loss=2.0 / epoch,
            train_accuracy=95.0 - 60.0 / epoch,
            loss=2.2 / epoch,
            accuracy=90.0 - 55.0 / epoch,
            evaluated_on=evaluated_on,
            rate=0.1 if epoch <= 5 else 0.01,
            images_per_second=12345.6,
            seconds=9.8,
        )
        for epoch in range(1, count + 1)
    ]


def _started(epoch: int = 0, epochs: int = 10, run: Path | None = None, name: str = "resnet20") -> Started:
    return Started(run, name, epochs, epoch, 390, 272_474, 50_000, ("device: cpu",))


@pytest.fixture(scope="session")
def epochs() -> Callable[..., list[EpochDone]]:
    """Finished epochs 1 to `count` of a run that learns."""
    return _epochs


@pytest.fixture(scope="session")
def started() -> Callable[..., Started]:
    """The start of a run, or its going on after `epoch` epochs."""
    return _started
