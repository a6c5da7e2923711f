"""The user's source: its syntax tree, what stands on a line, and edits of it.

Notebooks are read as one script: code cells in order, magics left out. Nothing here runs any of it.
"""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from lowres.doctor.findings import Edit, Fix, unified
from lowres.errors import UserError

IGNORE = re.compile(r"#\s*lowres:\s*ignore\[([\w\s,]+)\]")
MAGIC = re.compile(r"^\s*(?:[%!?]|[\w.]+\?\??\s*$)")
LOOPS: tuple[type[ast.For], type[ast.AsyncFor], type[ast.While]] = (ast.For, ast.AsyncFor, ast.While)
T = TypeVar("T", bound=ast.AST)
S = TypeVar("S", bound=ast.stmt)
Loop = ast.For | ast.AsyncFor | ast.While
Arguments = list[ast.expr | ast.keyword]


@dataclass(frozen=True)
class Source:
    """One file of source code.

    Attributes:
        path: As the user named it.
        text: The code; of a notebook, its code cells one after the other.
    """

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree; each node knows its `parent`."""
        tree = ast.parse(self.text)
        for node in ast.walk(tree):
            for child in ast.iter_child_nodes(node):
                child.parent = node  # type: ignore[attr-defined]
        return tree

    @cached_property
    def lines(self) -> list[str]:
        """Its lines; line 1 is the first."""
        return self.text.splitlines()

    @cached_property
    def _all(self) -> list[ast.AST]:
        return list(ast.walk(self.tree))

    def nodes(self, *kinds: type[T]) -> Iterator[T]:
        """All nodes of some kinds."""
        return (node for node in self._all if isinstance(node, kinds))

    def calls(self, *names: str) -> list[ast.Call]:
        """Calls whose last name is one of these: `SGD` finds `torch.optim.SGD(...)`."""
        return [node for node in self.nodes(ast.Call) if called(node) in names]

    def call_at(self, line: int, *names: str) -> ast.Call | None:
        """The call of one of these names that stands on a line."""
        found = [node for node in self.calls(*names) if node.lineno <= line <= (node.end_lineno or node.lineno)]
        return min(found, key=lambda node: (node.end_lineno or 0) - node.lineno, default=None)

    def enclosing(self, line: int, *kinds: type[S]) -> list[S]:
        """Statements of some kinds around a line, the innermost first."""
        around = [node for node in self.nodes(*kinds) if node.lineno <= line <= (node.end_lineno or 0)]
        return sorted(around, key=lambda node: (node.end_lineno or 0) - node.lineno)

    def statement_at(self, line: int) -> ast.stmt | None:
        """The smallest statement that a line belongs to."""
        around = self.enclosing(line, ast.stmt)
        return around[0] if around else None

    def segment(self, node: ast.AST) -> str:
        """The code of a node."""
        return ast.get_source_segment(self.text, node) or ""

    def silenced(self, code: str, line: int | None) -> bool:
        """Whether a comment `# lowres: ignore[CODE]` on the line, or alone on any line, silences a finding."""
        for number, text in enumerate(self.lines, start=1):
            found = IGNORE.search(text)
            if found and code in re.split(r"[\s,]+", found[1]):
                alone = text.lstrip().startswith("#")
                statement = self.statement_at(line) if line else None
                end = statement.end_lineno if statement and not hasattr(statement, "body") else line
                if alone or line is None or line <= number <= (end or line):
                    return True
        return False

    # Edits. Columns of the tree count UTF-8 bytes.

    def with_keyword(self, call: ast.Call, name: str, value: str) -> Edit:
        """A call with a keyword argument set to `value`."""
        keyword = next((one for one in call.keywords if one.arg == name), None)
        if keyword is not None:
            return self.replaced(keyword.value, value)
        given: Arguments = [*call.args, *call.keywords]
        last = max(given, key=lambda one: (one.end_lineno or 0, one.end_col_offset or 0), default=None)
        if last is None:
            line, column, text = call.end_lineno or call.lineno, (call.end_col_offset or 1) - 1, f"{name}={value}"
        else:
            line, column, text = last.end_lineno or call.lineno, last.end_col_offset or 0, f", {name}={value}"
        old = self.lines[line - 1].encode()
        return Edit(line, line, (old[:column] + text.encode() + old[column:]).decode())

    def replaced(self, node: ast.AST, text: str) -> Edit:
        """Other code in the place of an expression."""
        first, last = node.lineno, node.end_lineno  # type: ignore[attr-defined]
        before = self.lines[first - 1].encode()[: node.col_offset]  # type: ignore[attr-defined]
        after = self.lines[last - 1].encode()[node.end_col_offset :]  # type: ignore[attr-defined]
        return Edit(first, last, (before + text.encode() + after).decode())

    def before(self, line: int, *code: str) -> Edit:
        """New lines before a line, indented alike."""
        return Edit(line, line - 1, "\n".join(self.indent(line) + one for one in code))

    def after(self, node: ast.stmt, *code: str) -> Edit:
        """New lines after a statement, indented alike."""
        end = (node.end_lineno or node.lineno) + 1
        return Edit(end, end - 1, "\n".join(self.indent(node.lineno) + one for one in code))

    def indent(self, line: int) -> str:
        """The blanks that a line begins with."""
        text = self.lines[line - 1]
        return text[: len(text) - len(text.lstrip())]

    def fix(self, title: str, *edits: Edit) -> Fix:
        """A fix with its diff; of edits that are None-free and do not overlap."""
        ordered = tuple(sorted(edits, key=lambda one: one.line))
        return Fix(title, self.path, ordered, unified(self.path, self.text, ordered))


def called(node: ast.Call) -> str:
    """The last name of what is called: `SGD` of `torch.optim.SGD(...)`."""
    return last_name(node.func)


def last_name(node: ast.AST) -> str:
    """`c` of `a.b.c`, `c` of `c`, "" of anything else."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def parent(node: ast.AST) -> ast.AST | None:
    """The node around a node."""
    return getattr(node, "parent", None)


def read(path: Path) -> Source:
    """Reads a script or a notebook.

    Raises:
        UserError: It is not there, is no text, or is not Python.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder: name the script that trains") from None
    except (UnicodeDecodeError, OSError) as error:
        raise UserError(f"{path} cannot be read as text: {error}") from None
    if path.suffix == ".ipynb":
        text = notebook(path, text)
    source = Source(str(path), text)
    try:
        _ = source.tree
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        where = f"{path}:{line}" if line else str(path)
        raise UserError(f"{where} is not Python: {getattr(error, 'msg', error)}") from None
    return source


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
