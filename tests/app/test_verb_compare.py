import shutil

import pytest


@pytest.fixture
def two(finished, edit, tmp_path):
    """Names of two finished runs, the second with another seed, rate and network, and a better result."""
    better = shutil.copytree(finished, tmp_path / "runs" / "semxresnext29-with-a-long-name-cifar10-s1")

    def change(recipe):
        optimizer = recipe["optimizer"] | {"lr": 0.3}
        return recipe | {"seed": 1, "optimizer": optimizer, "model_options": {"shortcut": "B"}}

    def improve(manifest):
        result = manifest["result"] | {"accuracy": 94.86111111111111, "interval": [92.1, 96.7], "parameters": 272_474}
        return manifest | {"result": result}

    edit(better / "recipe.json", change)
    edit(better / "manifest.json", improve)
    return finished, better.relative_to(tmp_path)


def test_the_best_comes_first_with_every_figure_exact(lowres, two, unfinished):
    worse, better = two
    done = lowres("compare", worse, unfinished, better, "--json")
    assert (done.code, done.err) == (0, "")
    first, second, last = done.json
    assert [row["run"] for row in done.json] == [str(better), str(worse), str(unfinished)]
    assert [row["outcome"] for row in done.json] == ["finished", "finished", "interrupted"]
    assert (first["accuracy"], first["interval"], first["parameters"]) == (94.86111111111111, [92.1, 96.7], 272_474)
    assert (first["seed"], first["data"], first["model"], first["recipe"]) == (1, "digits", "resnet20", "digits")
    assert second["accuracy"] == lowres("evaluate", worse, "--device", "cpu", "--json").json["accuracy"]
    assert last["accuracy"] is last["interval"] is last["loss"] is None
    assert (last["epochs"], last["epochs_planned"]) == (1, 3)
    assert first["differs"] == {}
    assert second["differs"] == {"optimizer.lr": 0.05, "seed": 0, "model_options.shortcut": None}
    assert last["differs"] == {"optimizer.lr": 0.05, "seed": 0, "model_options.shortcut": None, "epochs": 3}


def test_what_is_shown_can_be_read(lowres, two, unfinished):
    worse, better = two
    done = lowres("compare", worse, unfinished, better)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    rows = [[line for line in lines if line.startswith(f"{run} ")] for run in (better, worse, unfinished)]
    assert list(map(len, rows)) == [1, 1, 1]  # names are whole, to be copied
    ((first,), (second,), (last,)) = rows
    assert lines.index(first) < lines.index(second) < lines.index(last)
    for part in ("272,474", "94.86", "92.10 to 96.70"):
        assert part in first
    assert "269,722" in second
    assert "1/3" in last
    assert "interrupted" in last
    assert "optimizer.lr=0.05" in done.out
    assert "epochs=3" in done.out
    assert "…" not in done.out


def test_a_run_killed_without_a_word_is_called_killed(lowres, finished):
    for name in ("manifest.json", "history.jsonl"):
        (finished / name).unlink()
    (row,) = lowres("compare", finished, "--json").json
    assert (row["outcome"], row["epochs"], row["accuracy"]) == ("killed", 0, None)
    assert "0/1" in lowres("compare", finished).out


def test_names_are_shown_as_they_are(lowres, finished):
    finished.rename("runs/[red]digits")
    assert "[red]digits" in lowres("compare", "runs/[red]digits").out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "nothing to compare: name run folders"),
        (("nowhere",), "nowhere is not a run folder: there is no such folder"),
        (("{run}", "."), ". is not a run folder: it holds no recipe.json"),
        (("{run}", "--jsn"), "unknown option '--jsn': did you mean '--json'?"),
        (("{run}/model.safetensors",), "is not a run folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input(refused, finished, words, says):
    assert says in refused("compare", *(word.format(run=finished) for word in words))


def test_figures_that_a_run_lacks_are_left_out(lowres, finished):
    (finished / "manifest.json").write_text('{"outcome": "finished", "result": {"accuracy": 94.1}}', encoding="utf-8")
    done = lowres("compare", finished)
    assert done.code == 0
    assert "94.10" in done.out


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("recipe.json", '{"epohcs": 3}'),
        ("recipe.json", ""),
        ("manifest.json", '{"outcome": "fini'),
        ("manifest.json", "[]"),
        ("manifest.json", '{"outcome": "finished", "result": {}}'),
        ("manifest.json", '{"outcome": "finished", "result": {"accuracy": "94.1"}}'),
        ("manifest.json", '{"outcome": "finished", "result": {"accuracy": 94.1, "seconds": null}}'),
        ("manifest.json", '{"outcome": "finished", "result": {"accuracy": 94.1, "interval": [93]}}'),
        ("manifest.json", "\0\0\0"),
        ("history.jsonl", "no epoch\n{}\n"),
        ("history.jsonl", "{}\n{}\n"),
    ],
)
@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_a_damaged_file_is_named(refused, finished, name, content, as_json):
    (finished / name).write_text(content, encoding="utf-8")
    assert str(finished / name) in refused("compare", finished, *as_json)
