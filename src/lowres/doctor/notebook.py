"""Notebooks as one script, and back: code cells in order, magics left out. Nothing here runs any of it."""

import ast
import io
import json
import re
import tokenize
from pathlib import Path

from lowres.errors import UserError

MAGIC = re.compile(r"^\s*(?:[%!?]|[\w.]+\?\??\s*$)")
ASSIGNED = re.compile(r"^(\s*[\w., ]+=\s*)([%!].*)$")
"""`files = !ls data`: what a command said, given to a name."""


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
    lines = _lines(cell)
    try:
        ast.parse(cell)
    except (SyntaxError, ValueError):
        pass
    else:
        return "\n".join(lines)
    first = next((line.strip() for line in lines if line.strip()), "")
    if first.startswith("%%") and not first.startswith(("%%time", "%%timeit", "%%capture")):
        return "\n".join("# " + line for line in lines)
    plain: list[str] = []
    begun: list[str] = []  # lines of a statement that is not at its end
    indent: str | None = None  # of a magic that goes on
    for line in lines:
        if indent is not None:
            plain.append(f"{indent}# {line.strip()}")
        elif not begun and MAGIC.match(line):
            indent = line[: len(line) - len(line.lstrip())]
            plain.append(f"{indent}pass  # {line.strip()}")
        elif not begun and (given := ASSIGNED.match(line)):
            indent = line[: len(line) - len(line.lstrip())]
            plain.append(f"{given[1]}[]  # {given[2]}")
        else:
            plain.append(line)
            begun.append(line)
            begun = begun if _goes_on("\n".join(begun)) else []
        indent = indent if line.endswith("\\") else None
    return "\n".join(plain)


def _lines(cell: str) -> list[str]:
    """Lines as the parser counts them; `splitlines` ends some at form feeds, too."""
    return re.split(r"\r\n|\r|\n", re.sub(r"(\r\n|\r|\n)$", "", cell))


def _goes_on(code: str) -> bool:
    """Whether the code so far ends within brackets, within a string of several lines or in a backslash."""
    try:
        list(tokenize.generate_tokens(io.StringIO(code.lstrip() + "\n").readline))
    except tokenize.TokenError as error:
        return any(word in str(error) for word in ("multi-line", "triple-quoted"))
    except SyntaxError:
        return False
    return code.endswith("\\")


def rebuilt(path: Path, text: str, after: str) -> str:
    """A notebook with the cells of an edited script; changed cells lose their outputs, magics come back.

    Args:
        path: Its name, for errors.
        text: The notebook's JSON.
        after: What `notebook` gave, edited; the comments that head the cells are still there.

    Raises:
        UserError: The cells cannot be told apart: the code has comments like those that head them.
    """
    value = json.loads(text)
    numbers = [i for i, cell in enumerate(value["cells"], start=1) if cell["cell_type"] == "code"]
    before, edited = (_cells(one, numbers) for one in (notebook(path, text), after))
    sources = {number: "".join(value["cells"][number - 1]["source"]) for number in numbers}
    if any(before.get(n, "").rstrip() != _without_magics(sources[n]).rstrip() for n in numbers) or len(edited) < len(
        numbers
    ):
        raise UserError(f"{path} cannot be patched: it has comments like `# %% cell 1` of its own")
    for number in numbers:
        if edited[number] == before[number]:
            continue
        cell = value["cells"][number - 1]
        pairs = zip(before[number].split("\n"), _lines(sources[number]), strict=False)
        magics = {plain: line for plain, line in pairs if plain != line}
        code = "\n".join(magics.get(line, line) for line in edited[number].rstrip("\n").split("\n"))
        code += sources[number][len(sources[number].rstrip("\n")) :]
        cell["source"] = code.splitlines(keepends=True) if isinstance(cell["source"], list) else code
        cell["outputs"], cell["execution_count"] = [], None
    made = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    try:
        made.encode()
    except UnicodeEncodeError:  # half of a pair of surrogates, as of an emoji that was cut in two
        made = json.dumps(value, indent=1) + "\n"
    return made


def _cells(text: str, numbers: list[int]) -> dict[int, str]:
    """The cells of a script, by number; headers count only in their order."""
    cells: dict[int, list[str]] = {}
    left = list(numbers)
    for line in text.split("\n"):
        if left and line == f"# %% cell {left[0]}":
            current = cells.setdefault(left.pop(0), [])
        elif cells:
            current.append(line)
    return {number: "\n".join(lines) for number, lines in cells.items()}
