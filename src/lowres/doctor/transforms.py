"""Finds where the source lists the transforms of a data set, and edits that list."""

import ast

from lowres.doctor.findings import Edit, Fix, Place
from lowres.doctor.pipeline import Pipeline
from lowres.doctor.setup import Setup
from lowres.doctor.source import Source, called, last_name

DATASETS = ("CIFAR10", "CIFAR100", "MNIST", "FashionMNIST", "SVHN", "STL10", "ImageFolder")


def compose_of(setup: Setup, one: Pipeline) -> tuple[Source, ast.Call] | None:
    """The `Compose([...])` that a pipeline's data set was given; None where that cannot be told."""
    source = setup.source
    if source is None:
        return None
    kind = type(one.base).__name__
    trains = None if one.official_test is None else not one.official_test
    candidates = [call for call in source.calls(kind) if _of_split(call, trains)]
    for call in candidates:
        value = next((keyword.value for keyword in call.keywords if keyword.arg == "transform"), None)
        compose = _resolve(source, value)
        if compose is not None and _matches(compose, one.names):
            return source, compose
    return None


def _of_split(call: ast.Call, train: bool | None) -> bool:
    given = next((k.value for k in call.keywords if k.arg == "train"), call.args[1] if len(call.args) > 1 else None)
    if train is None or not isinstance(given, ast.Constant):
        return True
    return bool(given.value) == train


def _resolve(source: Source, value: ast.AST | None) -> ast.Call | None:
    """The call of Compose that an expression stands for: itself, or what a name was last set to."""
    if isinstance(value, ast.Call):
        return value if called(value) == "Compose" else None
    name = last_name(value) if value is not None else ""
    for node in source.nodes(ast.Assign):
        composes = isinstance(node.value, ast.Call) and called(node.value) == "Compose"
        if name and composes and any(last_name(target) == name for target in node.targets):
            return node.value  # type: ignore[return-value]
    return None


def _matches(compose: ast.Call, names: list[str]) -> bool:
    listed = [called(one) for one in _elements(compose) if isinstance(one, ast.Call)]
    return not names or [one for one in listed if one in names] == [one for one in names if one in listed]


def _elements(compose: ast.Call) -> list[ast.expr]:
    first = compose.args[0] if compose.args else None
    return first.elts if isinstance(first, ast.List | ast.Tuple) else []


def insert_into(
    source: Source,
    compose: ast.Call,
    new: tuple[str, ...],
    title: str,
    setup: Setup,
    one: Pipeline,
    *,
    last: bool = False,
) -> tuple[Place, Fix | None]:
    """Puts transforms into a composition: before `ToTensor`, behind any `Resize`; or, `last`, at its end."""
    place = Place(source.path, compose.lineno)
    elements = _elements(compose)
    if not elements:
        return place, None
    prefix = _prefix(source, elements)
    code = [text.replace("transforms.", prefix) for text in new]
    imports = _imports(source, new) if not prefix else []
    at = len(elements) if last else next((i for i, e in enumerate(elements) if _name(e) in BEFORE), 0)
    if at < len(elements):
        return place, source.fix(title, source.element_before(elements[at], *code), *imports)
    return place, source.fix(title, source.element_after(elements[-1], *code), *imports)


BEFORE = ("ToTensor", "ToImage", "PILToTensor", "Normalize", "ConvertImageDtype", "ToDtype")


def _imports(source: Source, new: tuple[str, ...]) -> list[Edit]:
    """A line that imports what is new, where the file imports its transforms one by one."""
    names = [text.removeprefix("transforms.").partition("(")[0] for text in new]
    for node in source.nodes(ast.ImportFrom):
        if node.module and node.module.startswith("torchvision.transforms"):
            return [source.imported(f"from {node.module} import {', '.join(names)}")]
    return []


def _name(node: ast.AST) -> str:
    return called(node) if isinstance(node, ast.Call) else ""


def _prefix(source: Source, elements: list[ast.expr]) -> str:
    """How the file names torchvision's transforms: `transforms.`, `T.`, or by themselves."""
    for one in elements:
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute):
            return f"{source.segment(one.func.value)}."
    return "torchvision.transforms." if "import torchvision\n" in source.text else ""
