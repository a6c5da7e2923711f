"""Finds where the source lists the transforms of a data set, and edits that list."""

import ast
import re

from lowres.doctor.patching.edits import Edit
from lowres.doctor.pipeline import RANDOM, Pipeline
from lowres.doctor.remedies.origins import argument, chain, dataset_call, name_in_reach
from lowres.doctor.remedies.scopes import bound_in, spell
from lowres.doctor.setup import Setup
from lowres.doctor.source import Source, called, parent

TENSORS = ("ToTensor", "ToImage", "PILToTensor", "Normalize", "ConvertImageDtype", "ToDtype")
"""What images go through on the way from a picture to numbers; crops and flips stand before the first of them."""
ERASERS = ("RandomErasing", "Cutout", "CutOut")
"""What stands behind the normalisation, since it fills in the mean."""
SIZED = ("Resize", "CenterCrop", "RandomCrop", "RandomResizedCrop")
MODULE = re.compile(r"(?<![\w.])transforms\.")
"""What code for a file is written with, before it is spelled the file's way."""
Listed = tuple[Source, ast.Call]


def compose_of(setup: Setup, one: Pipeline) -> Listed | None:
    """The `Compose([...])` that a pipeline's data set was given; None where that cannot be told."""
    made = dataset_call(setup, one)
    if made is not None:
        source, call = made
        compose = resolved(source, argument(call, -1, "transform"))
        if compose is not None and _matches(compose, one.names):
            return source, compose
    source_ = setup.source
    if source_ is None:
        return None
    alike = [call for call in source_.calls("Compose") if elements(call) and _matches(call, one.names, exactly=True)]
    return (source_, alike[0]) if len(alike) == 1 else None


def resolved(source: Source, value: ast.expr | None) -> ast.Call | None:
    """The call of Compose that an expression stands for: itself, or what a name was last set to."""
    for expression in chain(source, value):
        if isinstance(expression, ast.Call):
            return expression if called(expression) == "Compose" else None
    return None


def _matches(compose: ast.Call, names: list[str], *, exactly: bool = False) -> bool:
    listed = [called(one) for one in elements(compose) if isinstance(one, ast.Call)]
    if exactly:
        return listed == names
    return not names or [one for one in listed if one in names] == [one for one in names if one in listed]


def elements(compose: ast.Call) -> list[ast.expr]:
    """The transforms that it lists."""
    first = compose.args[0] if compose.args else None
    return first.elts if isinstance(first, ast.List | ast.Tuple) else []


def element_of(source: Source, compose: ast.Call, *names: str) -> ast.Call | None:
    """The first of some transforms in a list, also where a name stands for it."""
    for one in elements(compose):
        made = next((x for x in chain(source, one) if isinstance(x, ast.Call)), None)
        if made is not None and called(made) in names:
            return made
    return None


def spelled(source: Source, code: str, near: ast.Call | None = None) -> str:
    """Code that says `transforms.X(...)`, with the file's own name for torchvision's transforms."""
    return MODULE.sub(lambda _: prefix(source, near), code)


def prefix(source: Source, near: ast.Call | None = None) -> str:
    """How the file names torchvision's transforms: `transforms.`, `T.`, or by themselves."""
    single = _single_imports(source)
    for compose in [one for one in (near, *source.calls("Compose")) if one is not None]:
        if isinstance(compose.func, ast.Attribute):
            return f"{source.segment(compose.func.value)}."
        for one in elements(compose):
            if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute):
                return f"{source.segment(one.func.value)}."
        if single:
            return ""
    named = spell(source, "torchvision.transforms.v2")
    if named is None or named.endswith(".v2"):  # it is imported by itself or not at all
        named = spell(source, "torchvision.transforms")
    return f"{named}." if named else "" if single else "transforms."


def inserted(source: Source, compose: ast.Call, new: tuple[str, ...], *, last: bool = False) -> list[Edit]:
    """Puts transforms into a composition: before `ToTensor`, behind any `Resize`; or, `last`, behind it.

    Args:
        source: The file.
        compose: The call that lists transforms.
        new: Code that says `transforms.X(...)`; put in the file's own words.
        last: Behind what makes numbers of an image, before what erases parts of it.

    Returns:
        Edits; none where it lists nothing.
    """
    listed = elements(compose)
    if not listed:
        return []
    code = [spelled(source, text, compose) for text in new]
    imports = imported(source, new, compose)
    if last:
        behind = [i for i, one in enumerate(listed) if _name(one) in TENSORS]
        at = next((i for i, one in enumerate(listed) if _name(one) in ERASERS), len(listed))
        at = at if not behind or at > behind[-1] else len(listed)
    else:
        at = in_front(compose)
    if at < len(listed):
        return [source.element_before(listed[at], *code), *imports]
    return [source.element_after(listed[-1], *code), *imports]


def taken_out(source: Source, gone: list[ast.Call]) -> list[Edit]:
    """A list without some of its elements."""
    around = parent(gone[0])
    if not isinstance(around, ast.List | ast.Tuple) or len(around.elts) <= len(gone):
        return []
    return [source.element_removed(one) for one in gone]


def imported(source: Source, new: tuple[str, ...], near: ast.Call | None = None) -> list[Edit]:
    """Imports of what code that says `transforms.X(...)` needs, and the file lacks, once it is spelled its way."""
    before, single = prefix(source, near), _single_imports(source)
    if not before and single:
        names = dict.fromkeys(name for text in new for name in re.findall(f"{MODULE.pattern}(\\w+)", text))
        return [source.imported(f"from {single[0]} import {name}") for name in names]
    lacking = before == "transforms." and not any(name == "transforms" for _, name in bound_in(source, None))
    return [source.imported("from torchvision import transforms")] if lacking else []


def _single_imports(source: Source) -> list[str]:
    """The modules of torchvision's that the file imports transforms from one by one."""
    found = [node.module for node in source.nodes(ast.ImportFrom) if node.module and not node.level]
    return [one for one in found if one in ("torchvision.transforms", "torchvision.transforms.v2")]


def in_front(compose: ast.Call) -> int:
    """Before which of its transforms those of pictures are put: the first that makes numbers of an image."""
    return next((i for i, one in enumerate(elements(compose)) if _name(one) in TENSORS), 0)


def augmenting_name(source: Source, call: ast.Call, now: list[str]) -> str | None:
    """A name in reach that lists random transforms: what was meant for a data set that got another list.

    Whatever that other list does `now`, but for sizes, the one that was meant does as well: grey images stay grey.
    """
    for name, compose in name_in_reach(source, call, ("Compose",)):
        listed = [_name(one) for one in elements(compose)]
        if any(one.startswith(RANDOM) for one in listed) and set(now) <= {*listed, *SIZED}:
            return name
    return None


def plain_name(source: Source, call: ast.Call) -> str | None:
    """A name in reach that lists transforms, none of them random: what evaluation is meant to use."""
    for name, compose in name_in_reach(source, call, ("Compose",)):
        listed = [_name(one) for one in elements(compose)]
        if listed and not any(one.startswith(RANDOM) for one in listed):
            return name
    return None


def _name(node: ast.AST) -> str:
    return called(node) if isinstance(node, ast.Call) else ""
