"""`lowres evaluate`: accuracy of a run or a file of weights, with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro
from rich.table import Table

from lowres.app.command import console, parse, print_json
from lowres.evaluation import Score
from lowres.recipes import Option


@dataclass(frozen=True)
class Evaluate:
    """Accuracy of a run, or of a file of weights, on a test set.

        lowres evaluate runs/resnet20-quick-cifar10-s0
        lowres evaluate somebodys.pth --model resnet20 --model-options shortcut=B

    Attributes:
        target: A run folder, a model.safetensors, or with --model anybody's weights.
        data: cifar10, cifar100, digits or folder:PATH; by default what it was trained on.
        data_dir: Where the data lie; by default data/ here, or the folder that LOWRES_DATA_DIR names.
        device: auto, cpu, cuda, cuda:1, mps.
        precision: Of the arithmetic; by default that of training, fp32 for foreign weights.
        model: For foreign weights: the network they belong to.
        model_options: For foreign weights: its options, such as shortcut=B.
        mean: For foreign weights: what their training took off the pixels; by default the data's own mean.
        std: For foreign weights: what it divided them by; by default the data's own deviation.
        json: Print JSON.
    """

    target: tyro.conf.Positional[Path]
    data: str | None = None
    data_dir: Path | None = None
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] | None = None
    model: str | None = None
    model_options: dict[str, Option] = field(default_factory=dict)
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    json: bool = False


def run(words: Sequence[str]) -> int:
    """Evaluates; see `Evaluate`."""
    asked = parse(Evaluate, words, "evaluate")

    from lowres.runs import evaluate

    found = evaluate(
        asked.target,
        data=asked.data,
        data_dir=asked.data_dir,
        device=asked.device,
        precision=asked.precision,
        model=asked.model,
        model_options=asked.model_options,
        mean=asked.mean,
        std=asked.std,
    )
    if asked.json:
        print_json(found.to_dict())
    else:
        _show(found)
    return 0


def _augmented(found: Score) -> str:
    if found.tta == "none":
        return ""
    return f" with test-time augmentation ({found.tta}; {found.accuracy_without_tta:.2f} % without)"


def _show(found: Score) -> None:
    low, high = found.interval
    out = console()
    out.print(
        f"{found.accuracy:.2f} % of {found.images:,} images{_augmented(found)} "
        f"(95 % interval {low:.2f} to {high:.2f}), {found.errors:,} errors, cross-entropy {found.loss:.4f}"
    )
    table = Table("class", "right, %", "mostly taken for", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for i, (name, right) in enumerate(found.per_class.items()):
        wrong = sorted(((n, j) for j, n in enumerate(found.confusion[i]) if j != i and n), reverse=True)
        mistakes = ", ".join(f"{found.classes[j]} {n}" for n, j in wrong[:3])
        table.add_row(name, "none" if right is None else f"{right:.1f}", mistakes)
    out.print(table)
    if len(found.classes) <= 12:
        out.print("\nconfusion (rows: what it is, columns: what it was taken for)")
        confusion = Table("", *(name[:5] for name in found.classes), box=None, pad_edge=False)
        for column in confusion.columns[1:]:
            column.justify = "right"
        for name, row in zip(found.classes, found.confusion, strict=True):
            confusion.add_row(name, *map(str, row))
        out.print(confusion)
