"""Examines a log alone: losses and accuracies of each epoch in CSV or JSON lines, under whatever names they have."""

import csv
import itertools
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowres.doctor.findings import CHECKS, Finding, Fix, Found
from lowres.doctor.report import Report
from lowres.errors import UserError

ROLES: dict[str, tuple[str, str]] = {
    "train_loss": (r"loss", r"val|test|eval|dev"),
    "val_loss": (r"(val|test|eval|dev).*loss|loss.*(val|test|eval|dev)", r"$^"),
    "train_accuracy": (r"acc|top1|top-1", r"val|test|eval|dev"),
    "val_accuracy": (r"(val|test|eval|dev).*(acc|top1|top-1)|(acc|top1).*(val|test|eval|dev)", r"$^"),
    "rate": (r"^(lr|rate|learning[_ ]?rate)\b", r"$^"),
}
"""What a column is: a pattern of its name, and one that rules it out."""


@dataclass(frozen=True)
class Log:
    """A log's columns, an entry for each epoch; accuracies in %.

    Attributes:
        path: The file.
        columns: By role: train_loss, val_loss, train_accuracy, val_accuracy, rate.
        classes: How many there are, told by what chance the figures sit at; 10 if they do not say.
    """

    path: str
    columns: dict[str, list[float]]
    classes: int

    def get(self, role: str) -> list[float]:
        """A column; empty if the log has none."""
        return self.columns.get(role, [])

    @property
    def epochs(self) -> int:
        """Its length."""
        return max((len(one) for one in self.columns.values()), default=0)


def examine_log(path: Path, classes: int = 10) -> Report:
    """Examines a log.

    Args:
        path: A `.csv` with a head line, or `.jsonl`, such as a run folder's history.jsonl.
        classes: Of the data set.

    Raises:
        UserError: It is not there, is none, or names no loss and no accuracy; or there are fewer than two classes.
    """
    log = read_log(path, classes)
    findings = [_finding(code, found) for code, rule in RULES if (found := rule(log)) is not None]
    findings.sort(key=lambda one: (one.grade == "note", -one.cost))
    count = len([one for one in findings if one.grade != "note"])
    said = f"{count} fault{'s' if count != 1 else ''} found in {log.epochs} epochs" if count else "nothing wrong found"
    seen = {
        name: {"first": _finite(values[0]), "last": _finite(values[-1]), "best": _finite(_best(name, values))}
        for name, values in log.columns.items()
    }
    notes = ("a log alone: the network, the data and the loop were not seen",)
    return Report(str(path), said, tuple(findings), {}, {"epochs": log.epochs, "columns": seen}, notes)


def _finite(value: float) -> float | str:
    """A number that JSON knows; "nan" and "inf" as words."""
    return value if math.isfinite(value) else str(value)


def _best(name: str, values: list[float]) -> float:
    return max(values) if "accuracy" in name else min(values)


def read_log(path: Path, classes: int = 10) -> Log:
    """Reads a log and finds its columns; arguments and errors as `examine_log` has them."""
    if classes < 2:
        raise UserError(f"--classes is {classes}, but must be at least 2")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    rows = _rows(path, text)
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns: dict[str, list[float]] = {}
    for role, (pattern, but) in ROLES.items():
        fitting = [n for n in names if re.search(pattern, n.lower()) and not re.search(but, n.lower())]
        for name in fitting:
            values = [v for row in rows if (v := _number(row.get(name))) is not None]
            if values:
                columns.setdefault(role, values)
    if not set(columns) - {"rate"}:
        raise UserError(f"{path} names no loss and no accuracy; its columns are {', '.join(map(str, names)) or 'none'}")
    for role in ("train_accuracy", "val_accuracy"):
        values = columns.get(role, [])
        if max((v for v in values if math.isfinite(v)), default=100.0) <= 1.0 + 1e-9:
            columns[role] = [100 * v for v in values]
    return Log(str(path), columns, classes)


def _rows(path: Path, text: str) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        found = csv.DictReader(text.splitlines())
        return [{name: value for name, value in row.items() if name is not None} for row in found]
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            raise UserError(f"{path}:{number} is no JSON") from None
        if isinstance(row, dict):
            rows.append(_flat(row))
    return rows


def _flat(row: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        flat |= _flat(value, f"{prefix}{name}_") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _number(value: Any) -> float | None:
    try:
        return float(str(value).strip().rstrip("%"))
    except ValueError:
        return None


def _finding(code: str, found: Found) -> Finding:
    import lowres.doctor.checks  # noqa: F401 - its modules register themselves

    return CHECKS[code].finding(found)


def _tail(values: Sequence[float], share: float = 0.3) -> list[float]:
    return list(values[-max(3, int(len(values) * share)) :])


def dead(log: Log) -> Found | None:
    """The loss stays at ln C: every class gets the same score."""
    losses = _tail(log.get("train_loss"))
    chance = math.log(log.classes)
    if len(log.get("train_loss")) < 2 or not all(abs(v - chance) < 0.006 for v in losses):
        return None
    return Found(
        f"the loss stays at {losses[-1]:.4f}, which is ln {log.classes}: every class gets the same score",
        {"loss": losses[-1], "ln_classes": chance},
        cost=80.0,
        grade="error",
        fix=Fix("a lower rate, norms, or another initialisation: the network has died", code="lr=0.01"),
    )


def floored(log: Log) -> Found | None:
    """The loss flattens just above the floor that a second softmax gives it."""
    losses = log.get("train_loss")
    floor = math.log(1 + (log.classes - 1) / math.e)
    if len(losses) < 5:
        return None
    tail = _tail(losses)
    flat = max(tail) - min(tail) < 0.15
    if min(losses) < floor - 0.002 or not flat or min(tail) > floor + 0.2 or losses[0] < floor:
        return None
    return Found(
        f"the loss flattens at {tail[-1]:.3f}, just above {floor:.3f}: the floor of cross-entropy on probabilities",
        {"loss": tail[-1], "floor": floor},
        cost=4.0,
        fix=Fix("no softmax before cross-entropy", code="return self.head(x)"),
    )


def pinned(log: Log) -> Found | None:
    """Validation stays at chance while training learns."""
    val, losses, train = log.get("val_accuracy"), log.get("train_loss"), log.get("train_accuracy")
    chance = 100 / log.classes
    learns = (len(losses) > 2 and losses[-1] < 0.8 * losses[0]) or (bool(train) and max(train) > 3 * chance)
    if len(val) < 3 or not learns or not all(abs(v - chance) < 0.6 for v in _tail(val)):
        return None
    return Found(
        f"validation stays at {val[-1]:.1f} %, which is 1/{log.classes}, while training learns",
        {"val_accuracy": val[-1], "chance": chance, "train_loss": losses[-1] if losses else None},
        cost=70.0,
        grade="error",
        fix=Fix("look at the labels of the validation set, and at eval()", code="set(int(y) for _, y in val_set)"),
    )


def memorised(log: Log) -> Found | None:
    """Training at 97 and more, validation eight points below; thirty of many classes, where twenty are usual."""
    train, val = log.get("train_accuracy"), log.get("val_accuracy")
    least = 8 if log.classes <= 20 else 30
    if not train or not val or not (train[-1] >= 97 and train[-1] - val[-1] >= least):
        return None
    return Found(
        f"training reaches {train[-1]:.1f} %, validation {val[-1]:.1f} %: the images are learned by heart",
        {"train_accuracy": train[-1], "val_accuracy": val[-1], "gap": train[-1] - val[-1]},
        cost=min(14.0, train[-1] - val[-1]),
        fix=Fix(
            "crop and flip training images, decay the weights",
            code="transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()",
        ),
    )


def saw(log: Log) -> Found | None:
    """Validation goes up and down by points at the end, at a rate that does not fall."""
    val, rate = log.get("val_accuracy"), log.get("rate")
    if len(val) < 10 or (rate and rate[-1] < 0.5 * max(rate)):
        return None
    tail = val[-10:]
    steps = [b - a for a, b in itertools.pairwise(tail)]
    turns = sum(a * b < 0 for a, b in itertools.pairwise(steps))
    mean = sum(tail) / len(tail)
    spread = (sum((v - mean) ** 2 for v in tail) / len(tail)) ** 0.5
    if turns < 4 or not spread >= 1.0:
        return None
    return Found(
        f"validation swings by {spread:.1f} points from epoch to epoch at the end"
        + (f", at a constant rate of {rate[-1]:g}" if rate else ""),
        {"deviation": spread, "turns": turns, "rate": rate[-1] if rate else None},
        cost=5.0,
        fix=Fix("a schedule that ends near zero", code="CosineAnnealingLR(optimizer, T_max=epochs)"),
    )


def beyond(log: Log) -> Found | None:
    """An accuracy above 100 %."""
    figures = (*log.get("train_accuracy"), *log.get("val_accuracy"))
    highest = max((one for one in figures if math.isfinite(one)), default=0.0)
    if highest <= 100.01:
        return None
    return Found(
        f"an accuracy of {highest:.1f} %: it is divided by something other than the images",
        {"accuracy": highest},
        cost=0.0,
    )


def broken(log: Log) -> Found | None:
    """A loss that is no number."""
    losses = log.get("train_loss")
    bad = next((i for i, v in enumerate(losses) if not math.isfinite(v)), None)
    if bad is None:
        return None
    return Found(
        f"the loss is {losses[bad]} in epoch {bad + 1}", {"epoch": bad + 1, "before": losses[:bad][-3:]}, cost=80.0
    )


def rising(log: Log) -> Found | None:
    """Validation still improves at the end."""
    val, rate = log.get("val_accuracy"), log.get("rate")
    if len(val) < 10 or (rate and rate[-1] < 0.05 * max(rate)):
        return None
    size = max(2, len(val) // 5)
    last, before = val[-size:], val[-2 * size : -size]
    slope = (sum(last) - sum(before)) / size**2
    if not slope >= 0.1:
        return None
    return Found(
        f"stopped while improving: validation still gains {slope:.2f} points an epoch",
        {"slope": slope, "epochs": len(val)},
        cost=min(20.0, slope * 10),
        fix=Fix("train longer, under a schedule that ends near zero", code=f"epochs = {2 * len(val)}"),
    )


RULES: tuple[tuple[str, Callable[[Log], Found | None]], ...] = (
    ("AR111", dead),
    ("LO301", floored),
    ("DA208", pinned),
    ("DA201", memorised),
    ("LR103", saw),
    ("EV404", beyond),
    ("LO305", broken),
    ("TR531", rising),
)
"""The code under which each signature is reported: that of the fault it points to."""
