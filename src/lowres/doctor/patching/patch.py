"""Makes edits in a text, all in one pass over its concrete syntax tree, so that formatting and comments stay.

Inner edits are made before outer ones. What a call or a list gains is written as its neighbours are, in
`insertions`; marks are put where they belong by `marks`.
"""

import difflib
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import libcst as cst
from libcst.metadata import CodeRange, MetadataWrapper, PositionProvider

from lowres.doctor.patching.edits import OF_STATEMENTS, Edit, Span, Unpatchable
from lowres.doctor.patching.insertions import with_elements, with_keyword, without_keyword
from lowres.doctor.patching.marks import REMOVED, finished, is_mark, mark, removal

Statement = cst.SimpleStatementLine | cst.BaseCompoundStatement
Suite = cst.SimpleStatementSuite
Coded = tuple[Edit, str]
HOLE = "__lowres_hole__"

TIGHT = (cst.BinaryOperation, cst.UnaryOperation, cst.Comparison, cst.BooleanOperation, cst.Attribute, cst.Subscript)
LOOSE = (
    *(cst.BinaryOperation, cst.UnaryOperation, cst.Comparison, cst.BooleanOperation),
    *(cst.IfExp, cst.Lambda, cst.NamedExpr, cst.Await, cst.Yield),
)


def apply(text: str, edits: Iterable[Edit]) -> str:
    """A text after its edits.

    Raises:
        Unpatchable: One cannot be made.
    """
    return patched(text, [(edit, "") for edit in edits])


def unified(path: str, text: str, edits: Iterable[Edit]) -> str:
    """Edits of a file as a unified diff, without marks.

    Raises:
        Unpatchable: One cannot be made.
    """
    before, after = (one.removesuffix("\n").split("\n") for one in (text, apply(text, edits)))
    return "\n".join(difflib.unified_diff(before, after, path, path, lineterm="", n=1))


def patched(text: str, edits: Sequence[Coded]) -> str:
    """A text after its edits, each changed statement marked with the codes of its edits.

    Args:
        text: The original, which the edits' places refer to.
        edits: Each with a code to mark it by; "": no mark. Equal edits are made once, with both codes.

    Raises:
        Unpatchable: One cannot be made.
    """
    if not edits:
        return text
    module, places = _parsed(text)
    patcher = _Patcher(places, _merged(edits))
    try:
        after = module.visit(patcher)
    except (cst.ParserSyntaxError, cst.CSTValidationError, RecursionError) as error:
        raise Unpatchable(f"the new code cannot be put there: {_first_line(error)}") from None
    lost = patcher.lost()
    if lost:
        raise Unpatchable(f"nothing to edit was found at line {lost[0].line}")
    return finished(after.code, patcher.removals)


@lru_cache(maxsize=4)
def _parsed(text: str) -> tuple[cst.Module, Mapping[cst.CSTNode, CodeRange]]:
    try:
        wrapper = MetadataWrapper(cst.parse_module(text))
        return wrapper.module, wrapper.resolve(PositionProvider)
    except (cst.ParserSyntaxError, RecursionError) as error:
        raise Unpatchable(f"LibCST cannot read it: {_first_line(error)}") from None


def _merged(edits: Sequence[Coded]) -> dict[Edit, str]:
    """Equal edits as one; of imports of the same, the first in the file."""
    codes: dict[Edit, list[str]] = {}
    for edit, code in edits:
        if edit.kind == "imported":
            same = [one for one in codes if one.kind == "imported" and one.code == edit.code]
            if same and same[0].span > edit.span:
                codes[edit] = codes.pop(same[0])
            elif same:
                edit = same[0]
        known = codes.setdefault(edit, [])
        if code and code not in known:
            known.append(code)
    return {edit: ", ".join(known) for edit, known in codes.items()}


class _Patcher(cst.CSTTransformer):
    """The pass.

    Attributes:
        removals: What a removed statement leaves: a comment that says so, or nothing.
    """

    def __init__(self, places: Mapping[cst.CSTNode, CodeRange], edits: Mapping[Edit, str]) -> None:
        super().__init__()
        self.removals: list[str] = []
        self._places, self._codes = places, edits
        self._done: set[Edit] = set()
        self._around: list[cst.CSTNode] = []
        self._open: list[list[str]] = []  # codes of the edits within each statement that is being visited
        self._expressions: dict[Span, list[Edit]] = defaultdict(list)
        self._statements: dict[tuple[int, int], list[Edit]] = defaultdict(list)
        for edit in edits:
            if edit.kind in OF_STATEMENTS:
                self._statements[edit.span[:2]].append(edit)
            else:
                self._expressions[edit.span].append(edit)

    def lost(self) -> list[Edit]:
        """Edits that found no place."""
        return [edit for edit in self._codes if edit not in self._done]

    def on_visit(self, node: cst.CSTNode) -> bool:
        """Goes down."""
        if isinstance(node, Statement):
            self._open.append([])
        self._around.append(node)
        return super().on_visit(node)

    def on_leave(self, original_node: cst.CSTNode, updated_node: Any) -> Any:
        """Makes the edits of a node, whose parts have been edited."""
        node: Any = super().on_leave(original_node, updated_node)
        self._around.pop()
        if isinstance(original_node, cst.BaseExpression):
            return self._expression(original_node, node)
        if isinstance(original_node, Statement):
            return self._statement(original_node, node)
        if isinstance(original_node, Suite):
            return self._suite(original_node, node)
        if isinstance(original_node, cst.IndentedBlock) and all(map(self._is_removal, node.body)):
            return node.with_changes(body=[*node.body, cst.parse_statement("pass")])
        if isinstance(original_node, cst.Module):
            return node.with_changes(body=[*self._inserted(self._statements[0, 0], "imported"), *node.body])
        return node

    # Expressions.

    def _expression(self, original: cst.BaseExpression, node: cst.BaseExpression) -> cst.BaseExpression:
        if isinstance(original, cst.List | cst.Tuple | cst.Set):
            node = self._elements(original, node)
        edits = [one for one in self._expressions.get(self._span(original), ()) if not one.kind.startswith("element")]
        for edit in sorted(
            edits, key=lambda one: ("replaced", "keyword", "keyword_removed", "wrapped").index(one.kind)
        ):
            self._did(edit)
            if edit.kind == "replaced":
                node = self._in_place_of(original, cst.parse_expression(edit.code.strip()))
            elif edit.kind == "wrapped":
                node = self._in_place_of(node, _wrap(node, edit.code))
            elif not isinstance(node, cst.Call):
                raise Unpatchable(f"line {edit.line} holds no call to set {edit.name} in")
            elif edit.kind == "keyword":
                node = with_keyword(node, edit.name, edit.code)
            else:
                node = without_keyword(node, edit.name)
        return node

    def _elements(self, original: cst.List | cst.Tuple | cst.Set, node: Any) -> Any:
        found: dict[int, list[Edit]] = {}
        for i, element in enumerate(original.elements):
            beside = [e for e in self._expressions.get(self._span(element.value), ()) if e.kind.startswith("element")]
            if beside:
                found[i] = beside
                for edit in beside:
                    self._did(edit)
        return with_elements(node, found) if found else node

    def _in_place_of(self, old: cst.BaseExpression, new: cst.BaseExpression) -> cst.BaseExpression:
        """New code with the parentheses of the old, or those that it needs there."""
        own = _own_parentheses(old)
        left, right = list(old.lpar)[: len(old.lpar) - own], list(old.rpar)[own:]
        around = self._around[-1] if self._around else None
        tight = isinstance(around, TIGHT) or (isinstance(around, cst.Call) and around.func is old)
        if tight and not left and not new.lpar and isinstance(new, LOOSE):
            left, right = [cst.LeftParen()], [cst.RightParen()]
        return new.with_changes(lpar=[*left, *new.lpar], rpar=[*new.rpar, *right])

    def _span(self, node: cst.BaseExpression) -> Span:
        """Where it stands, as `ast` counts: the parentheses of a tuple are its own."""
        start, end = self._places[node].start, self._places[node].end
        if _own_parentheses(node):
            start, end = self._places[node.lpar[-1]].start, self._places[node.rpar[0]].end
        return start.line, start.column, end.line, end.column

    def _did(self, edit: Edit) -> None:
        self._done.add(edit)
        self._open[-1].append(self._codes[edit])

    # Statements.

    def _statement(self, original: Statement, node: Statement) -> Any:
        inner = self._open.pop()
        if isinstance(original, cst.SimpleStatementLine):
            return self._line(original.body, node, inner)
        pieces = self._piece(original, mark(node, inner))
        return cst.FlattenSentinel(pieces) if len(pieces) > 1 else pieces[0]

    def _line(self, originals: Sequence[cst.CSTNode], node: Any, inner: list[str]) -> Any:
        """A line of one statement or of several; the latter go to lines of their own where one of them is edited."""
        if not any(self._statements.get(self._start(one)) for one in originals):
            return mark(node, inner)
        parts = list(node.body)
        lines = [node.with_changes(body=[part.with_changes(semicolon=cst.MaybeSentinel.DEFAULT)]) for part in parts]
        lines[1:] = [one.with_changes(leading_lines=[]) for one in lines[1:]]
        lines[:-1] = [one.with_changes(trailing_whitespace=cst.TrailingWhitespace()) for one in lines[:-1]]
        lines[0] = mark(lines[0], inner)
        return cst.FlattenSentinel(
            [piece for one, line in zip(originals, lines, strict=True) for piece in self._piece(one, line)]
        )

    def _suite(self, original: cst.SimpleStatementSuite, node: cst.SimpleStatementSuite) -> cst.BaseSuite:
        """`if x: y`: gets a body of lines where a statement of it is edited."""
        if not any(self._statements.get(self._start(one)) for one in original.body):
            return node
        line = cst.SimpleStatementLine(node.body, trailing_whitespace=node.trailing_whitespace)
        body = list(self._line(original.body, line, []))
        return cst.IndentedBlock(body + ([cst.parse_statement("pass")] if all(map(self._is_removal, body)) else []))

    def _piece(self, original: cst.CSTNode, node: Any) -> list[Any]:
        """A statement, or what comes in its place, with what is put before and after it."""
        edits = self._statements.get(self._start(original), [])
        if not edits:
            return [node]
        main: list[Any] = [node]
        if any(one.kind == "removed" for one in edits):
            main = [self._removal(node, [one for one in edits if one.kind == "removed"])]
        elif any(one.kind == "rewritten" for one in edits):
            main = self._inserted(edits, "rewritten")
            if isinstance(node, cst.SimpleStatementLine) and isinstance(main[-1], cst.SimpleStatementLine):
                main[-1] = main[-1].with_changes(trailing_whitespace=node.trailing_whitespace)
        before, after = self._inserted(edits, "before"), self._inserted(edits, "after", "imported")
        if before or main[0] is not node:  # comments above it stay above
            above = [line for line in node.leading_lines if not is_mark(line)]
            if main[0] is node:
                main[0] = node.with_changes(leading_lines=[line for line in node.leading_lines if is_mark(line)])
            target = before or main
            target[0] = target[0].with_changes(leading_lines=[*above, *target[0].leading_lines])
        return [*before, *main, *after]

    def _inserted(self, edits: Sequence[Edit], *kinds: str) -> list[Any]:
        """The statements of insertions; imports come first."""
        chosen = sorted((one for one in edits if one.kind in kinds), key=lambda one: one.kind != "imported")
        made: list[Any] = []
        for edit in chosen:
            self._done.add(edit)
            module = cst.parse_module(textwrap.dedent(edit.code).strip("\n") + "\n")
            if not module.body:
                raise Unpatchable(f"the code for line {edit.line} holds no statement")
            body = [mark(one, [self._codes[edit]]) for one in module.body]
            body[0] = body[0].with_changes(leading_lines=[*module.header, *body[0].leading_lines])
            made += body
        return made

    def _removal(self, node: Any, edits: list[Edit]) -> cst.SimpleStatementLine:
        self._done |= set(edits)
        codes = ", ".join(self._codes[one] for one in edits if self._codes[one])
        self.removals.append(removal(codes, cst.Module([node.with_changes(leading_lines=[])]).code))
        name = f"{REMOVED}{len(self.removals) - 1}"
        return cst.SimpleStatementLine([cst.Expr(cst.Name(name))])

    @staticmethod
    def _is_removal(node: cst.CSTNode) -> bool:
        value = getattr(node.body[0], "value", None) if isinstance(node, cst.SimpleStatementLine) else None
        return isinstance(value, cst.Name) and value.value.startswith(REMOVED)

    def _start(self, node: cst.CSTNode) -> tuple[int, int]:
        start = self._places[node].start
        return start.line, start.column


def _own_parentheses(node: cst.BaseExpression) -> int:
    """How many of its parentheses belong to it, as `ast` counts: those of a tuple or a generator do."""
    return 1 if isinstance(node, cst.Tuple | cst.GeneratorExp) and node.lpar else 0


def _wrap(node: cst.BaseExpression, template: str) -> cst.BaseExpression:
    """A template with an expression in place of its {}."""
    outer = cst.parse_expression(template.strip().replace("{}", HOLE, 1))
    own = _own_parentheses(node)  # others stay around the whole
    node = node.with_changes(lpar=list(node.lpar)[len(node.lpar) - own :], rpar=list(node.rpar)[:own])
    bare = not node.lpar and isinstance(node, (*LOOSE, cst.Tuple, cst.GeneratorExp))
    if bare and not isinstance(outer, cst.Name):
        node = node.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    hole = cst.Name(HOLE)
    found: list[cst.Name] = []

    class Filled(cst.CSTTransformer):
        def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.BaseExpression:  # noqa: N802
            if original_node.value != hole.value:
                return updated_node
            found.append(original_node)
            return node

    filled = outer.visit(Filled())
    if not found or not isinstance(filled, cst.BaseExpression):
        raise Unpatchable(f"the template {template!r} has no {{}}")
    return filled


def _first_line(error: BaseException) -> str:
    text = getattr(error, "message", "") or str(error)
    return (text.splitlines() or [type(error).__name__])[0]
