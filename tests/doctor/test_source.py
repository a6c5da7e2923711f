"""Source as it is read and edited."""

import ast
import importlib
import json
import sys

import pytest

from lowres.doctor.frames import Frames
from lowres.doctor.notebook import rebuilt
from lowres.doctor.patching.patch import apply
from lowres.doctor.source import Source, notebook, read
from lowres.errors import UserError

CODE = """\
import torch
opt = torch.optim.SGD(
    net.parameters(),
    lr=0.1,  # größer
)
for epoch in range(
    3
):
    step()
"""


@pytest.mark.parametrize(
    ("code", "after"),
    [
        ("f(x)", "f(x, lr=1)"),
        ("f()", "f(lr=1)"),
        ("f(x, lr=2)", "f(x, lr=1)"),
        ("f(x, )", "f(x, lr=1, )"),
        ('f("größe", y=3)', 'f("größe", y=3, lr=1)'),
        ("f(\n    x,\n    y=3,\n)", "f(\n    x,\n    y=3,\n    lr=1,\n)"),
        ("f(\n    x,\n    y=3  # so\n)", "f(\n    x,\n    y=3,  # so\n    lr=1\n)"),
    ],
)
def test_a_keyword_is_set(code, after):
    source = Source("x.py", code)
    edit = source.with_keyword(source.calls("f")[0], "lr", "1")
    assert apply(code, [edit]) == after
    ast.parse(apply(code, [edit]))


def test_edits_keep_their_places_beside_each_other():
    source = Source("x.py", CODE)
    loop = next(source.nodes(ast.For))
    edits = (source.before(loop.lineno, "warm()"), source.after(loop.body[-1], "sched.step()"))
    text = apply(CODE, source.fix("both", *edits).edits)
    assert "warm()\nfor epoch" in text
    assert text.endswith("    step()\n    sched.step()\n")


def test_calls_are_found_over_several_lines():
    source = Source("x.py", CODE)
    assert source.call_at(4, "SGD").lineno == 2
    assert source.call_at(6, "SGD") is None


@pytest.mark.parametrize(
    ("line", "silent"),
    [
        ("f()  # lowres: ignore[LR103]", True),
        ("f()  # lowres: ignore[LR101, LR103]", True),
        ("f()  # lowres: ignore[LR1]", False),
    ],
)
def test_comments_silence_on_their_line(line, silent):
    source = Source("x.py", f"{line}\ng()\n")
    assert source.silenced("LR103", 1) is silent
    assert not source.silenced("LR103", 2)
    assert Source("x.py", "# lowres: ignore[LR103]\ng()\n").silenced("LR103", 2)


def test_notebooks_lose_their_magics_and_keep_their_lines(tmp_path):
    cells = [
        {"cell_type": "code", "source": ["%matplotlib inline\n", "x = 1\n", "!pip install torch\n", "y = !ls\n", "x?"]},
        {"cell_type": "markdown", "source": "text"},
        {"cell_type": "code", "source": "%%bash\nls -l"},
        {"cell_type": "code", "source": "%%time\nif x:\n    %timeit x\n"},
    ]

    text = notebook(tmp_path / "a.ipynb", json.dumps({"cells": cells}))
    names = {}
    exec(compile(text, "a", "exec"), names)
    assert (names["x"], names["y"]) == (1, [])
    with pytest.raises(UserError, match="is no notebook"):
        notebook(tmp_path / "a.ipynb", "{}")


def test_a_byte_order_mark_is_no_fault(tmp_path):
    (tmp_path / "a.py").write_bytes(b"\xef\xbb\xbfx = 1\n")
    assert read(tmp_path / "a.py").tree.body


@pytest.mark.parametrize(
    ("loop", "rounds"),
    [
        ("for epoch in range(7):", 7),
        ("for epoch in range(start, start + epochs):", 5),
        ("for epoch in tqdm(range(1, epochs + 1)):", 5),
        ("for epoch in iter(names):", None),
        ("epoch = 0\nwhile epoch < epochs:\n    epoch = epochs", 5),
    ],
)
def test_loops_are_counted_while_they_run(tmp_path, loop, rounds):
    code = f"start, epochs, names = 2, 5, [1]\ntqdm = lambda it: it\n{loop}\n    seen = look()\n"
    path = str(tmp_path / "loop.py")
    frames = Frames(tmp_path, {path: Source(path, code)})
    names = {"look": frames.rounds}
    exec(compile(code, path, "exec"), names)
    assert names["seen"][0] == rounds


def test_lines_of_a_notebook_that_only_look_like_magics_stay(tmp_path):
    cells = [
        'acc = 3\ntext = (\n  "acc %.2f"\n  % acc\n)\nsame = (\n  acc\n  != 4\n)\n',
        '%matplotlib inline\ntext += (\n  " %.0f"\n  % acc\n)\n'
        '!pip install torch \\\n  torchvision\nnote = """\n%x\n"""\n!ls',
        "for x in range(2):\n    !echo a \\\n  b\n    acc += 1\n\f\nx?\n",
    ]
    value = {"cells": [{"cell_type": "code", "source": one, "outputs": [], "execution_count": 1} for one in cells]}
    whole = json.dumps(value)
    text = notebook(tmp_path / "a.ipynb", whole)
    names = {}
    exec(compile(text, "a", "exec"), names)
    assert (names["text"], names["same"], names["note"], names["acc"]) == ("acc 3.00 3", True, "\n%x\n", 5)
    edited = rebuilt(tmp_path / "a.ipynb", whole, text.replace("acc += 1", "acc += 2"))
    sources = [one["source"] for one in json.loads(edited)["cells"]]
    assert sources == [cells[0], cells[1], cells[2].replace("+= 1", "+= 2")]


def test_modules_of_the_user_s_are_listed(tmp_path, monkeypatch):
    (tmp_path / "my_networks.py").write_text("import json\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_networks", raising=False)
    importlib.import_module("my_networks")
    found = Frames(tmp_path / "elsewhere").imported()
    monkeypatch.delitem(sys.modules, "my_networks")
    assert str((tmp_path / "my_networks.py").resolve()) in found
    assert not any("site-packages" in one or one in (json.__file__, ast.__file__) for one in found)
