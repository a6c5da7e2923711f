"""Fixes of several findings in one file: what goes together, what does not, and what is said of it."""

import dataclasses
import json
import shutil
import subprocess

import pytest

from lowres.doctor.findings import Finding, Fix, Place
from lowres.doctor.patching.mend import mend
from lowres.doctor.patching.mended_file import mended_path, write_mended
from lowres.doctor.source import Source, read
from lowres.errors import UserError

CODE = """\
import torch

opt = torch.optim.SGD(net.parameters(), lr=0.1)  # the rate
for x, y in data:
    loss = crit(net(x).softmax(1), y)
"""


def finding(code, fix, cost=1.0, grade="warning"):
    return Finding(code, f"finding {code}", grade, cost, {}, Place("train.py", 1), fix, "", "C01")


def outcomes(mended):
    return {one.code: one.why for one in mended.outcomes}


@pytest.fixture
def source():
    return Source("train.py", CODE)


def calls(source, *names):
    return [source.calls(name)[0] for name in names]


def test_fixes_of_one_call_and_of_one_line_go_together(source):
    sgd, crit, softmax = calls(source, "SGD", "crit", "softmax")
    findings = [
        finding("LR101", source.fix("a", source.with_keyword(sgd, "lr", "0.05")), 5),
        finding("TR502", source.fix("b", source.with_keyword(sgd, "momentum", "0.9")), 4),
        finding("LO301", source.fix("c", source.replaced(softmax, "net(x)")), 3),
        finding("LO304", source.fix("d", source.with_keyword(crit, "label_smoothing", "0.1")), 2),
    ]
    mended = mend(source, findings)
    assert set(outcomes(mended).values()) == {""}
    assert (
        "opt = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)  # the rate  # lowres LR101, TR502\n"
        in mended.text
    )
    assert "    loss = crit(net(x), y, label_smoothing=0.1)  # lowres LO301, LO304\n" in mended.text


def cases(source):
    sgd, crit, softmax, net = calls(source, "SGD", "crit", "softmax", "net")
    made = source.statement_at(3)
    loss = source.statement_at(5)
    return {
        "one argument": (source.with_keyword(sgd, "lr", "1"), source.with_keyword(sgd, "lr", "2")),
        "a new argument": (source.with_keyword(sgd, "m", "1"), source.with_keyword(sgd, "m", "2")),
        "an argument and its value": (
            source.with_keyword(sgd, "lr", "1"),
            source.replaced(sgd.keywords[0].value, "2"),
        ),
        "an argument that goes": (source.keyword_removed(sgd, "lr"), source.with_keyword(sgd, "lr", "2")),
        "one expression": (source.replaced(softmax, "a"), source.replaced(softmax, "b")),
        "within a replaced one": (source.replaced(crit, "a"), source.with_keyword(net, "k", "1")),
        "within a removed one": (source.removed(loss), source.with_keyword(net, "k", "1")),
        "one name": (source.after(made, "s = A()"), source.after(made, "s = B()")),
    }


@pytest.mark.parametrize("name", cases(Source("train.py", CODE)))
@pytest.mark.parametrize("turned", [False, True])
def test_of_two_that_clash_the_costlier_is_applied(source, name, turned):
    a, b = cases(source)[name][:: -1 if turned else 1]
    mended = mend(source, [finding("AA101", source.fix("a", a), 1), finding("BB202", source.fix("b", b), 2)])
    assert outcomes(mended)["BB202"] == ""
    assert "BB202 changes the same code on line" in outcomes(mended)["AA101"]
    lost = next(one for one in mended.outcomes if not one.applied)
    assert lost.by_hand
    assert "AA101" not in mended.text


def test_what_is_beside_replaced_code_stays(source):
    loss = source.statement_at(5)
    softmax = source.calls("softmax")[0]
    edits = [source.replaced(loss, "loss = 0"), source.before(5, "a()"), source.wrapped(softmax, "{} * 2")]
    mended = mend(source, [finding(f"AA10{i}", source.fix("x", one), 9 - i) for i, one in enumerate(edits)])
    assert outcomes(mended) == {"AA100": "", "AA101": "", "AA102": "AA100 changes the same code on line 5"}
    assert mended.text.endswith("    a()  # lowres AA101\n    loss = 0  # lowres AA100\n")


def test_fixes_that_are_not_for_this_file_or_not_code_are_handed_back(source):
    elsewhere = Source("models.py", "f()\n")
    fix = elsewhere.fix("there", elsewhere.with_keyword(elsewhere.calls("f")[0], "a", "1"))
    mended = mend(
        source,
        [finding("AA101", fix), finding("AA102", Fix("by hand", code="do so")), finding("AA103", None)],
    )
    assert outcomes(mended) == {
        "AA101": "it belongs to models.py",
        "AA102": "to be done by hand",
        "AA103": "no change of code mends it",
    }
    assert [one.by_hand for one in mended.outcomes] == ["-f()\n+f(a=1)", "do so", ""]
    assert (mended.text, mended.applied) == (CODE, [])


def test_what_would_be_no_program_is_left_out(source):
    sgd = source.calls("SGD")[0]
    bad = source.fix("x", source.with_keyword(sgd, "a", "1"), source.before(3, "return"))
    good = source.fix("y", source.with_keyword(sgd, "lr", "1"))
    mended = mend(source, [finding("AA101", bad, 2), finding("AA102", good, 1)])
    assert "the result would be no Python: 'return' outside function" in outcomes(mended)["AA101"]
    assert "lr=1)  # the rate  # lowres AA102" in mended.text
    assert "a=1" not in mended.text


def test_codes_choose_and_notes_wait_to_be_chosen(source):
    sgd = source.calls("SGD")[0]
    findings = [
        finding("AA101", source.fix("x", source.with_keyword(sgd, "a", "1"))),
        finding("AA102", source.fix("y", source.with_keyword(sgd, "b", "2")), grade="note"),
    ]
    assert "a=1)" in mend(source, findings).text
    assert "lr=0.1, b=2)" in mend(source, findings, ["aa102"]).text
    with pytest.raises(UserError, match="--fix AA103: there is no such finding here; found are AA101, AA102"):
        mend(source, findings, ["AA103"])


# Files.


def momentum(path):
    source = read(path)
    return [finding("TR502", source.fix("x", source.with_keyword(source.calls("SGD")[0], "momentum", "0.9")))]


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_files_keep_their_encoding_and_line_ends(tmp_path, start, end):
    script = tmp_path / "train.py"
    script.write_bytes(start + CODE.replace("\n", end).encode())
    before = script.read_bytes()
    path = mended_path(script)
    write_mended(script, momentum(script), path)
    text = start + CODE.replace("lr=0.1)  # the rate", "lr=0.1, momentum=0.9)  # the rate  # lowres TR502").encode()
    assert path.read_bytes() == text.replace(b"\n", end.encode())
    assert script.read_bytes() == before
    diff = (tmp_path / "train.fixed.diff").read_bytes()
    assert diff.startswith(b"--- train.py\t\n+++ train.fixed.py\t\n@@ -1,5 +1,5 @@\n")


@pytest.mark.skipif(shutil.which("patch") is None, reason="needs the command patch")
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", ["", "x = 1"])
def test_the_diff_is_taken_by_patch(tmp_path, end, last):
    script = tmp_path / "my train.py"
    script.write_bytes((CODE + "# a form feed \f within\n" + last).replace("\n", end).encode())
    write_mended(script, momentum(script), mended_path(script))
    with (tmp_path / "my train.fixed.diff").open("rb") as diff:
        subprocess.run(["patch", "--quiet"], cwd=tmp_path, stdin=diff, check=True)
    assert script.read_bytes() == (tmp_path / "my train.fixed.py").read_bytes()


def test_what_is_not_ours_is_not_overwritten(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(CODE)
    (tmp_path / "train.fixed.py").write_text("mine = 1\n")
    with pytest.raises(UserError, match=r"train\.fixed\.py is there already and was not written by lowres"):
        mended_path(script)
    with pytest.raises(UserError, match="is the script itself, which is never overwritten"):
        mended_path(script, script)
    other = mended_path(script, tmp_path / "other.py")
    write_mended(script, momentum(script), other)
    assert mended_path(script, other) == other  # it has our marks
    (tmp_path / "folder").mkdir()
    assert mended_path(script, tmp_path / "folder") == tmp_path / "folder" / "train.fixed.py"


def test_what_was_there_before_is_kept(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(CODE)
    path = mended_path(script)
    assert write_mended(script, momentum(script), path).kept is None
    assert write_mended(script, momentum(script), path).kept is None  # the same again
    path.write_text(path.read_text() + "mine = 1\n")
    changed = path.read_bytes()
    kept = write_mended(script, momentum(script), path).kept
    assert kept == tmp_path / "train.fixed.py.bak"
    assert kept.read_bytes() == changed
    assert b"mine" not in path.read_bytes()


def test_half_of_a_pair_of_surrogates_stays_one(tmp_path):
    script = tmp_path / "train.ipynb"
    said = {"cell_type": "markdown", "source": "half of \ud83d"}
    script.write_text(json.dumps({"cells": [cell("opt = SGD(p)\n"), said]}))
    write_mended(script, momentum(script), mended_path(script))
    after = json.loads(mended_path(script).read_text(encoding="utf-8"))
    assert [one["source"] for one in after["cells"]] == [
        "opt = SGD(p, momentum=0.9)  # lowres TR502\n",
        "half of \ud83d",
    ]


def test_what_a_proof_withdrew_is_said_to_be(source):
    found = dataclasses.replace(finding("TR502", None), grade="note", unfixed="withdrawn by the proof")
    (outcome,) = mend(source, [found], ["TR502"]).outcomes
    assert outcome.why == "withdrawn by the proof"


def test_neither_is_a_diff_or_a_recipe(tmp_path):
    script, diff, recipe = tmp_path / "train.py", tmp_path / "new.diff", tmp_path / "mine.json"
    script.write_text(CODE)
    diff.write_text("- mine\n")
    recipe.write_text('{"model_options": {}}')
    for out, suffix, word in (
        ("new.py", "", "new.diff is there"),
        ("x.diff", "", "ends in .py"),
        ("mine.json", "r", "is there"),
    ):
        with pytest.raises(UserError, match=word):
            mended_path(script, tmp_path / out, suffix and ".recipe.json")
    (tmp_path / "train.recipe.json").write_text('{"model_options": {}}')
    assert mended_path(script, None, ".recipe.json") == tmp_path / "train.recipe.json"


def test_a_script_that_was_changed_meanwhile_is_not_mended(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(CODE)
    found, examined = momentum(script), read(script).text
    script.write_text("import os\n" + CODE)
    with pytest.raises(UserError, match="has changed since it was examined"):
        write_mended(script, found, mended_path(script), examined=examined)
    assert [path.name for path in tmp_path.iterdir()] == ["train.py"]


def test_folders_that_cannot_be_written_to(tmp_path, monkeypatch):
    script = tmp_path / "train.py"
    script.write_text(CODE)
    monkeypatch.setattr("os.access", lambda *words: False)
    with pytest.raises(UserError, match=r"cannot be written \(the folder is read-only\): name a file elsewhere"):
        mended_path(script)
    with pytest.raises(UserError, match="cannot be written"):
        write_mended(script, momentum(script), script / "in a file" / "train.fixed.py")


def test_nothing_is_written_where_nothing_was_fixed(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(CODE)
    write_mended(script, [finding("AA102", Fix("by hand", code="do so"))], mended_path(script))
    assert [path.name for path in tmp_path.iterdir()] == ["train.py"]


# Notebooks.


def cell(source, number=1):
    return {"cell_type": "code", "source": source, "outputs": [{"text": "old"}], "execution_count": number}


def test_notebooks_keep_their_magics_and_untouched_cells(tmp_path):
    cells = [
        cell("%matplotlib inline\n!pip install torch\nimport torch"),
        {"cell_type": "markdown", "source": "# Train"},
        cell("%%bash\nls"),
        cell(["%%time\n", "opt = SGD(p)  # größer\n", "if x:\n", "    %timeit x\n"]),
        cell("# %% cell 3\nstep()"),
    ]
    script = tmp_path / "train.ipynb"
    script.write_text(json.dumps({"cells": cells, "nbformat": 4, "metadata": {}}))
    source = read(script)
    sgd = source.calls("SGD")[0]
    fix = source.fix(
        "x",
        source.imported("import torch.nn.functional as F"),
        source.with_keyword(sgd, "momentum", "0.9"),
        source.after(source.statement_at(source.calls("step")[0].lineno), "done()"),
    )
    path = mended_path(script)
    assert path.name == "train.fixed.ipynb"
    write_mended(script, [finding("TR502", fix)], path)
    after = json.loads(path.read_text(encoding="utf-8"))
    assert after["nbformat"] == 4
    first, second, third, fourth, fifth = after["cells"]
    mark = "  # lowres TR502"
    magics = "%matplotlib inline\n!pip install torch\n"
    assert first["source"] == f"{magics}import torch\nimport torch.nn.functional as F{mark}"
    assert (second, third) == (cells[1], cells[2])
    changed = f"opt = SGD(p, momentum=0.9)  # größer{mark}\n"
    assert fourth["source"] == ["%%time\n", changed, "if x:\n", "    %timeit x\n"]
    assert fifth["source"] == f"# %% cell 3\nstep()\ndone(){mark}"
    assert (first["outputs"], first["execution_count"]) == ([], None)
    mended_path(script)  # may be overwritten


def test_notebooks_that_cannot_be_taken_apart_are_refused(tmp_path):
    script = tmp_path / "train.ipynb"
    script.write_text(json.dumps({"cells": [cell("a()\n# %% cell 2\nSGD(p)"), cell("b()")]}))
    with pytest.raises(UserError, match="cannot be patched"):
        write_mended(script, momentum(script), mended_path(script))
