import re

import pytest

from lowres.models import create_model, list_models, model_info, summarise


def test_every_network_is_listed_with_its_size_and_its_published_figure(lowres):
    done = lowres("models", "se*")
    assert (done.code, done.err) == (0, "")
    for name in list_models("se*"):
        parameters = sum(p.numel() for p in create_model(name, seed=0).parameters())
        (line,) = (line for line in done.out.splitlines() if line.startswith(f"{name} "))
        assert f" {parameters:,} " in line
        published = model_info(name).published
        assert (f" {published[0].accuracy:.2f} " in line) if published else "%" not in line
    assert "…" not in done.out


def test_the_list_as_json_is_exact(lowres):
    rows = lowres("models", "resnet*2", "--json").json
    assert [row["name"] for row in rows] == list_models("resnet*2") == ["resnet32", "resnet1202"]
    summary = summarise(create_model("resnet32", seed=0))
    assert rows[0]["parameters"] == summary.parameters == 464_154
    assert rows[0]["multiply_adds"] == summary.multiply_adds
    assert rows[0]["options"] == {"channels": 3, "shortcut": "A"}
    assert rows[0]["published"][0]["accuracy"] == 92.49
    assert all("layers" not in row for row in rows)


def test_one_network_is_shown_layer_by_layer(lowres):
    done = lowres("models", "resnet20")
    assert (done.code, done.err) == (0, "")
    table = re.search(r"^layer .*\n((?:.+\n)*)", done.out, re.MULTILINE)[1].splitlines()
    rows = [re.split(r"  +", line.strip()) for line in table]
    last = rows.pop()
    assert last == ["sum", "269,722", "40,551,040"]
    parameters = [int(row[3].replace(",", "")) for row in rows if len(row) > 4]
    assert rows[0] == ["stem.conv", "Conv2d 3x3", "16x32x32", "432", "442,368", "3"]
    assert sum(parameters) == 269_722
    assert "91.25 %, He 2015, table 6" in done.out
    assert "option shortcut=A" in done.out


def test_one_network_as_json_adds_up(lowres):
    (row,) = lowres("models", "resnet20", "--json").json
    assert row["parameters"] == sum(layer["parameters"] for layer in row["layers"]) == 269_722
    assert row["multiply_adds"] == sum(layer["multiply_adds"] for layer in row["layers"]) == 40_551_040
    assert row["layers"][-1]["output"] == [10]


@pytest.mark.parametrize(
    ("words", "parameters"),
    [
        (("--model-options", "shortcut=B"), 272_474),
        (("--classes", "100"), 269_722 + 90 * 65),
        (("--model-options", "channels=1"), 269_722 - 2 * 144),
        (("--image-size", "64"), 269_722),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_options_change_the_network(lowres, words, parameters):
    done = lowres("models", "resnet20", *words, "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json[0]["parameters"] == parameters


def test_a_name_in_capitals_is_that_network(lowres):
    assert lowres("models", "ResNet20").out == lowres("models", "resnet20").out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("resnet-20",), "unknown model 'resnet-20': did you mean 'resnet20'? (`lowres models` lists them)"),
        (("zz*",), "unknown model 'zz*'"),
        (("resnet20", "resnet32"), "'resnet32' is too much"),
        (("resnet50",), "`lowres train torchvision:resnet50 --adapt` trains it"),
        (("resnet20", "--class", "3"), "unknown option '--class': did you mean '--classes'?"),
        (("resnet20", "--classes", "0"), "classes must be a whole number above zero, not 0"),
        (("resnet20", "--classes", "ten"), "--classes"),
        (("resnet20", "--image-size", "0"), "0"),
        (("resnet20", "--image-size", "-5"), "-5"),
        (("resnet20", "--model-options", "shortcut"), "is not of the form NAME=VALUE"),
        (("resnet20", "--model-options", "shortcutt=B"), "did you mean 'shortcut'?"),
        (("resnet20", "--model-options", "channels=abc"), "channels must be a whole number above zero, not 'abc'"),
        (("resnet20", "--model-options", "classes=5"), "classes is no option of a network here: use --classes"),
        (("resnet20", "--model-options", "seed=1"), "seed is no option of a network here: leave it out"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input(refused, words, says):
    message = refused("models", *words)
    assert says in message
    assert "padded" not in message  # PyTorch's inner life
