"""Whether edits of two fixes can both be made."""

import ast
from collections.abc import Iterable

from lowres.doctor.patching.edits import INSERTIONS, OF_STATEMENTS, Edit, Span
from lowres.doctor.source import Source


def clash(source: Source, ours: Iterable[Edit], theirs: Iterable[Edit]) -> Edit | None:
    """The first edit of `ours` that cannot be made beside `theirs`."""
    others = list(theirs)
    return next((one for one in ours if any(_clash(source, one, other) for other in others)), None)


def _clash(source: Source, a: Edit, b: Edit) -> bool:
    if a == b or "imported" in (a.kind, b.kind):
        return False
    if a.name and a.name == b.name and a.span == b.span:
        return True
    if a.kind in ("before", "after") and b.kind in ("before", "after"):
        return bool(_bound(a.code) & _bound(b.code)) and a.code != b.code
    return _takes(source, a, b) or _takes(source, b, a)


def _takes(source: Source, a: Edit, b: Edit) -> bool:
    """Whether code that `b` edits is replaced or removed by `a`."""
    own = _territory(source, a)
    if own is None:
        return False
    other = _territory(source, b) or b.span
    if not (own[:2] <= other[:2] and other[2:] <= own[2:]):
        return False
    beside = b.kind in INSERTIONS or (b.kind == "wrapped" and a.kind not in (*OF_STATEMENTS, "element_removed"))
    return own != other if beside else True


def _territory(source: Source, edit: Edit) -> Span | None:
    """The code that an edit does away with; None where it only adds."""
    if edit.kind in ("replaced", "rewritten", "removed", "element_removed"):
        return edit.span
    if edit.kind in ("keyword", "keyword_removed"):
        for call in source.nodes(ast.Call):
            if source.span(call) == edit.span:
                return next((source.span(one.value) for one in call.keywords if one.arg == edit.name), None)
    return None


def _bound(code: str) -> set[str]:
    """What statements set that stand in a row: `scheduler`, `model.conv1`."""
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError):
        return set()
    return {ast.unparse(target) for one in body if isinstance(one, ast.Assign) for target in one.targets}
