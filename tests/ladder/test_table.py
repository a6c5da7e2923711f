import csv
import io
import json

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console

from lowres.errors import UserError
from lowres.ladder import Ladder, Rung, load_ladder, words
from lowres.ladder import picture as picture_module
from lowres.ladder.picture import draw_ladder
from lowres.ladder.table import from_json, make_table
from lowres.recipes import Recipe


def table(seeds=5, epochs=8, name="seresnet20"):
    ladder = load_ladder(name).resized(epochs=epochs)
    draw = np.random.default_rng(0)
    means = 84 + np.arange(len(ladder.rungs)) * 0.4
    figures = {
        rung.name: {seed: round(float(mean + draw.normal(0, 0.2)), 2) for seed in range(seeds)}
        for rung, mean in zip(ladder.rungs, means, strict=True)
    }
    return make_table(ladder, figures, range(max(seeds, 1)), 0.2)


def rich_text(found):
    console = Console(file=io.StringIO(), width=300)
    console.print(found.caption, found.to_rich())
    return console.file.getvalue()


@pytest.mark.parametrize("form", [lambda t: t.to_markdown(), rich_text, lambda t: json.dumps(t.to_json())])
def test_every_table_says_what_its_figures_are_of(form):
    text = form(table())
    for part in (
        "last-epoch test accuracy",
        "cifar10",
        "8 of 180 epochs a run, shortened",
        "seeds 0 to 4",
        "margin 0.2",
    ):
        assert part in text
    for rung in load_ladder("seresnet20").rungs:
        assert rung.name in text


def test_a_table_says_where_the_test_was_augmented():
    base = Recipe(epochs=4)
    rungs = (Rung("one view"), Rung("two", {"tta": "mirror"}))
    figures = {rung.name: {0: 90.0} for rung in rungs}
    found = make_table(Ladder("views", base, rungs), figures, range(1), 0.2)
    assert "in percent, with test-time augmentation of some rungs (mirror), on cifar10" in found.caption
    assert "augmentation" not in table().caption


@pytest.mark.parametrize(
    ("epochs", "says"),
    [
        (180, "cifar10, 180 epochs a run, seeds"),
        (1, "cifar10, 1 of 180 epochs a run, shortened, seeds"),
        (360, "cifar10, 360 epochs a run, lengthened from 180, seeds"),
    ],
)
def test_a_table_says_where_runs_have_not_the_length_that_the_recipe_has(epochs, says):
    found = table(epochs=epochs)
    assert says in found.caption
    assert from_json(found.to_json(), "results.json").caption == found.caption
    twice = load_ladder("seresnet20").resized(epochs=3).resized(epochs=epochs)
    assert make_table(twice, {}, range(5), 0.2).caption.partition("margin")[0] == found.caption.partition("margin")[0]


def test_a_table_with_looks_says_when_it_was_looked_at():
    ladder = load_ladder("modern")
    figures = {rung.name: {seed: 90.0 + seed for seed in range(7 if i else 3)} for i, rung in enumerate(ladder.rungs)}
    found = make_table(ladder, figures, range(3), 0.2, first_look=3)
    assert "seeds 0 to 2, more where undecided" in found.caption
    assert "Looks at 3, 5 seeds" in found.explanation
    assert "missing" not in found.caption
    again = from_json(json.loads(json.dumps(found.to_json())), "results.json")
    assert again.to_json() == found.to_json()


def test_a_table_says_what_it_was_trained_on():
    ladder = load_ladder("modern")
    figures = {rung.name: {0: 90.0} for rung in ladder.rungs}
    manifest = {"hardware": "AMD EPYC, 1 thread", "precision": "fp32", "versions": {"torch": "2.15.0"}}
    one = words.machine(manifest)
    assert one == "AMD EPYC, 1 thread, fp32, torch 2.15.0"
    found = make_table(ladder, figures, range(1), 0.2, machines={one: 5})
    assert found.explanation.endswith(f"Trained on {one}.")
    assert found.explanation in found.to_markdown()
    moved = {**manifest, "earlier_sittings": [{**manifest, "hardware": "AMD EPYC, 2 threads"}, manifest]}
    assert words.machine(moved) == one.replace("1 thread", "2 threads") + f", then {one}"
    two = make_table(ladder, figures, range(1), 0.2, machines={one: 5, words.machine({}): 1})
    assert f"Trained on {one} (5 cells); an unknown machine (1 cell): on each" in two.explanation
    assert from_json(two.to_json(), "results.json").explanation == two.explanation
    assert "Trained" not in make_table(ladder, {}, range(1), 0.2).explanation


def test_tables_of_earlier_versions_are_read():
    values = table().to_json()
    del values["first_look"], values["machines"], values["ladder"]["own_epochs"]
    assert from_json(values, "results.json").rows == table().rows


def test_csv_has_every_figure_in_full():
    found = table()
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert [row["rung"] for row in rows] == [row.rung for row in found.rows]
    for line, row in zip(rows, found.rows, strict=True):
        assert (line["data"], line["epochs"], line["seeds"]) == ("cifar10", "8", "0 1 2 3 4")
        assert (line["base_epochs"], line["base_own_epochs"]) == ("8", "180")
        assert line["figure"] == "last-epoch test accuracy, %"
        assert float(line["mean"]) == row.sample.mean
        assert float(line["published"]) == row.published
        if row.comparison:
            assert float(line["p_holm"]) == row.comparison.p_holm
            assert line["verdict"] == row.comparison.verdict


def test_json_gives_the_same_table_back():
    found = table(name="replicate-resnet20")
    plain = json.loads(json.dumps(found.to_json()))
    again = from_json(plain, "results.json")
    assert again.to_json() == found.to_json()
    assert again.to_markdown() == found.to_markdown()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 99}, "format 99"),
        ({"rows": [{}]}, "damaged"),
        ({"rows": 3}, "damaged"),
        ({"ladder": {}}, "base is missing"),
        ({"margin": None}, "damaged"),
    ],
)
def test_a_damaged_file_is_named(change, says):
    with pytest.raises(UserError, match=says) as error:
        from_json(table().to_json() | change, "results.json")
    assert "results.json" in str(error.value)


def test_two_seeds_have_no_verdict_and_missing_cells_are_counted():
    two = table(seeds=2)
    assert {row.comparison.verdict for row in two.rows[1:]} == {"no verdict below 3 seeds"}
    none = table(seeds=0)
    assert "8 of 8 cells are missing" in none.caption
    assert all(row.sample is None and row.comparison is None for row in none.rows)


def test_a_step_whose_beginning_was_not_measured_has_no_bar():
    ladder = load_ladder("he-depth")
    names = [rung.name for rung in ladder.rungs]
    figures = {name: {seed: 90.0 + seed / 9 + i for seed in range(3)} for i, name in enumerate(names)}
    whole = make_table(ladder, figures, range(3), 0.2)
    holed = make_table(ladder, figures | {names[1]: {}}, range(3), 0.2)
    bars = []
    for found in (whole, holed):
        axes = Figure().add_subplot()
        picture_module._draw_waterfall(axes, found.rows)
        bars.append(len(axes.patches))
        assert len(axes.texts) == sum(row.comparison is not None for row in found.rows)
    assert bars == [len(names) - 1, 0]


@pytest.mark.parametrize("seeds", [0, 1, 5])
def test_the_picture_is_drawn_whatever_is_missing(tmp_path, seeds):
    path = tmp_path / "ladder.png"
    draw_ladder(table(seeds), path)
    with Image.open(path) as picture:
        assert picture.width == 1860
    first = path.read_bytes()
    draw_ladder(table(seeds), path)
    assert path.read_bytes() == first
