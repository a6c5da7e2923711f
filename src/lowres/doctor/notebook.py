"""Notebooks as one script, and back: code cells in order, magics left out. Nothing here runs any of it."""

import json
import re
from pathlib import Path

from lowres.errors import UserError

MAGIC = re.compile(r"^\s*(?:[%!?]|[\w.]+\?\??\s*$)")


def notebook(path: Path, text: str) -> str:
    """The code cells of a notebook as one script, each headed by a comment with its number.

    Raises:
        UserError: The file is no notebook.
    """
    try:
        cells = json.loads(text)["cells"]
        code = [(i, "".join(cell["source"])) for i, cell in enumerate(cells, start=1) if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is no notebook: it holds no list of cells") from None
    return "\n".join(f"# %% cell {number}\n{_without_magics(cell)}\n" for number, cell in code)


def _without_magics(cell: str) -> str:
    """A cell as plain Python; lines keep their number. A cell magic takes its cell along, save timers."""
    lines = cell.splitlines()
    first = next((line.strip() for line in lines if line.strip()), "")
    if first.startswith("%%") and not first.startswith(("%%time", "%%timeit", "%%capture")):
        return "\n".join("# " + line for line in lines)
    return "\n".join(_without_magic(line) for line in lines)


def _without_magic(line: str) -> str:
    if not MAGIC.match(line):
        return line
    indent = line[: len(line) - len(line.lstrip())]
    return f"{indent}pass  # {line.strip()}"
