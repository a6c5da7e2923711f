"""Checkpoints: written whole or not at all, the one before kept, read without running foreign code."""

import contextlib
import io
import zipfile
from pathlib import Path
from typing import Any

import torch

from lowres.errors import UserError
from lowres.files import atomic

NAME = "checkpoint.pt"
PREVIOUS = "checkpoint.previous.pt"
UNREAD = "checkpoint.unread.pt"
"""What could not be read is called so afterwards: the next one shall not push out the one before, which can."""
FORMAT = 1


def save(folder: Path, state: dict[str, Any]) -> None:
    """Writes `checkpoint.pt`; the one that was there becomes `checkpoint.previous.pt`.

    At every moment one of the two is whole on the disk.

    Args:
        folder: The run folder.
        state: Tensors and plain values.

    Raises:
        UserError: The disk is full or cannot be written; the last good checkpoint is untouched.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    path = folder / NAME
    try:
        with atomic(path, keep=folder / PREVIOUS) as temporary:
            temporary.write_bytes(buffer.getbuffer())
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror}; the last good checkpoint is kept: "
            f"make room, then `lowres train --resume {folder}`"
        ) from None


def load(folder: Path) -> tuple[dict[str, Any], str]:
    """The newest checkpoint that is whole.

    Returns:
        The state, and a warning where `checkpoint.pt` was damaged or missing and the one before it is used,
        else "".

    Raises:
        UserError: Neither can be read.
    """
    reasons: list[str] = []
    for name in (NAME, PREVIOUS):
        path = folder / name
        if not path.exists():
            reasons.append(f"{name} is missing")
            continue
        try:
            state = _read(path)
        except Exception as error:  # torch.load raises many kinds on damaged files
            reasons.append(f"{name} is damaged ({str(error).partition(chr(10))[0][:80]})")
            continue
        if state.get("format") != FORMAT:
            reasons.append(f"{name} has format {state.get('format')!r}, not {FORMAT}")
            continue
        if name == PREVIOUS and (folder / NAME).exists():
            with contextlib.suppress(OSError):  # then it cannot be written to, either
                (folder / NAME).replace(folder / UNREAD)
        return state, f"{'; '.join(reasons)}: going on from {name}" if reasons else ""
    raise UserError(f"cannot resume {folder}: {'; '.join(reasons)}; start anew with its recipe.json")


def _read(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:  # the archive's own checksums: torch.load does not look at them
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"checksum of {damaged} is wrong")
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict):
        raise ValueError("it is not what lowres writes")
    return state
