"""A program on smaller images: the sizes that it scales or crops them to, divided.

Small images that are scaled up cost a short training most of its time and tell it nothing: at half the size it passes
four times as many through. Sizes are found as numbers in the calls of transforms, or in what the names there were set
to; those that are small already stay.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from lowres.doctor.proof.plan import PARTS
from lowres.doctor.proof.shortening import replaced
from lowres.doctor.source import Source, called, last_name

SIZED = ("Resize", "CenterCrop", "RandomCrop", "RandomResizedCrop")
LEAST = 32
"""Pixels a side that images keep."""


@dataclass(frozen=True)
class Size:
    """A number of pixels in the source; `pads` if it is that of a crop's border."""

    node: ast.Constant
    pads: bool = False


def divisors(text: str) -> list[int]:
    """Whole numbers, the least first, by which the sides of a program's images can be divided; none if by none."""
    found = [one.node.value for one in _sizes(Source("<variant>", text)) if not one.pads]
    whole = [value for value in found if isinstance(value, int)]
    return [by for by in PARTS if whole and all(v % by == 0 and v // by >= LEAST for v in whole)]


def shrink(text: str, by: int) -> str:
    """Divides the sizes of a program's images; those that would have fewer than `LEAST` pixels stay."""
    if by == 1:
        return text
    changed: dict[ast.Constant, str] = {}
    for one in _sizes(Source("<variant>", text)):
        value = one.node.value
        if isinstance(value, int) and (one.pads or value // by >= LEAST):
            changed[one.node] = str(-(-value // by))
    return replaced(text, changed)


def _sizes(source: Source) -> Iterator[Size]:
    """Each once; a crop's border belongs to a size that is divided."""
    seen: set[ast.Constant] = set()
    for call in source.calls(*SIZED):
        given = call.args[:1] + [one.value for one in call.keywords if one.arg == "size"]
        found = [node for one in given for node in _numbers(source, one)]
        large = any(isinstance(node.value, int) and node.value >= 2 * LEAST for node in found)
        border = [one.value for one in call.keywords if one.arg == "padding"]
        border += call.args[1:2] if called(call) == "RandomCrop" else []
        pads = [node for one in border for node in _numbers(source, one)] if large else []
        for node, is_border in [(node, False) for node in found] + [(node, True) for node in pads]:
            if node not in seen:
                seen.add(node)
                yield Size(node, is_border)


def _numbers(source: Source, given: ast.expr) -> Iterator[ast.Constant]:
    """Whole numbers in an expression, and those that names in it are set to."""
    for node in ast.walk(given):
        if isinstance(node, ast.Constant) and type(node.value) is int:
            yield node
        elif isinstance(node, ast.Name):
            for one in source.nodes(ast.Assign):
                known = isinstance(one.value, ast.Constant) and type(one.value.value) is int
                if known and any(last_name(target) == node.id for target in one.targets):
                    yield one.value  # type: ignore[misc]
