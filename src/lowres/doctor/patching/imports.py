"""Where an import goes: behind the last one above the code that needs it, and nowhere if the file has it."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import replace

from lowres.doctor.patching.edits import Edit

Import = ast.Import | ast.ImportFrom


def with_imports(tree: ast.Module, edits: Sequence[Edit]) -> list[Edit]:
    """Edits of a file with the places of their imports; those of what is imported already are left out."""
    others = [one for one in edits if one.kind != "imported"]
    first = min((one.line for one in others), default=10**9)
    above = [one for one in tree.body if _start(one) <= first]
    known = {name for statement in above for name in _names(statement)}
    anchor = _anchor(above, first)
    placed: list[Edit] = []
    for edit in edits:
        if edit.kind != "imported":
            placed.append(edit)
            continue
        code = _lacking(edit.code, known)
        if code and anchor is not None:
            end = (anchor.end_lineno or anchor.lineno, 0)
            placed.append(replace(edit, code=code, line=anchor.lineno, column=anchor.col_offset, end_line=end[0]))
        elif code:
            placed.append(replace(edit, code=code))
    return placed


def _start(node: ast.stmt) -> int:
    decorators = getattr(node, "decorator_list", [])
    return int(min([node.lineno, *(one.lineno for one in decorators)]))


def _anchor(above: Sequence[ast.stmt], first: int) -> ast.stmt | None:
    """The last import at the top level that ends above a line, else the module's docstring."""
    found = [one for one in above if (one.end_lineno or 0) < first or one.end_lineno == one.lineno == first]
    imports = [one for one in found if any(isinstance(part, Import) for part in (one, *getattr(one, "body", ())))]
    plain = [one for one in imports if isinstance(one, Import | ast.Try | ast.If)]
    if plain:
        return plain[-1]
    docstring = above[:1] and isinstance(above[0], ast.Expr) and isinstance(above[0].value, ast.Constant)
    return above[0] if docstring and isinstance(above[0].value.value, str) else None  # type: ignore[attr-defined]


def _names(statement: ast.stmt) -> Iterator[tuple[str, str]]:
    """What a statement at the top level imports, and the names that it then has."""
    within = statement.body if isinstance(statement, ast.Try | ast.If) else []
    for node in (statement, *within):
        if isinstance(node, ast.Import):
            yield from ((one.name, one.asname or one.name) for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            home = "." * node.level + (node.module or "")
            yield from ((f"{home}.{one.name}", one.asname or one.name) for one in node.names)


def _lacking(code: str, known: set[tuple[str, str]]) -> str:
    """An import without what is known."""
    (statement,) = ast.parse(code.strip()).body
    assert isinstance(statement, Import)
    home = "" if isinstance(statement, ast.Import) else "." * statement.level + (statement.module or "") + "."
    statement.names = [one for one in statement.names if (home + one.name, one.asname or one.name) not in known]
    return ast.unparse(statement) if statement.names else ""
