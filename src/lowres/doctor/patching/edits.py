"""Edits of source: operations at places of the original text, so that those of several fixes compose."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "keyword",
    "keyword_removed",
    "replaced",
    "wrapped",
    "element_before",
    "element_after",
    "element_removed",
    "rewritten",
    "removed",
    "before",
    "after",
    "imported",
]
OF_STATEMENTS: tuple[Kind, ...] = ("rewritten", "removed", "before", "after", "imported")
INSERTIONS: tuple[Kind, ...] = ("before", "after", "element_before", "element_after", "imported")

Span = tuple[int, int, int, int]


@dataclass(frozen=True)
class Edit:
    """An operation on the code at a place of the original source.

    Attributes:
        kind: Of an expression: "keyword" (sets an argument of a call), "keyword_removed", "replaced", "wrapped" (by
            `code`, in which {} stands for it), "element_before" and "element_after" (puts elements beside it, in
            the list that it is in), "element_removed". Of a statement: "rewritten", "removed", "before" and "after"
            (puts statements beside it), "imported" (puts an import behind it; without a place, first in the file).
        line: Where the expression or statement begins, counting from 1.
        column: There, in characters, counting from 0.
        end_line: Where it ends.
        end_column: There.
        code: What is put there, statements with their indentation relative to each other.
        name: Of a keyword.
    """

    kind: Kind
    line: int = 0
    column: int = 0
    end_line: int = 0
    end_column: int = 0
    code: str = ""
    name: str = ""

    @property
    def span(self) -> Span:
        """From where to where it reaches."""
        return self.line, self.column, self.end_line, self.end_column


class Unpatchable(Exception):
    """An edit cannot be made; the message says why."""
