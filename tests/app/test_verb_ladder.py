import json

import pytest

from lowres.ladder import CellsFailed, Unkept
from lowres.ladder.cells import cells_of
from lowres.ladder.crew import Failed
from lowres.ladder.table import make_table

MINI = {
    "name": "mini",
    "base": {"model": "resnet20", "data": "digits", "image_size": 8, "epochs": 1, "precision": "fp32"},
    "rungs": [{"name": "plain"}, {"name": "smooth", "changes": {"label_smoothing": 0.1}, "published": 99.0}],
}


@pytest.fixture
def mini(tmp_path):
    (tmp_path / "mini.json").write_text(json.dumps(MINI))
    return "mini.json"


def test_without_a_name_the_ladders_are_listed(lowres):
    shown = lowres("ladder")
    assert (shown.code, shown.err) == (0, "")
    listed = lowres("ladder", "--json").json
    assert [one["name"] for one in listed][:2] == ["seresnet20", "seresnet-depth"]
    for one in listed:
        assert one["name"] in shown.out
        assert one["summary"] in shown.out


def test_a_ladder_is_climbed_once_and_shown_again(lowres, mini, tmp_path):
    done = lowres("ladder", mini, "--device", "cpu", "--seeds", "1")
    assert done.code == 0
    assert [line.partition(":")[0] for line in done.err.splitlines()] == [
        "[1/2] plain, seed 0",
        "[2/2] smooth, seed 0",
    ]
    assert "last-epoch test accuracy in percent on digits, 1 epoch a run, seed 0" in done.out
    assert "no verdict below 3 seeds" in done.out
    assert done.out.splitlines()[-1] == "ladders/mini-digits-1-epochs"
    again = lowres("ladder", mini, "--device", "cpu", "--seeds", "1", "--json")
    assert (again.code, again.err) == (0, "")
    assert [row["rung"] for row in again.json["rows"]] == ["plain", "smooth"]
    assert again.json == json.loads((tmp_path / "ladders/mini-digits-1-epochs/results.json").read_text())
    merged = lowres("ladder", mini, "--seeds", "1", "--out", "there", "--merge", "ladders", "--json")
    assert merged.json == again.json
    rows = lowres("ladder", mini, "--seeds", "2", "--plan", "--json").json
    assert [(row["rung"], row["seed"], row["run"] is not None) for row in rows] == [
        ("plain", 0, True),
        ("smooth", 0, True),
        ("plain", 1, False),
        ("smooth", 1, False),
    ]
    assert "2 of 4 cells are missing" in lowres("ladder", mini, "--seeds", "2", "--plan").out


def test_a_plan_of_a_built_in_ladder_needs_no_data(lowres):
    rows = lowres("ladder", "seresnet20", "--epochs", "8", "--seeds", "5", "--plan", "--json").json
    assert len(rows) == 40
    assert {row["epochs"] for row in rows} == {8}
    assert len({row["cell"] for row in rows}) == 40


def test_an_interrupted_ladder_says_how_it_goes_on(lowres, mini, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("lowres.app.ladder.climb", interrupt)
    done = lowres("ladder", mini)
    assert done.code == 130
    assert done.err == "lowres: interrupted: the same command goes on; every finished epoch is kept\n"


def test_what_a_ladder_is_asked_reaches_it(lowres, mini, monkeypatch):
    asked = {}

    def climb(ladder, **options):
        asked.update(options)
        raise KeyboardInterrupt

    monkeypatch.setattr("lowres.app.ladder.climb", climb)
    lowres("ladder", mini, "--workers", "auto", "--until-decided", "--budget", "1h30m", "--margin", "0.3")
    assert {name: asked[name] for name in ("workers", "until_decided", "budget", "margin", "on")} == {
        "workers": "auto",
        "until_decided": True,
        "budget": "1h30m",
        "margin": 0.3,
        "on": "local",
    }
    lowres("ladder", mini, "--on", "ray", "--address", "head:6379", "--cpus", "2", "--gpus", "0.25", "--workers", "4")
    assert {name: asked[name] for name in ("workers", "address", "cpus", "gpus", "on")} == {
        "workers": 4,
        "address": "head:6379",
        "cpus": 2,
        "gpus": 0.25,
        "on": "ray",
    }


def test_cells_that_fail_are_told_after_the_table(lowres, mini, monkeypatch):
    def climb(ladder, seeds, margin, **options):
        cells = cells_of(ladder, range(seeds))
        table = make_table(ladder, {"plain": {0: 90.0}}, range(seeds), margin)
        raise CellsFailed(table, [Failed(cells[1], "training diverged", 1), Failed(cells[2], "killed [9]", 1)])

    monkeypatch.setattr("lowres.app.ladder.climb", climb)
    done = lowres("ladder", mini, "--seeds", "2")
    assert done.code == 1
    assert "3 of 4 cells are missing" in done.out
    assert done.err.splitlines() == [
        "lowres: rung 'smooth', seed 0 failed: training diverged",
        "lowres: rung 'plain', seed 1 failed: killed [9]",
    ]


@pytest.mark.parametrize("failures", [0, 1])
def test_a_table_that_cannot_be_written_is_shown(lowres, mini, monkeypatch, failures):
    def climb(ladder, seeds, margin, **options):
        table = make_table(ladder, {"plain": {0: 90.0}}, range(seeds), margin)
        unkept = Unkept(table, PermissionError(13, "Permission denied", "ladders/mini/table.csv"))
        if not failures:
            raise unkept
        raise CellsFailed(table, [Failed(cells_of(ladder, [0])[1], "it diverged", 1)]) from unkept

    monkeypatch.setattr("lowres.app.ladder.climb", climb)
    done = lowres("ladder", mini, "--seeds", "1")
    assert done.code == (1 if failures else 2)
    assert "1 of 2 cells are missing" in done.out
    assert done.err.splitlines()[failures:] == [
        "lowres: cannot write ladders/mini/table.csv: Permission denied; every cell is kept, and the same command "
        "writes the table"
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("seresnet21",), "unknown ladder 'seresnet21': did you mean 'seresnet20'?"),
        (("none.json",), "no ladder file none.json"),
        (("{mini}", "--seeds", "0"), "--seeds is 0"),
        (("{mini}", "--epochs", "0"), "epochs is 0"),
        (("{mini}", "--margin", "0"), "margin is 0.0 points"),
        (("{mini}", "--data", "cifar1"), "cifar1"),
        (("{mini}", "--merge", "nowhere"), "cannot merge nowhere"),
        (("{mini}", "--plan", "--merge", "."), "merge first, then --plan"),
        (("{mini}", "--plan", "--until-decided", "--budget", "2h"), "--plan lists the cells of --seeds"),
        (("{mini}", "--sedes", "3"), "did you mean '--seeds'"),
        (("{mini}", "--device", "gpu"), "gpu"),
        (("seresnet20", "--data", "digits"), "rung 'ResNet-20'"),
        (("{mini}", "--until-decided"), "--until-decided --budget 2h"),
        (("{mini}", "--budget", "2h"), "--until-decided --budget 2h"),
        (("{mini}", "--until-decided", "--budget", "soon"), "'soon' is not of the form 90s, 10m, 2h"),
        (("{mini}", "--workers", "0"), "--workers is 0"),
        (("{mini}", "--workers", "many"), "--workers: 'many' is none of None, INT, auto"),
        (("{mini}", "--on", "slurm"), "slurm"),
        (("{mini}", "--address", "127.0.0.1:1"), "give --on ray as well"),
        (("{mini}", "--on", "ray", "--address", "127.0.0.1:1"), "no Ray cluster at 127.0.0.1:1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input(refused, mini, words, says):
    assert says in refused("ladder", *(word.format(mini=mini) for word in words))
