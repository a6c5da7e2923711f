"""Edits made in a text: each operation, several in one place, and what stays as it was."""

import ast
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lowres.doctor.patching.edits import Edit, Unpatchable
from lowres.doctor.patching.patch import apply, patched
from lowres.doctor.source import Source

HERE = Path(__file__).parents[1]
SCRIPTS = [path.read_text(encoding="utf-8") for path in sorted((HERE / "scripts").glob("*.py"))]


def call(source, name):
    return source.calls(name)[0]


def statement(source, name):
    return source.statement_at(call(source, name).lineno)


def test_arguments_given_by_position_are_replaced_there():
    source = Source("x.py", "opt = torch.optim.SGD(p, 0.1)  # so\n")
    edits = [source.with_keyword(call(source, "SGD"), "lr", "0.05")]
    edits.append(source.with_keyword(call(source, "SGD"), "momentum", "0.9"))
    assert apply(source.text, edits) == "opt = torch.optim.SGD(p, 0.05, momentum=0.9)  # so\n"


@pytest.mark.parametrize(
    ("code", "after"),
    [
        ("f(x, lr=1)", "f(x)"),
        ("f(lr=1)", "f()"),
        ("f(lr=1, y=2)", "f(y=2)"),
        ("f(\n    x,\n    lr=1,\n)", "f(\n    x,\n)"),
    ],
)
def test_a_keyword_is_taken_away(code, after):
    source = Source("x.py", code)
    assert apply(code, [source.keyword_removed(call(source, "f"), "lr")]) == after


def test_what_stars_give_cannot_be_seen_so_nothing_is_put_beside_it():
    source = Source("x.py", "opt = SGD(p, **options)\n")
    with pytest.raises(Unpatchable, match="lr may be among it"):
        apply(source.text, [source.with_keyword(call(source, "SGD"), "lr", "0.1")])
    fix = source.fix("a rate", source.with_keyword(call(source, "SGD"), "lr", "0.1"))
    assert not fix.edits


def test_edits_within_each_other_compose():
    source = Source("x.py", "loss = crit(net(x).softmax(1), y)\n")
    edits = [
        source.with_keyword(call(source, "crit"), "smooth", "0.1"),
        source.replaced(call(source, "crit"), "scale * crit(net(x).softmax(1), y)"),
        source.with_keyword(call(source, "net"), "deep", "True"),
        source.wrapped(call(source, "net").args[0], "{}.to(device)"),
        source.wrapped(call(source, "crit").args[1], "{} + 1"),
    ]
    for ordered in (edits, edits[::-1]):
        assert apply(source.text, ordered) == (
            "loss = scale * crit(net(x.to(device), deep=True).softmax(1), y + 1, smooth=0.1)\n"
        )


@pytest.mark.parametrize(
    ("code", "name", "template", "after"),
    [
        ("z = g(a + b)", "g", "{}.sum()", "z = g((a + b).sum())"),
        ("z = g(a) * 2", "", "{} + 1", "z = (g(a) + 1) * 2"),
        ("z = (g(a)) * 2", "", "{} + 1", "z = (g(a) + 1) * 2"),
        ("z = g((a, b))", "g", "h({})", "z = g(h((a, b)))"),
    ],
)
def test_parentheses_come_where_they_are_needed(code, name, template, after):
    source = Source("x.py", code)
    node = call(source, "g").args[0] if name else call(source, "g")
    assert apply(code, [source.wrapped(node, template)]) == after


LIST = """\
t = Compose([
    Resize(32),  # small
    ToTensor()  # größer
])
"""


def test_elements_get_lines_where_their_neighbours_have_them():
    source = Source("x.py", LIST)
    node = call(source, "ToTensor")
    edits = [source.element_before(node, "Crop(32, 4)", "Flip()"), source.element_after(node, "Normalize(1, 2)")]
    assert apply(LIST, edits) == (
        "t = Compose([\n    Resize(32),  # small\n    Crop(32, 4),\n    Flip(),\n    ToTensor(),  # größer\n"
        "    Normalize(1, 2)\n])\n"
    )
    source = Source("x.py", "t = [a(), b()]")
    edits = [source.element_after(call(source, name), f"{name}2") for name in "ab"]
    assert apply(source.text, edits) == "t = [a(), a2, b(), b2]"


BLOCKS = """\
# training
for x in data:
    if x: step(x)
    elif y: other(x)
    else:
        skip()
    a(); b()  # both
"""


@pytest.mark.parametrize(
    ("code", "gone", "after"),
    [
        ("x = [a(), b(), c()]\n", "ac", "x = [b()]\n"),
        ("x = [a(), b()]\n", "b", "x = [a()]\n"),
        ("x = (a(), b())\n", "b", "x = (a(),)\n"),
        (
            "x = [\n    # above\n    a(),  # a\n    # below\n    b(),  # b\n    c(),  # c\n]\n",
            "b",
            "x = [\n    # above\n    a(),  # a\n    # below\n    c(),  # c\n]\n",
        ),
        ("x = [\n    a(),  # a\n    b(),  # b\n]\n", "a", "x = [\n    b(),  # b\n]\n"),
        ("x = [\n    a(),  # a\n    b(),  # b\n]\n", "b", "x = [\n    a(),  # a\n]\n"),
        ("x = [a(),  # a\n     b()]\n", "b", "x = [a()  # a\n     ]\n"),
        ("x = [a(),\n     b()]\n", "b", "x = [a()]\n"),
    ],
)
def test_elements_go_with_the_comments_of_their_lines_alone(code, gone, after):
    source = Source("x.py", code)
    assert apply(code, [source.element_removed(call(source, name)) for name in gone]) == after


def test_what_is_done_to_other_elements_stays():
    source = Source("x.py", "x = [a(), b()]\n")
    edits = [source.element_removed(call(source, "a")), source.replaced(call(source, "b"), "c(1)")]
    assert apply(source.text, [*edits, source.element_after(call(source, "a"), "d()")]) == "x = [d(), c(1)]\n"


def test_statements_come_before_and_after():
    source = Source("x.py", BLOCKS)
    loop = next(source.nodes(ast.For))
    edits = [
        source.before(loop.lineno, "for i in range(3):\n    if i:\n        warm(i)"),
        source.after(loop.body[-1], "done()"),
        source.after(call(source, "a").parent, "between()"),
        source.after(call(source, "step").parent, "count()"),
        source.before(call(source, "other").lineno, "above()"),
    ]
    assert apply(BLOCKS, edits) == (
        "# training\nfor i in range(3):\n    if i:\n        warm(i)\nfor x in data:\n    above()\n    if x:\n"
        "        step(x)\n        count()\n    elif y: other(x)\n    else:\n        skip()\n    a()\n    between()\n"
        "    b()  # both\n    done()\n"
    )


def test_removed_statements_leave_a_body_that_runs():
    source = Source("x.py", BLOCKS)
    edits = [source.removed(call(source, name).parent) for name in ("step", "skip", "a")]
    text = apply(BLOCKS, edits)
    assert text == (
        "# training\nfor x in data:\n    if x:\n        pass\n    elif y: other(x)\n    else:\n        pass\n"
        "    b()  # both\n"
    )


def test_statements_are_rewritten_with_their_comments():
    source = Source("x.py", "if x:\n    # above\n    a()  # so\n    b()\n")
    text = apply(source.text, [source.replaced(call(source, "a").parent, "c = 1\nd(c)")])
    assert text == "if x:\n    # above\n    c = 1\n    d(c)  # so\n    b()\n"


IMPORTS = '"""Doc."""\nfrom __future__ import annotations\nimport torch\nfrom torch import nn\n\nstep()\nimport late\n'


@pytest.mark.parametrize(
    ("code", "after"),
    [
        ("import torch", IMPORTS),
        ("from torch import nn", IMPORTS),
        ("import torch.nn.functional as F", IMPORTS.replace("nn\n\n", "nn\nimport torch.nn.functional as F\n\n")),
        ("from torch import nn, optim", IMPORTS.replace("nn\n\n", "nn\nfrom torch import optim\n\n")),
    ],
)
def test_what_is_not_imported_yet_is_imported_above_its_use(code, after):
    source = Source("x.py", IMPORTS)
    edits = source.fix("x", source.imported(code), source.before(6, "go()")).edits
    assert apply(IMPORTS, edits) == after.replace("step()", "go()\nstep()")


def test_imports_of_two_fixes_come_once_and_first_where_there_is_none():
    source = Source("x.py", "#!/usr/bin/env python\na()\nimport os\nb()\n")
    fixes = [source.fix("x", source.imported("import re"), source.before(line, "re.x")) for line in (4, 2)]
    text = apply(source.text, [edit for fix in fixes for edit in fix.edits])
    assert text == "#!/usr/bin/env python\nimport re\nre.x\na()\nimport os\nre.x\nb()\n"


def test_equal_edits_are_made_once_and_marked_with_both_codes():
    source = Source("x.py", "a()\nb()\n")
    edit = source.before(2, "c()")
    assert patched(source.text, [(edit, "LR103"), (edit, "DA201")]) == "a()\nc()  # lowres DA201, LR103\nb()\n"


MARKED = '''\
a = f(1)  # type: ignore
b = f(
    x,
)
c = f("""d
""")
if f(x):
    pass
d = \\
    f(x)
g(x)
'''


def test_marks_stand_where_they_are_legal():
    source = Source("x.py", MARKED)
    edits = [(source.with_keyword(one, "k", "1"), "LR103") for one in source.calls("f")]
    edits.append((source.removed(statement(source, "g")), "TR533"))
    assert patched(MARKED, edits) == (
        "a = f(1, k=1)  # type: ignore  # lowres LR103\nb = f(  # lowres LR103\n    x,\n    k=1,\n)\n"
        '# lowres LR103\nc = f("""d\n""", k=1)\nif f(x, k=1):  # lowres LR103\n    pass\n'
        "# lowres LR103\nd = \\\n    f(x, k=1)\n# lowres TR533: removed g(x)\n"
    )


def test_what_cannot_be_edited_says_so():
    source = Source("x.py", "a = f(1)\n")
    with pytest.raises(Unpatchable, match="nothing to edit was found at line 7"):
        apply(source.text, [Edit("before", 7, code="x()")])
    with pytest.raises(Unpatchable, match="the new code cannot be put there"):
        apply(source.text, [source.before(1, "if x:")])
    fix = source.fix("do so", source.before(1, "if x:"))
    assert (fix.edits, fix.code) == ((), "if x:")


def test_tabs_and_missing_ends_stay():
    source = Source("x.py", "for x in y:\n\tf(x)")
    assert apply(source.text, [source.after(next(source.nodes(ast.For)).body[0], "if x:\n    g()")]) == (
        "for x in y:\n\tf(x)\n\tif x:\n\t\tg()"
    )


def an_edit(source, kind, node, outer, number):
    if kind == "before":
        return source.before(node.lineno, f"before_{number}()")
    if kind == "after":
        return source.after(node, f"for i in z:\n    after_{number}(i)")
    if kind == "keyword":
        return source.with_keyword(outer, f"keyword_{number}", "1 + 2")
    return source.wrapped(outer, f"wrap_{number}({{}}, 'ä')")


def starred(call):
    return any(isinstance(one, ast.Starred) for one in call.args) or any(one.arg is None for one in call.keywords)


@st.composite
def programs_with_edits(draw):
    source = Source("x.py", draw(st.sampled_from(SCRIPTS)))
    statements = [one for one in source.nodes(ast.stmt) if not isinstance(one, ast.ImportFrom)]
    calls = [one for one in source.nodes(ast.Call) if not starred(one)]  # beside stars no keyword is put
    kinds = draw(st.lists(st.sampled_from(("before", "after", "keyword", "wrap")), min_size=1, max_size=8))
    return source, [
        an_edit(source, kind, draw(st.sampled_from(statements)), draw(st.sampled_from(calls)), number)
        for number, kind in enumerate(kinds)
    ]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(programs_with_edits())
def test_many_edits_of_published_programs_parse_and_keep_every_comment(drawn):
    source, edits = drawn
    text = patched(source.text, [(edit, "LR103") for edit in edits])
    ast.parse(text)
    assert "lowres_" not in text.replace("lowres LR103", "")
    for line in source.lines:
        if line.strip().startswith("#"):
            assert line in text
    for edit in edits:
        assert (edit.name or edit.code.replace("{}", "").splitlines()[-1].strip().split("(")[0]) in text
