import ast
import collections
import functools
import itertools
import json

import pytest
from bases import BASES, clean
from operators import FAULTS, TWINS
from programs import APART, all_programs, render, write
from source import STYLES, NoMatch, python_of

# Classes of the catalogue that are reports, need another machine, or are only noted.
NOT_FAULTS = {"C32", "C35", "C36"}


@pytest.fixture(scope="module")
def programs():
    return all_programs()


def parses(text):
    return ast.unparse(ast.parse(text))


@functools.cache
def sound(base, style):
    source = clean(base, style)
    return source, parses(source.text)


@pytest.mark.parametrize(("base", "style"), list(itertools.product(BASES, STYLES)))
def test_clean_programs_compile_and_say_what_they_use(base, style):
    text = clean(base, style).text
    compile(text, f"{base}-{style}", "exec")
    assert "$" not in text
    assert "{" not in "".join(line for line in text.splitlines() if "SGD" in line or "AdamW" in line)


@pytest.mark.parametrize("operator", [*FAULTS.values(), *TWINS.values()], ids=lambda operator: operator.name)
def test_operators_change_every_program_that_they_name(operator):
    for base, style in itertools.product(operator.bases, operator.styles):
        before, code = sound(base, style)
        assert parses(operator.apply(before).text) != code


def test_operators_say_what_they_do():
    for operator in (*FAULTS.values(), *TWINS.values()):
        assert operator.what.strip().endswith(".")
    for fault in FAULTS.values():
        assert fault.tier in (1, 2, 3)
        assert fault.cost > 0
        assert fault.kind not in NOT_FAULTS


def test_an_edit_that_matches_nothing_is_refused():
    source = clean("vgg", "plain")
    for edit in (
        lambda: source.drop("no such line"),
        lambda: source.swap("model", "net"),  # stands there more often than once
        lambda: source.set("momentum", 0).undeclare("momentum").set("momentum", 1),
    ):
        with pytest.raises(NoMatch):
            edit()


def test_the_bench_is_as_large_as_it_has_to_be(programs):
    groups = collections.Counter(program.group for program in programs)
    assert len(BASES) >= 6
    assert groups["clean"] == len(BASES) * 3 >= 18
    assert len({f.name for p in programs for f in p.faults} & set(FAULTS)) == len(FAULTS) >= 45
    assert groups["several"] >= 20
    assert groups["alike"] >= 25
    assert groups["published"] == 1
    assert len(programs) >= 100
    assert len({program.name for program in programs}) == len(programs)
    assert {program.source.style.name for program in programs if program.group == "single"} == set(STYLES)


def test_all_classes_of_the_catalogue_are_there():
    catalogue = {f"C{number:02}" for number in range(1, 37)} - NOT_FAULTS
    assert {fault.kind for fault in FAULTS.values()} == catalogue


def test_programs_with_several_faults_have_those_that_go_together(programs):
    for program in programs:
        if program.group != "several":
            continue
        assert 2 <= len(program.faults) <= 5
        assert [f.cost for f in program.faults] == sorted((f.cost for f in program.faults), reverse=True)
        for one, other in itertools.combinations(program.faults, 2):
            assert one.touches != other.touches
            assert frozenset({one.touches, other.touches}) not in APART


def test_nothing_in_a_program_gives_its_fault_away(programs):
    for program in programs:
        text = program.source.text.lower()
        assert not any(f.name in text or f.name.replace("-", "_") in text for f in program.faults)


def test_programs_and_manifest_are_written_alike_each_time(programs, tmp_path):
    chosen = programs[::9]
    manifest = write(tmp_path / "a", chosen)
    assert write(tmp_path / "b", [p for p in all_programs() if p in chosen]).read_bytes() == manifest.read_bytes()
    entries = json.loads(manifest.read_text())
    assert [entry["name"] for entry in entries] == [program.name for program in chosen]
    for entry in entries:
        path = tmp_path / "a" / entry["file"]
        parses(python_of(path))
        assert path.read_bytes() == (tmp_path / "b" / entry["file"]).read_bytes()


def test_a_notebook_has_the_cells_of_its_script():
    source = clean("vit", "notebook")
    cells = json.loads(render(source))["cells"]
    assert {cell["cell_type"] for cell in cells} == {"markdown", "code"}
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    assert parses(code) == parses(source.text)
