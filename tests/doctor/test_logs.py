"""Signatures that a log alone shows."""

import json
import math

import pytest

from lowres.doctor import CHECKS, examine_log
from lowres.errors import UserError

EPOCHS = 20
FLOOR = math.log(1 + 9 / math.e)


def falling(first, last):
    return [last + (first - last) * math.exp(-i / 2) for i in range(EPOCHS)]


def swinging(middle, by):
    return [middle + (by if i % 2 else -by) for i in range(EPOCHS)]


LOGS = {
    "AR111": {"loss": [2.3026] * EPOCHS, "val_acc": [10.0] * EPOCHS},
    "LO301": {"train_loss": falling(2.2, FLOOR + 0.05), "val_acc": falling(30, 88)},
    "DA208": {"train_loss": falling(2.3, 0.1), "val_acc": [10.0] * EPOCHS},
    "DA201": {"train_acc": falling(30, 100), "val_acc": falling(30, 85), "loss": falling(2, 0.01)},
    "LR103": {"val_acc": swinging(70, 2.5), "lr": [0.1] * EPOCHS},
    "EV404": {"val_acc": [1805.0] * EPOCHS},
    "LO305": {"loss": [2.3, 2.1, float("nan"), float("nan")]},
    "TR531": {"val_acc": [30 + 2 * i for i in range(EPOCHS)]},
}
SOUND = {
    "train_loss": falling(2.2, 0.02),
    "val_acc": falling(40, 94),
    "train_acc": falling(35, 96),
    "lr": falling(0.1, 0.0),
}


def write(path, columns):
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    if path.suffix == ".csv":
        lines = [",".join(columns), *(",".join(map(str, row.values())) for row in rows)]
        path.write_text("\n".join(lines))
    else:
        path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
@pytest.mark.parametrize("code", LOGS)
def test_a_signature_is_named(tmp_path, code, suffix):
    report = examine_log(write(tmp_path / f"history{suffix}", LOGS[code]))
    assert [one.code for one in report.findings] == [code]
    low, high = CHECKS[code].cost
    assert low <= report.findings[0].cost <= high
    assert report.code == 1


def test_the_usual_gap_of_a_hundred_classes_is_none(tmp_path):
    columns = {"train_acc": falling(30, 99.9), "val_acc": falling(30, 80.5)}
    path = write(tmp_path / "log.csv", columns)
    assert [one.code for one in examine_log(path).findings] == ["DA201"]
    assert examine_log(path, classes=100).findings == ()
    path = write(tmp_path / "log.csv", columns | {"val_acc": falling(30, 60)})
    assert [one.code for one in examine_log(path, classes=100).findings] == ["DA201"]


def test_a_row_with_a_field_too_many_is_read_without_it(tmp_path):
    path = write(tmp_path / "log.csv", SOUND)
    path.write_text(path.read_text() + ",so\n")
    assert examine_log(path).seen["epochs"] == EPOCHS


def test_figures_that_are_none_say_nothing(tmp_path):
    columns = SOUND | {"val_acc": [math.nan] * EPOCHS, "train_acc": [99.0] * (EPOCHS - 1) + [math.nan]}
    assert examine_log(write(tmp_path / "log.csv", columns)).findings == ()


def test_a_single_class_is_refused(tmp_path):
    path = write(tmp_path / "log.csv", SOUND)
    with pytest.raises(UserError, match="--classes is 1, but must be at least 2"):
        examine_log(path, classes=1)


def test_a_sound_log_has_none(tmp_path):
    report = examine_log(write(tmp_path / "history.csv", SOUND))
    assert (report.findings, report.code) == ((), 0)


def test_shares_are_read_as_per_cents(tmp_path):
    columns = {
        "train_acc": [v / 100 for v in LOGS["DA201"]["train_acc"]],
        "val_acc": [v / 100 for v in falling(30, 85)],
    }
    assert examine_log(write(tmp_path / "log.csv", columns)).findings[0].code == "DA201"


def test_label_smoothing_s_floor_is_not_mistaken(tmp_path):
    columns = {"train_loss": falling(2.3, 0.9), "val_acc": falling(40, 94)}
    assert examine_log(write(tmp_path / "log.csv", columns)).findings == ()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [("log.csv", "a,b\n1,2\n", "its columns are a, b"), ("log.jsonl", "{\n", "log.jsonl:1 is no JSON")],
)
def test_what_is_no_log(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=said):
        examine_log(tmp_path / name)
