import json
from pathlib import Path

import pytest


@pytest.fixture
def quick(monkeypatch):
    """Measures a small network in no time."""
    import dataclasses

    import lowres.app.bench
    from lowres.recipes import load_recipe

    def small(name):
        return dataclasses.replace(load_recipe(name), image_size=8, batch_size=8, precision="fp32")

    monkeypatch.setattr(lowres.app.bench, "load_recipe", small)


def test_speed_is_shown_and_kept_and_compared(lowres, quick, finished):
    words = ("bench", "resnet20-cosine", "--device", "cpu", "--seconds", "0.05")
    done = lowres(*words, "--runs", finished, "--out", "before.json", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json["recipes"][0]["recipe"] == "resnet20-cosine"
    assert done.json["runs"][0]["recipe"] == "digits"
    assert json.loads(Path("before.json").read_text()) == done.json
    again = lowres(*words, "--compare", "before.json")
    assert again.code == 0
    assert "images/s" in again.out
    assert again.out.count("x)") == 5  # two limits of two precisions, one recipe


def test_bad_input_is_refused(refused, quick):
    assert "unknown recipe 'resnet2'" in refused("bench", "resnet2")
    assert refused("bench", "--compare", "none.json") == (
        "no measurement file none.json; `lowres bench --out` makes one"
    )
    Path("other.json").write_text("{}")
    assert "other.json is not what `lowres bench --json` prints" in refused("bench", "--compare", "other.json")
    assert "--out nowhere/a.json cannot be written" in refused("bench", "--out", "nowhere/a.json")
