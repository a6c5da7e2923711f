"""Arguments and elements put beside others or taken out, on lines of their own where their neighbours are."""

from collections.abc import Mapping, Sequence
from typing import Any

import libcst as cst

from lowres.doctor.patching.edits import Edit, Unpatchable

Spaced = cst.BaseParenthesizableWhitespace
NONE = cst.SimpleWhitespace("")
BLANK = cst.SimpleWhitespace(" ")


def with_keyword(call: cst.Call, name: str, value: str) -> cst.Call:
    """A call with a keyword argument set, in the place of an equal one or as the last."""
    new = cst.parse_expression(value.strip())
    for i, one in enumerate(call.args):
        if one.keyword is not None and one.keyword.value == name:
            kept = new.with_changes(lpar=[*one.value.lpar, *new.lpar], rpar=[*new.rpar, *one.value.rpar])
            return call.with_changes(args=[*call.args[:i], one.with_changes(value=kept), *call.args[i + 1 :]])
    if any(one.star for one in call.args):
        raise Unpatchable(f"what * and ** give to the call cannot be seen: {name} may be among it")
    argument = cst.Arg(new, cst.Name(name), equal=cst.AssignEqual(NONE, NONE))
    if not call.args:
        return call.with_changes(args=[argument])
    return call.with_changes(args=_appended(call.args, argument, call.whitespace_before_args))


def without_keyword(call: cst.Call, name: str) -> cst.Call:
    """A call without one of its keyword arguments."""
    left = [one for one in call.args if one.keyword is None or one.keyword.value != name]
    if len(left) == len(call.args):
        raise Unpatchable(f"the call has no argument {name}")
    last = call.args[-1]
    if left and left[-1] is not last:
        left[-1] = left[-1].with_changes(comma=last.comma, whitespace_after_arg=last.whitespace_after_arg)
    return call.with_changes(args=left)


def with_elements(node: Any, edits: Mapping[int, Sequence[Edit]]) -> Any:
    """A list, tuple or set with elements put beside others, or without some.

    Args:
        node: The list.
        edits: By the position of the element.
    """
    left, right = ("lbrace", "rbrace") if isinstance(node, cst.Set) else ("lbracket", "rbracket")
    opening = getattr(node, left).whitespace_after if hasattr(node, left) else NONE
    made: list[Any] = []
    gone: list[int] = []
    for i, element in enumerate(node.elements):
        before = [e for edit in edits.get(i, ()) if edit.kind == "element_before" for e in _elements(edit.code)]
        after = [e for edit in edits.get(i, ()) if edit.kind == "element_after" for e in _elements(edit.code)]
        above = _line_of(node.elements[i - 1].comma.whitespace_after if i else opening)
        made += [one.with_changes(comma=cst.Comma(whitespace_after=above or BLANK)) for one in before]
        gone += [len(made)] if any(edit.kind == "element_removed" for edit in edits.get(i, ())) else []
        made.append(element)
        if after and i < len(node.elements) - 1:
            below = _line_of(element.comma.whitespace_after)
            made += [one.with_changes(comma=cst.Comma(whitespace_after=below or BLANK)) for one in after]
        elif after:
            trailing = element.comma
            closing = getattr(node, right).whitespace_before if hasattr(node, right) else NONE
            between: Spaced = above or BLANK
            if above is not None and isinstance(closing, cst.ParenthesizedWhitespace):  # a comment stays on its line
                between = closing.with_changes(last_line=above.last_line, empty_lines=[])
                bracket = getattr(node, right).with_changes(whitespace_before=_line_of(closing))
                node = node.with_changes(**{right: bracket})
            made[-1] = element.with_changes(comma=cst.Comma(whitespace_after=between))
            made += [one.with_changes(comma=cst.Comma(whitespace_after=above or BLANK)) for one in after[:-1]]
            made.append(after[-1].with_changes(comma=trailing))
    node = node.with_changes(elements=made)
    for i in reversed(gone):
        node = _without_element(node, i, left, right)
    return node


def _without_element(node: Any, i: int, left: str, right: str) -> Any:
    """A list without an element and the comment on its line; comments of its neighbours stay."""
    elements = list(node.elements)
    out = elements.pop(i)
    bracketed = hasattr(node, left)
    if i < len(elements):
        after = out.comma.whitespace_after
        if i:
            comma = elements[i - 1].comma
            elements[i - 1] = elements[i - 1].with_changes(
                comma=comma.with_changes(whitespace_after=_joined(comma.whitespace_after, after))
            )
        elif bracketed:
            opening = getattr(node, left)
            node = node.with_changes(
                **{left: opening.with_changes(whitespace_after=_joined(opening.whitespace_after, after))}
            )
    elif elements:
        before = elements[-1].comma.whitespace_after
        elements[-1] = elements[-1].with_changes(comma=out.comma)
        if bracketed:
            closing = getattr(node, right)
            space = closing.whitespace_before
            if isinstance(space, cst.ParenthesizedWhitespace) or _commented(before):
                space = _joined(before, space)
            node = node.with_changes(**{right: closing.with_changes(whitespace_before=space)})
    return node.with_changes(elements=elements)


def _commented(space: Spaced) -> bool:
    if not isinstance(space, cst.ParenthesizedWhitespace):
        return False
    return space.first_line.comment is not None or any(line.comment is not None for line in space.empty_lines)


def _joined(before: Spaced, after: Spaced) -> Spaced:
    """The space between what stood before and after an element that is gone."""
    if not isinstance(after, cst.ParenthesizedWhitespace):
        return before
    if not isinstance(before, cst.ParenthesizedWhitespace):
        return after
    return after.with_changes(first_line=before.first_line, empty_lines=[*before.empty_lines, *after.empty_lines])


def _elements(code: str) -> list[cst.Element]:
    """Elements written as in a list: `crop, flip`."""
    parsed = cst.parse_expression(f"[{code.strip().rstrip(',')}]")
    assert isinstance(parsed, cst.List)
    return [one.with_changes(comma=cst.MaybeSentinel.DEFAULT) for one in parsed.elements]  # type: ignore[misc]


def _appended(arguments: Sequence[cst.Arg], new: cst.Arg, opening: Spaced) -> list[cst.Arg]:
    """Arguments with one more at the end; the closing bracket and comments stay where they are."""
    last = arguments[-1]
    previous = arguments[-2].comma if len(arguments) > 1 else None
    line = _line_of(previous.whitespace_after if isinstance(previous, cst.Comma) else opening)
    trailing = last.comma if isinstance(last.comma, cst.Comma) else None
    after = trailing.whitespace_after if trailing is not None else last.whitespace_after_arg
    between: Spaced = line or BLANK
    if line is not None and isinstance(after, cst.ParenthesizedWhitespace):
        between = after.with_changes(last_line=line.last_line, empty_lines=[])
        after = after.with_changes(first_line=cst.TrailingWhitespace(), empty_lines=[])
    if trailing is not None:
        new = new.with_changes(comma=trailing.with_changes(whitespace_after=after))
    else:
        new = new.with_changes(whitespace_after_arg=after)
    return [
        *arguments[:-1],
        last.with_changes(comma=cst.Comma(whitespace_after=between), whitespace_after_arg=NONE),
        new,
    ]


def _line_of(space: Spaced | Any) -> cst.ParenthesizedWhitespace | None:
    """A line break with the indentation of what follows, without its comments; None where there is none."""
    if not isinstance(space, cst.ParenthesizedWhitespace):
        return None
    return space.with_changes(first_line=cst.TrailingWhitespace(), empty_lines=[])
