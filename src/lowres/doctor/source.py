"""The user's source: its syntax tree, what stands on a line, and edits of it.

Notebooks are read as one script: code cells in order, magics left out. Nothing here runs any of it.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from lowres.doctor.calls import SPAN, argument, called, last_name, template_of
from lowres.doctor.findings import Fix
from lowres.doctor.notebook import notebook
from lowres.doctor.patching.edits import Edit, Kind, Span, Unpatchable
from lowres.doctor.patching.imports import with_imports
from lowres.doctor.patching.patch import unified
from lowres.errors import UserError

__all__ = ["LOOPS", "Loop", "Source", "called", "last_name", "notebook", "parent", "read"]

IGNORE = re.compile(r"#\s*lowres:\s*ignore\[([\w\s,]+)\]")
LOOPS: tuple[type[ast.For], type[ast.AsyncFor], type[ast.While]] = (ast.For, ast.AsyncFor, ast.While)
T = TypeVar("T", bound=ast.AST)
S = TypeVar("S", bound=ast.stmt)
Loop = ast.For | ast.AsyncFor | ast.While


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
        return re.split(r"\r\n|\r|\n", self.text)

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

    # Edits.

    def with_keyword(self, call: ast.Call, name: str, value: str) -> Edit:
        """A call with an argument set to `value`, whether it is given by name, by position or not at all."""
        given = argument(call, name)
        if given is not None and not any(one.arg == name for one in call.keywords):
            return self.replaced(given, value)
        return self._edit("keyword", call, value, name)

    def keyword_removed(self, call: ast.Call, name: str) -> Edit:
        """A call without one of its keyword arguments."""
        return self._edit("keyword_removed", call, name=name)

    def replaced(self, node: ast.AST, text: str) -> Edit:
        """Other code in the place of an expression or of a statement; the old code in it stays open to other edits."""
        if isinstance(node, ast.stmt):
            return self._edit("rewritten", node, text)
        template = template_of(node, text)
        return self._edit("wrapped", node, template) if template else self._edit("replaced", node, text)

    def wrapped(self, node: ast.AST, template: str) -> Edit:
        """An expression within other code: {} of the template stands for it."""
        return self._edit("wrapped", node, template)

    def element_before(self, node: ast.AST, *code: str) -> Edit:
        """New elements before an element of a list."""
        return self._edit("element_before", node, ", ".join(code))

    def element_after(self, node: ast.AST, *code: str) -> Edit:
        """New elements after an element of a list."""
        return self._edit("element_after", node, ", ".join(code))

    def before(self, line: int, *code: str) -> Edit:
        """New statements before the one that begins on a line, or that the line belongs to."""
        begins = [node for node in self.nodes(ast.stmt) if node.lineno == line]
        first = min(begins, key=lambda node: node.col_offset, default=None) or self.statement_at(line)
        if first is None:
            return Edit("before", line, code="\n".join(code))
        return self._edit("before", _standing(self, first), "\n".join(code))

    def after(self, node: ast.stmt, *code: str) -> Edit:
        """New statements after one, with its indentation."""
        return self._edit("after", _standing(self, node), "\n".join(code))

    def removed(self, node: ast.stmt) -> Edit:
        """A statement that goes; a body that it leaves empty gets `pass`."""
        return self._edit("removed", node)

    def imported(self, code: str) -> Edit:
        """An import such as `import torch.nn.functional as F`, of what the file does not import yet; see `fix`."""
        return Edit("imported", code=code)

    def element_removed(self, node: ast.AST) -> Edit:
        """A list without one of its elements."""
        return self._edit("element_removed", node)

    def _edit(self, kind: Kind, node: ast.AST, code: str = "", name: str = "") -> Edit:
        return Edit(kind, *self.span(node), code, name)

    def span(self, node: ast.AST) -> Span:
        """Where a node begins and ends: lines from 1, columns in characters from 0."""
        line, column, end, end_column = (getattr(node, one) for one in SPAN)
        return line, self._column(line, column), end, self._column(end, end_column)

    def _column(self, line: int, column: int) -> int:
        """A column in characters; those of the tree count bytes of UTF-8."""
        return len(self.lines[line - 1].encode()[:column].decode())

    def indent(self, line: int) -> str:
        """The blanks that a line begins with."""
        text = self.lines[line - 1]
        return text[: len(text) - len(text.lstrip())]

    def fix(self, title: str, *edits: Edit) -> Fix:
        """A fix with its diff. Imports go behind the last one above what the other edits change.

        Where they cannot be made, what they would write is left as the fix's `code`.
        """
        placed = tuple(dict.fromkeys(with_imports(self.tree, edits)))
        try:
            return Fix(title, self.path, placed, unified(self.path, self.text, placed))
        except Unpatchable:
            return Fix(title, self.path, code="\n".join(one.code for one in edits if one.code))


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


def _standing(source: Source, node: ast.stmt) -> ast.stmt:
    """The statement, or for an `elif` the `if` that it belongs to: nothing can stand before or after the former."""
    above = parent(node)
    while isinstance(node, ast.If) and isinstance(above, ast.If) and above.orelse == [node]:
        if not source.segment(node).startswith("elif"):
            break
        node, above = above, parent(above)
    return node
