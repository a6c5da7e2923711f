"""Files that are either whole or absent: written beside their place, flushed to the disk, then renamed."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lowres.errors import UserError


@contextlib.contextmanager
def atomic(path: Path, keep: Path | None = None) -> Iterator[Path]:
    """Gives a temporary path in the same folder; renames it to `path` when the block ends without an error.

    A reader sees the old file or the new one, never a part of it, also when the process is killed or the
    disk fills up in between. The new content is on the disk before the old one is let go.

    Args:
        path: The file to write. Its folder is created.
        keep: Where the file that is replaced goes; None: it is dropped. Between the two renames only `keep`
            is there, so that one of both is whole at every moment.

    Yields:
        The path to write to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        if keep is not None and path.exists():
            path.replace(keep)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def expanded(path: str | Path) -> Path:
    """A path with `~` and `~name` as the home folder.

    Raises:
        UserError: Nobody is called so.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(f"{path}: no home folder has that name; write ./{path} where the name begins so") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically, in UTF-8."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def json_text(value: Any) -> str:
    """JSON as files have it: indented, with a closing newline."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file atomically; see `json_text`."""
    write_text(path, json_text(value))
