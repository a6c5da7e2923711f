import json

import pytest

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
        (("{mini}", "--sedes", "3"), "did you mean '--seeds'"),
        (("{mini}", "--device", "gpu"), "gpu"),
        (("seresnet20", "--data", "digits"), "rung 'ResNet-20'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input(refused, mini, words, says):
    assert says in refused("ladder", *(word.format(mini=mini) for word in words))
