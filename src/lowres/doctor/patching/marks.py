"""Marks behind what was changed, such as `# lowres LR103`, so that a reader finds it again.

While the tree is edited a mark is a comment line above its statement. When the text is there, it goes behind the
statement's first line, unless that line ends inside a string or in a backslash.
"""

import io
import re
import tokenize
from collections.abc import Sequence
from typing import Any

import libcst as cst

REMOVED = "__lowres_removed_"
MARK = re.compile(r"# lowres (?:[A-Z]{2}\d{3}(?:, )?)+")
"""What stands in mended code."""

_MOVING = "# lowres-mark "


def mark(node: Any, codes: Sequence[str]) -> Any:
    """A statement with a mark to come; of codes that are empty there is none."""
    names = sorted({name for one in codes for name in one.split(", ") if name})
    if not names:
        return node
    field = "lines_after_decorators" if getattr(node, "decorators", ()) else "leading_lines"
    line = cst.EmptyLine(comment=cst.Comment(_MOVING + ", ".join(names)))
    return node.with_changes(**{field: [*getattr(node, field), line]})


def is_mark(line: cst.EmptyLine) -> bool:
    """Whether a line above a statement is a mark to come."""
    return line.comment is not None and line.comment.value.startswith(_MOVING)


def removal(codes: str, code: str) -> str:
    """What a removed statement leaves where changes are marked."""
    lines = code.strip().splitlines()
    return f"# lowres {codes}: removed {lines[0]}{' ...' if lines[1:] else ''}" if codes else ""


def finished(text: str, removals: Sequence[str]) -> str:
    """The text with its marks and what removed statements leave in their places."""
    lines = text.split("\n")
    inside = _inside_strings(text)
    done: list[str] = []
    names = ""
    for number, line in enumerate(lines, start=1):
        bare = line.strip()
        indent = line[: len(line) - len(line.lstrip())]
        if bare.startswith(_MOVING) and number not in inside:
            names = ", ".join(filter(None, (names, bare.removeprefix(_MOVING))))
        elif bare.startswith(REMOVED):
            left = removals[int(bare.removeprefix(REMOVED))]
            done += [indent + left] if left else []
        elif not names:
            done.append(line)
        else:
            legal = number not in inside and not line.endswith("\\")
            done += [f"{line.rstrip()}  # lowres {names}"] if legal else [f"{indent}# lowres {names}", line]
            names = ""
    return "\n".join(done)


def _inside_strings(text: str) -> set[int]:
    """Lines that end inside a string."""
    starts: list[int] = []
    inside: set[int] = set()
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            name = tokenize.tok_name[token.type]
            if name == "STRING":
                inside |= set(range(token.start[0], token.end[0]))
            elif name.endswith("STRING_START"):
                starts.append(token.start[0])
            elif name.endswith("STRING_END"):
                inside |= set(range(starts.pop(), token.end[0]))
    except (tokenize.TokenError, SyntaxError):
        return inside  # what does not parse is refused by whoever asked for the text
    return inside
