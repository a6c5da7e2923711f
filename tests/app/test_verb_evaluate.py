import json
import re
from pathlib import Path

import pytest
import torch

from lowres.models import create_model


def result(run):
    return json.loads((run / "manifest.json").read_text(encoding="utf-8"))["result"]


def test_the_figures_are_the_runs_own_exactly(lowres, finished):
    done = lowres("evaluate", finished, "--device", "cpu", "--json")
    assert (done.code, done.err) == (0, "")
    own = result(finished)
    assert done.json == {key: own[key] for key in done.json}
    assert {"accuracy", "interval", "errors", "images", "loss", "per_class", "confusion", "classes", "tta"} == set(
        done.json
    )
    assert lowres("evaluate", finished / "model.safetensors", "--device", "cpu", "--json").json == done.json


def test_what_is_shown_are_these_figures(lowres, finished):
    own = result(finished)
    done = lowres("evaluate", finished, "--device", "cpu")
    assert (done.code, done.err) == (0, "")
    low, high = own["interval"]
    first, *rest = done.out.splitlines()
    assert first == (
        f"{own['accuracy']:.2f} % of 360 images (95 % interval {low:.2f} to {high:.2f}), "
        f"{own['errors']} errors, cross-entropy {own['loss']:.4f}"
    )
    rows = [line.split() for line in rest if re.match(r"\d ", line)]
    assert len(rows) == 20  # a line for each class in either table
    for name, right in own["per_class"].items():
        assert rows[int(name)][:2] == [name, f"{right:.1f}"]
    for i, counts in enumerate(own["confusion"]):
        assert list(map(int, rows[10 + i])) == [i, *counts]
        mistakes = sorted((count for j, count in enumerate(counts) if j != i and count), reverse=True)[:3]
        assert [int(n) for n in re.findall(r" (\d+)(?:,|$)", " ".join(rows[i][2:]))] == mistakes


def test_names_of_classes_are_shown_as_they_are(lowres, tree):
    (tree / "train" / "cat").rename(tree / "train" / "[red]cat")
    (tree / "test" / "cat").rename(tree / "test" / "[red]cat")
    words = ("--data", f"folder:{tree}", "--image-size", "8", "--batch-size", "4", "--epochs", "1", "--quiet")
    assert lowres("train", "digits", *words, "--device", "cpu").code == 0
    out = lowres("evaluate", "runs/digits-tree-s0", "--device", "cpu").out
    assert "[red]cat" in out
    assert f" {'[red]cat'[:5]} " in out.replace("\n", " ")


def test_foreign_weights(lowres):
    model = create_model("resnet20", seed=1, shortcut="B")
    torch.save({"net": model.state_dict()}, "theirs.pth")
    words = ("theirs.pth", "--model", "resnet20", "--model-options", "shortcut=B", "--data", "digits")
    done = lowres("evaluate", *words, "--device", "cpu", "--json")
    assert (done.code, done.err, done.json["images"]) == (0, "", 360)


class Malicious:
    def __reduce__(self):
        return open, ("marker", "w")


def test_foreign_weights_that_would_run_a_program(refused, tmp_path):
    torch.save({"net": Malicious()}, "theirs.pth")
    message = refused("evaluate", "theirs.pth", "--model", "resnet20", "--data", "digits")
    assert "theirs.pth" in message
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "PATH"),
        (("nowhere",), "nowhere"),
        (("{run}", "--data", "digit"), "unknown data set 'digit': did you mean 'digits'?"),
        (("{run}", "--data", "cifar10"), "no cifar10 in data (which does not exist)"),
        (("{run}", "--device", "cuda:99"), "device 'cuda:99' cannot be used here"),
        (("{run}", "--device", "cpu", "--precision", "fp16"), "--precision bf16 or fp32"),
        (("{run}", "--precision", "fp8"), "'fp8'"),
        (("{run}", "--jsno"), "unknown option '--jsno': did you mean '--json'?"),
        (("{run}", "another"), "'another' is too much"),
        (("{run}", "--model-options", "shortcut=B"), "--model"),
        (("{run}/history.jsonl",), "history.jsonl is not a readable safetensors file"),
        (("{run}/history.jsonl", "--model", "resnet20", "--data", "digits"), "history.jsonl"),
        (("{run}", "--model", "resnet20", "--data", "digits"), "is a folder"),
        (("theirs.pth", "--model", "resnet-20"), "no cifar10 in data"),
        (("theirs.pth", "--model", "resnet-20", "--data", "digits"), "did you mean 'resnet20'?"),
        (("theirs.pth", "--model", "resnet20", "--data", "digits"), "theirs.pth"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input(refused, finished, words, says):
    assert says in refused("evaluate", *(word.format(run=finished) for word in words))


def test_other_classes(refused, finished, tree):
    message = refused("evaluate", finished, "--data", f"folder:{tree}")
    assert message == f"{finished} tells 10 classes apart (0, 1, 2, ...), but folder:tree has 2 (cat, dog)"


def test_an_answer_that_is_no_number_is_refused(refused, tmp_path):
    model = create_model("resnet20", seed=0)
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    torch.save(model.state_dict(), tmp_path / "nan.pt")
    message = refused("evaluate", tmp_path / "nan.pt", "--model", "resnet20", "--data", "digits")
    assert "nan.pt answers with what is no number" in message


def test_an_unfinished_run(refused, unfinished):
    assert f"`lowres train --resume {unfinished}` finishes it" in refused("evaluate", unfinished)


def test_weights_cut_short(refused, finished):
    path = Path("mine.safetensors")
    path.write_bytes((finished / "model.safetensors").read_bytes()[:100_000])
    assert "mine.safetensors is not a readable safetensors file" in refused("evaluate", path)
