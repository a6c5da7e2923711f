"""Layers point one way: a module imports from its own layer and from those below."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "lowres"
LAYERS = (
    ("errors", "files"),
    ("models",),
    ("data",),
    ("recipes",),
    ("training",),
    ("observers",),
    ("evaluation",),
    ("runs",),
    ("speed",),
    ("ladder", "doctor"),
    ("app",),
)
HEIGHT = {name: height for height, names in enumerate(LAYERS) for name in names}


def layer(module: str) -> str:
    return module.split(".")[1]


def imports(path: Path) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module] if node.module != "lowres" else [f"lowres.{name.name}" for name in node.names]
        elif isinstance(node, ast.Import):
            found += [name.name for name in node.names]
    return [name for name in found if name.startswith("lowres.") and layer(name) in HEIGHT]


@pytest.mark.parametrize("path", sorted(ROOT.glob("*/**/*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_imports_from_a_layer_above(path):
    own = HEIGHT[path.relative_to(ROOT).parts[0]]
    assert [name for name in imports(path) if HEIGHT[layer(name)] > own] == []


def test_every_folder_is_a_layer():
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders <= set(HEIGHT)


def test_modules_stay_small():
    long = {path.name: n for path in ROOT.rglob("*.py") if (n := len(path.read_text().splitlines())) > 350}
    assert long == {}
