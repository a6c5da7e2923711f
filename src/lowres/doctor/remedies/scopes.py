"""The tree around a node, and which names are known where."""

import ast
import builtins

from lowres.doctor.calls import last_name
from lowres.doctor.source import Source, parent

Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

# The tree.


def statement(node: ast.AST) -> ast.stmt:
    """The smallest statement around a node."""
    found: ast.AST | None = node
    while found is not None and not isinstance(found, ast.stmt):
        found = parent(found)
    assert isinstance(found, ast.stmt)
    return found


def home(node: ast.AST) -> Function | None:
    """The function that a node is in; None at the level of the module or a class."""
    found = parent(node)
    while found is not None and not isinstance(found, FUNCTIONS):
        found = parent(found)
    return found


def owner(node: ast.AST) -> ast.ClassDef | None:
    """The class whose method a node is in."""
    found = parent(node)
    while found is not None and not isinstance(found, ast.ClassDef):
        found = parent(found)
    return found


# What is known where.


def known(source: Source, code: str | ast.expr, site: ast.AST, line: int | None = None) -> bool:
    """Whether all names of an expression have a value where `site` stands.

    Args:
        source: The file.
        code: The expression.
        site: A node in the scope in question.
        line: Where in that scope; by default the site's own line.
    """
    node = ast.parse(code, mode="eval").body if isinstance(code, str) else code
    at = line if line is not None else int(getattr(site, "lineno", 0))
    inner = {name.id for one in ast.walk(node) if isinstance(one, ast.comprehension) for name in _names(one.target)}
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and part.id not in inner and not _name_known(source, part.id, site, at):
            return False
        own = isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id == "self"
        if own and not _own_known(source, last_name(part), site, at):
            return False
    return True


def _name_known(source: Source, name: str, site: ast.AST, line: int) -> bool:
    function = home(site)
    scope: Function | None = function
    while scope is not None:
        arguments = scope.args
        given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        if name in {one.arg for one in given if one is not None}:
            return True
        lines = [at for at, bound in bound_in(source, scope) if bound == name]
        if lines:
            return scope is not function or min(lines) < line
        scope = home(scope)
    lines = [at for at, bound in bound_in(source, None) if bound == name]
    if lines:
        return function is not None or min(lines) < line
    return hasattr(builtins, name)


def bound_in(source: Source, scope: Function | None) -> list[tuple[int, str]]:
    """The names that a scope binds, and where."""
    found: list[tuple[int, str]] = []
    for node in source.nodes(ast.Name, ast.Import, ast.ImportFrom, ast.ClassDef, *FUNCTIONS):
        if home(node) is not scope or (scope is None and _in_class(node)):
            continue
        if isinstance(node, ast.Name):
            found += [(node.lineno, node.id)] if isinstance(node.ctx, ast.Store) else []
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found += [(node.lineno, (one.asname or one.name).partition(".")[0]) for one in node.names]
        else:
            found.append((node.lineno, node.name))  # type: ignore[attr-defined]
    return found


def _in_class(node: ast.AST) -> bool:
    return owner(node) is not None


def _names(node: ast.AST) -> list[ast.Name]:
    return [one for one in ast.walk(node) if isinstance(one, ast.Name)]


def _own_known(source: Source, name: str, site: ast.AST, line: int) -> bool:
    """Whether the class around a site has an attribute by then."""
    home_class, function = owner(site), home(site)
    if home_class is None or function is None:
        return False
    if any(isinstance(one, FUNCTIONS) and one.name == name for one in home_class.body):
        return True
    for node in ast.walk(home_class):
        stored = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr == name
        if stored and ast.unparse(node) == f"self.{name}" and (home(node) is not function or node.lineno < line):  # type: ignore[attr-defined]
            return True
    return False


def spell(source: Source, dotted: str) -> str | None:
    """How a file calls something of PyTorch's: `optim.SGD` for `torch.optim.SGD`; None if it imports no part of it."""
    best: tuple[int, str] | None = None
    for node in source.nodes(ast.Import, ast.ImportFrom):
        assert isinstance(node, ast.Import | ast.ImportFrom)
        for one in node.names if home(node) is None else ():
            if isinstance(node, ast.ImportFrom):
                full, local = f"{node.module}.{one.name}", one.asname or one.name
            elif one.asname:
                full, local = one.name, one.asname
            else:
                full = local = one.name.partition(".")[0]
            if (dotted == full or dotted.startswith(full + ".")) and (best is None or len(full) > best[0]):
                best = len(full), local + dotted[len(full) :]
    return best[1] if best else None


def unused(source: Source, *names: str) -> str:
    """The first of some names that a file does not use yet."""
    taken = {last_name(node) for node in source.nodes(ast.Name, ast.Attribute)}
    taken |= {one.arg for one in source.nodes(ast.arg)} | {bound for _, bound in bound_in(source, None)}
    return next((name for name in names if name not in taken), names[0] + "_")


def same(source: Source, code: str, origin: ast.AST, site: ast.AST) -> bool:
    """Whether plain names mean at a site what they mean at their origin: none is local to another function."""
    scope = home(origin)
    if scope is None or scope is home(site):
        return True
    local = {bound for _, bound in bound_in(source, scope)}
    local |= {one.arg for one in ast.walk(scope.args) if isinstance(one, ast.arg)}
    nodes = list(ast.walk(ast.parse(code, mode="eval")))
    roots = {id(one.value) for one in nodes if isinstance(one, ast.Attribute)}  # args.epochs is the same everywhere
    return not any(isinstance(one, ast.Name) and one.id in local and id(one) not in roots for one in nodes)
