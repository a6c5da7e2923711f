"""Writes mended source beside the script, as `train.fixed.py` with `train.fixed.diff`; the script is never touched."""

import contextlib
import difflib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from lowres.doctor.findings import Finding
from lowres.doctor.notebook import rebuilt
from lowres.doctor.patching.marks import MARK
from lowres.doctor.patching.mend import Mended, mend
from lowres.doctor.source import read
from lowres.errors import UserError
from lowres.files import atomic

BOM = b"\xef\xbb\xbf"


def mended_path(script: Path, out: Path | None = None, suffix: str = "") -> Path:
    """Where mended source goes.

    Args:
        script: The script.
        out: The file or folder that was asked for; None: beside the script.
        suffix: Of what is written; "": that of a mended script.

    Raises:
        UserError: The place is taken by another file, or nothing can be written there.
    """
    name = script.stem + (suffix or f".fixed{script.suffix}")
    path = script.with_name(name) if out is None else out.expanduser()
    if path.is_dir():
        path = path / name
    if path.exists() and path.samefile(script):
        raise UserError(f"--out {path} is the script itself, which is never overwritten: name another file")
    if not suffix and diff_path(path) == path:
        raise UserError(f"--out {path} is where the diff goes: name a file that ends in {script.suffix}")
    for file in (path,) if suffix else (path, diff_path(path)):
        if file.exists() and not _ours(file):
            raise UserError(f"{file} is there already and was not written by lowres: name another file with --out")
    folder = path.parent
    if folder.exists() and not os.access(folder, os.W_OK):
        raise _unwritable(path, "the folder is read-only")
    return path


def write_mended(
    script: Path, findings: Sequence[Finding], path: Path, codes: Sequence[str] = (), examined: str | None = None
) -> Mended:
    """Applies fixes and writes the result and its diff; nothing where no fix could be applied.

    Args:
        script: The script or notebook that was examined.
        findings: Those of its report.
        path: What to write; the diff goes beside it.
        codes: Which to fix; none: all errors and warnings.
        examined: The source that the findings are of; None: it is taken for granted.

    Raises:
        UserError: A code is not among the findings, the script has changed, or nothing can be written there.
    """
    source = read(script)
    if examined is not None and source.text != examined:
        raise UserError(f"{script} has changed since it was examined: nothing was written, ask again")
    mended = mend(source, findings, codes)
    if not mended.applied:
        return mended
    raw = script.read_bytes()
    text = mended.text
    if script.suffix == ".ipynb":
        text = rebuilt(script, raw.decode("utf-8-sig"), text)
    ends = "\r\n" if b"\r\n" in raw else "\n"
    content = (BOM if raw.startswith(BOM) else b"") + text.replace("\n", ends).encode()
    write_over(diff_path(path), _diff(script, path, source.text, mended.text, ends), kept=False)
    return replace(mended, kept=write_over(path, content))


def write_over(path: Path, content: bytes, *, kept: bool = True) -> Path | None:
    """Writes a file; what was there and was another, perhaps changed by hand, is kept as `NAME.bak`.

    Returns:
        Where it is kept; None where nothing was, or nothing else.

    Raises:
        UserError: It cannot be written.
    """
    with writable(path):
        other = kept and path.exists() and path.read_bytes() != content
        spare = path.with_name(f"{path.name}.bak") if other else None
        with atomic(path, keep=spare) as temporary:
            temporary.write_bytes(content)
    return spare


@contextlib.contextmanager
def writable(path: Path) -> Iterator[None]:
    """Around the writing of a file.

    Raises:
        UserError: It could not be written.
    """
    try:
        yield
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error)) from None


def diff_path(path: Path) -> Path:
    """Where the diff goes of what is written to a path."""
    return path.with_suffix(".diff")


def _diff(script: Path, path: Path, before: str, after: str, ends: str) -> bytes:
    """A unified diff that `patch` takes; of a notebook, of its code cells one after the other.

    Its lines end as the script's do, and names end in a tab, so that they may have blanks.
    """

    def lines_of(text: str) -> list[str]:
        *whole, last = text.split("\n")
        return [line + ends for line in whole] + ([last] if last else [])

    lines = difflib.unified_diff(lines_of(before), lines_of(after), f"{script.name}\t", f"{path.name}\t")
    ended = (line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
    return "".join(ended).encode()


def _ours(path: Path) -> bool:
    """Whether a file is mended source, which has our marks, or a recipe."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        return MARK.search(text) is not None or (path.name.endswith(".recipe.json") and '"model_options"' in text)
    except (OSError, UnicodeDecodeError):
        return False


def _unwritable(path: Path, why: str) -> UserError:
    return UserError(f"{path} cannot be written ({why}): name a file elsewhere with --out")
