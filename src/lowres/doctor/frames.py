"""Which line of the user's code is at work, and how often the loop around it is meant to go round."""

import ast
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from lowres.doctor.findings import Place
from lowres.doctor.source import LOOPS, Loop, Source, called, last_name
from lowres.errors import UserError

PLAIN = (
    ast.Expression, ast.Name, ast.Attribute, ast.Constant, ast.BinOp, ast.UnaryOp, ast.Subscript, ast.operator,
    ast.unaryop, ast.Load, ast.Call,
)  # fmt: skip
"""What may be worked out while the user's program is running, since it cannot change anything."""
HARMLESS = ("int", "len", "round", "min", "max", "abs")
LIBRARIES = (
    *{sysconfig.get_paths()[key] for key in ("stdlib", "purelib", "platlib")},
    str(Path(__file__).resolve().parents[1]),
)
"""Folders that are nobody's own."""


@dataclass
class Frames:
    """Tells the user's frames from those of libraries.

    Attributes:
        root: The folder whose files are the user's.
        sources: Files whose code is known, by the name that frames give them.
    """

    root: Path
    sources: dict[str, Source] = field(default_factory=dict)
    _own: dict[str, bool] = field(default_factory=dict)
    _known: dict[tuple[str, int], list[Loop]] = field(default_factory=dict)

    def where(self) -> Place | None:
        """The innermost line of the user's code."""
        frame = next(self.stack(), None)
        return Place(frame.f_code.co_filename, frame.f_lineno) if frame else None

    def stack(self) -> Iterator[FrameType]:
        """The user's frames, the innermost first."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if self.is_own(frame.f_code.co_filename):
                yield frame
            frame = frame.f_back

    def is_own(self, name: str) -> bool:
        """Whether a file is the user's."""
        known = self._own.get(name)
        if known is None:
            known = self._own[name] = name in self.sources or self._below(name)
        return known

    def _below(self, name: str) -> bool:
        if name.startswith("<"):
            return name.startswith("<ipython")
        path = Path(name).resolve()
        return path.is_relative_to(self.root) and not _library(path)

    def imported(self) -> list[str]:
        """Files of the modules that were imported and belong to no library, wherever they lie."""
        modules = [one for key, one in list(sys.modules.items()) if key != "__main__"]
        names = {getattr(one, "__dict__", {}).get("__file__") for one in modules}
        paths = [Path(one) for one in names if isinstance(one, str)]
        files = {one.resolve() for one in paths if not _library(one)}
        return sorted(str(one) for one in files if not _library(one))

    def source(self, name: str) -> Source | None:
        """The code of one of the user's files."""
        if name not in self.sources:
            try:
                text = Path(name).read_text(encoding="utf-8")
                ast.parse(text)
                self.sources[name] = Source(name, text)
            except (OSError, ValueError, SyntaxError, UserError):
                return None
        return self.sources[name]

    def rounds(self) -> tuple[int | None, int] | None:
        """How often the loop around the present line goes round, and the line where it begins.

        Returns:
            Of the innermost loop that can be counted; otherwise None and the innermost one's line; None if there is
            no loop.
        """
        uncounted: tuple[None, int] | None = None
        for frame in self.stack():
            for loop in self._loops(frame.f_code.co_filename, frame.f_lineno):
                count = _count(loop, frame)
                if count is not None:
                    return count, loop.lineno
                uncounted = uncounted or (None, loop.lineno)
        return uncounted

    def _loops(self, name: str, line: int) -> list[Loop]:
        """The loops whose body a line is in, within its function, the innermost first."""
        if (name, line) not in self._known:
            source = self.source(name)
            around: list[Loop] = []
            if source is not None:
                around = [one for one in source.enclosing(line, ast.stmt) if isinstance(one, LOOPS)]
            inside = source.enclosing(line, ast.FunctionDef, ast.AsyncFunctionDef) if source is not None else []
            floor = inside[0].lineno if inside else 0
            self._known[name, line] = [one for one in around if one.lineno >= floor and line >= one.body[0].lineno]
        return self._known[name, line]


def _library(path: Path) -> bool:
    installed = any(one in path.parts for one in ("site-packages", "dist-packages"))
    return installed or any(path.is_relative_to(one) for one in LIBRARIES)


def _count(loop: Loop, frame: FrameType) -> int | None:
    """The rounds of a loop over a range; of a `while name < limit`, the limit."""
    if isinstance(loop, ast.While):
        test = loop.test
        if isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Lt | ast.LtE):
            limit = _value(test.comparators[0], frame)
            return int(limit) if isinstance(limit, int | float) and last_name(test.left) else None
        return None
    for node in ast.walk(loop.iter):
        if isinstance(node, ast.Call) and called(node) in ("range", "trange"):
            values = [_value(one, frame) for one in node.args]
            if values and all(isinstance(one, int) for one in values):
                return len(range(*values))
    return None


def _value(node: ast.expr, frame: FrameType) -> Any:
    """The value of an expression of names, numbers and arithmetic; None of any other."""
    for part in ast.walk(node):
        if not isinstance(part, PLAIN) or (isinstance(part, ast.Call) and called(part) not in HARMLESS):
            return None
    try:
        code = compile(ast.Expression(node), "<loop>", "eval")
        return eval(code, frame.f_globals, dict(frame.f_locals))
    except Exception:  # not known yet, or not a number: then it is not counted
        return None
