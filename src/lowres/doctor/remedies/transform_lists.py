"""Finds where the source lists the transforms of a data set, and edits that list."""

import ast

from lowres.doctor.patching.edits import Edit
from lowres.doctor.pipeline import RANDOM, Pipeline
from lowres.doctor.remedies.origins import argument, chain, dataset_call, name_in_reach
from lowres.doctor.setup import Setup
from lowres.doctor.source import Source, called, parent

TENSORS = ("ToTensor", "ToImage", "PILToTensor", "Normalize", "ConvertImageDtype", "ToDtype")
"""What images go through on the way from a picture to numbers; crops and flips stand before the first of them."""
ERASERS = ("RandomErasing", "Cutout", "CutOut")
"""What stands behind the normalisation, since it fills in the mean."""
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
    return code.replace("transforms.", prefix(source, near))


def prefix(source: Source, near: ast.Call | None = None) -> str:
    """How the file names torchvision's transforms: `transforms.`, `T.`, or by themselves."""
    for compose in [one for one in (near, *source.calls("Compose")) if one is not None]:
        if isinstance(compose.func, ast.Attribute):
            return f"{source.segment(compose.func.value)}."
        for one in elements(compose):
            if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute):
                return f"{source.segment(one.func.value)}."
        return ""
    return "transforms."


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
    imports = imported(source, new) if not prefix(source, compose) else []
    if last:
        behind = [i for i, one in enumerate(listed) if _name(one) in TENSORS]
        at = next((i for i, one in enumerate(listed) if _name(one) in ERASERS), len(listed))
        at = at if not behind or at > behind[-1] else len(listed)
    else:
        at = next((i for i, one in enumerate(listed) if _name(one) in TENSORS), 0)
    if at < len(listed):
        return [source.element_before(listed[at], *code), *imports]
    return [source.element_after(listed[-1], *code), *imports]


def taken_out(source: Source, gone: list[ast.Call]) -> list[Edit]:
    """A list without some of its elements."""
    around = parent(gone[0])
    if not isinstance(around, ast.List | ast.Tuple) or len(around.elts) <= len(gone):
        return []
    rest = ", ".join(source.segment(one) for one in around.elts if one not in gone)
    return [source.replaced(around, f"[{rest}]")]


def imported(source: Source, new: tuple[str, ...]) -> list[Edit]:
    """A line that imports what is new, where the file imports its transforms one by one."""
    names = [text.removeprefix("transforms.").partition("(")[0] for text in new if text.startswith("transforms.")]
    for node in source.nodes(ast.ImportFrom):
        if node.module and node.module.startswith("torchvision.transforms"):
            return [source.imported(f"from {node.module} import {name}") for name in names]
    return []


def augmenting_name(source: Source, call: ast.Call) -> str | None:
    """A name in reach that lists random transforms: what was meant for a data set that got another list."""
    for name, compose in name_in_reach(source, call, ("Compose",)):
        if any(_name(one).startswith(RANDOM) for one in elements(compose)):
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
