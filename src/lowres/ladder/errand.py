"""A cell trained on another machine: what goes there, and what comes back after each epoch."""

import os
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Self

import torch

from lowres import recipes
from lowres.errors import UserError
from lowres.files import atomic
from lowres.ladder.crew import BAD_INPUT, FAILED
from lowres.runs import train
from lowres.runs.checkpoint import NAME as CHECKPOINT
from lowres.runs.checkpoint import PREVIOUS
from lowres.runs.folder import ADAPTATION, CURVES, HISTORY, MANIFEST, MODEL, RECIPE
from lowres.training.allocator import keep_memory
from lowres.training.events import EpochDone, Event
from lowres.training.loop import Diverged

# The order they are written in: what speaks of others comes after them. A run killed in between is whole.
_FILES = (RECIPE, ADAPTATION, HISTORY, CURVES, MODEL, MANIFEST, CHECKPOINT)


@dataclass(frozen=True)
class Folder:
    """The files of a run folder, to be sent.

    Attributes:
        name: Of the folder.
        files: Content by name.
    """

    name: str
    files: Mapping[str, bytes] = field(default_factory=dict)

    @classmethod
    def pack(cls, folder: Path, but: Mapping[str, bytes] | None = None, *, spare: bool = False) -> Self:
        """What is in a folder now, without files that are as in `but`; with the older checkpoint, if asked."""
        names = (PREVIOUS, *_FILES) if spare else _FILES
        found = {name: (folder / name).read_bytes() for name in names if (folder / name).exists()}
        return cls(folder.name, {name: content for name, content in found.items() if (but or {}).get(name) != content})

    def unpack(self, folder: Path) -> None:
        """Writes the files, each as a whole; the checkpoint that was there is kept beside the new one."""
        for name in (PREVIOUS, *_FILES):
            if name in self.files:
                with atomic(folder / name, keep=folder / PREVIOUS if name == CHECKPOINT else None) as temporary:
                    temporary.write_bytes(self.files[name])


@dataclass(frozen=True)
class Word:
    """What comes back.

    Attributes:
        worker: Machine and process it comes from.
        folder: The files that have changed.
        epoch: Finished epochs; 0: the run has ended.
        seconds: That the epoch took.
        failed: Why the cell cannot be trained, in a line; else "".
        code: Exit code, if so.
    """

    worker: tuple[str, int]
    folder: Folder
    epoch: int = 0
    seconds: float = 0.0
    failed: str = ""
    code: int = 0


def train_away(
    recipe: Mapping[str, Any], begun: Folder | None, data_dir: str, device: str, threads: int
) -> Iterator[Word]:
    """Trains a cell in a temporary folder here, or goes on with it; gives a word after each epoch and in the end.

    Args:
        recipe: As `lowres.recipes.to_dict` gives it.
        begun: The run folder to go on with.
        data_dir: Where the data lie on this machine.
        device: As for `lowres.train`.
        threads: Of PyTorch.
    """
    words: SimpleQueue[Word | BaseException | None] = SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="lowres-") as place:
        # A generator cannot give from within a callback: the training has a thread of its own.
        arguments = (Path(place), recipe, begun, data_dir, device, threads, words)
        thread = threading.Thread(target=_train, args=arguments, daemon=True)
        thread.start()
        while (word := words.get()) is not None:
            if isinstance(word, BaseException):
                raise word
            yield word
        thread.join()


def _train(
    place: Path,
    recipe: Mapping[str, Any],
    begun: Folder | None,
    data_dir: str,
    device: str,
    threads: int,
    words: "SimpleQueue[Word | BaseException | None]",
) -> None:
    sent: dict[str, bytes] = dict(begun.files) if begun else {}
    here = (socket.gethostname(), os.getpid())

    def changes() -> Folder:
        (run,) = (path.parent for path in place.glob(f"*/{RECIPE}"))
        packed = Folder.pack(run, but=sent)
        sent.update(packed.files)
        return packed

    def watch(event: Event) -> None:
        if isinstance(event, EpochDone):
            words.put(Word(here, changes(), event.epoch, event.seconds))

    try:
        keep_memory()
        torch.set_num_threads(threads)
        if begun is not None:
            begun.unpack(place / begun.name)
        train(
            None if begun else recipes.from_dict(recipe),
            resume=place / begun.name if begun else None,
            data_dir=data_dir,
            out=place,
            device=device,
            observers=[watch],
        )
        words.put(Word(here, changes()))
        words.put(None)
    except Diverged as error:
        words.put(Word(here, Folder(""), failed=str(error), code=FAILED))
        words.put(None)
    except UserError as error:
        words.put(Word(here, Folder(""), failed=str(error), code=BAD_INPUT))
        words.put(None)
    except BaseException as error:
        words.put(error)
