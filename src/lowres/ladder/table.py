"""The table of a ladder: what each rung reached, what it gained on the one below, and the verdict.

Plain data, written as JSON, Markdown, CSV and for the terminal. Every form says what the figures are of.
"""

import csv
import dataclasses
import io
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lowres import recipes
from lowres.errors import UserError
from lowres.ladder import definition
from lowres.ladder.definition import Ladder, Rung
from lowres.ladder.statistics import FEWEST, Comparison, Sample, describe, judge

if TYPE_CHECKING:
    from rich.table import Table as RichTable

FORMAT = 1


@dataclass(frozen=True)
class Row:
    """One rung.

    Attributes:
        rung: Its name.
        change: What it changes, in words; "" for the first.
        published: The accuracy that somebody published for it, in percent.
        accuracies: Last-epoch test accuracy in percent, by seed.
        sample: Their mean, deviation and 95 % interval; None without any.
        comparison: With the rung below; None for the first rung and where the two share no seed.
    """

    rung: str
    change: str
    published: float | None
    accuracies: Mapping[int, float]
    sample: Sample | None
    comparison: Comparison | None


@dataclass(frozen=True)
class Table:
    """A ladder's results.

    Attributes:
        ladder: As it was run.
        seeds: That were asked for.
        margin: The difference worth telling, in points.
        rows: One a rung, from the ground up.
    """

    ladder: Ladder
    seeds: tuple[int, ...]
    margin: float
    rows: tuple[Row, ...]

    @property
    def caption(self) -> str:
        """What the figures are: epochs, data, seeds, last epoch."""
        lengths = sorted({recipe.epochs for recipe in self.ladder.recipes()})
        epochs = str(lengths[0]) if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]}"
        missing = len(self.seeds) * len(self.rows) - sum(len(row.accuracies) for row in self.rows)
        return (
            f"{self.ladder.name}: last-epoch test accuracy in percent on {self.ladder.data}, {epochs} "
            f"epoch{'' if epochs == '1' else 's'} a run, {_seeds(self.seeds)}, paired by seed; "
            f"margin {self.margin:g} points. "
            + (f"{missing} of {len(self.seeds) * len(self.rows)} cells are missing. " if missing else "")
            + "Published figures are their sources' own, at their own length."
        )

    @property
    def explanation(self) -> str:
        """How the verdicts were reached."""
        return (
            "Gain: mean paired difference to the rung below, in points. p: paired t-test, Holm-corrected over the "
            "ladder; flip p: sign-flip test, not corrected. Intervals: 95 %, Student's t. No difference: two "
            f"one-sided t-tests at the margin. No verdict below {FEWEST} seeds. More seeds: for 80 % power at the "
            "observed gain, or at the margin where that is larger."
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, from which `from_json` makes the table again."""
        rows = []
        for row, recipe in zip(self.rows, self.ladder.recipes(), strict=True):
            compared = row.comparison
            rows.append(
                {
                    "rung": row.rung,
                    "change": row.change,
                    "published": row.published,
                    "recipe_sha256": recipes.fingerprint(dataclasses.replace(recipe, seed=0)),
                    "accuracies": {str(seed): value for seed, value in row.accuracies.items()},
                    **(dataclasses.asdict(row.sample) if row.sample else {}),
                    "against_below": dataclasses.asdict(compared) | {"verdict": compared.verdict} if compared else None,
                }
            )
        return {
            "format": FORMAT,
            "caption": self.caption,
            "explanation": self.explanation,
            "seeds": list(self.seeds),
            "margin": self.margin,
            "ladder": definition.to_dict(self.ladder),
            "rows": rows,
        }

    def to_markdown(self) -> str:
        """A Markdown table with its caption above and its explanation below."""
        head = ["rung", "seeds", "mean", "sd", "95 % interval", "published", "gain", "95 % interval", "p", "flip p"]
        lines = [
            self.caption,
            "",
            f"| {' | '.join([*head, 'verdict'])} |",
            "| --- |" + " ---: |" * (len(head) - 1) + " --- |",
            *("| " + " | ".join(cell.replace("|", "\\|") for cell in _cells(row)) + " |" for row in self.rows),
            "",
            self.explanation,
        ]
        return "\n".join(lines) + "\n"

    def to_csv(self) -> str:
        """Every figure in full, one line a rung; what all lines share stands in columns of its own."""
        lengths = [recipe.epochs for recipe in self.ladder.recipes()]
        text = io.StringIO()
        writer = csv.DictWriter(text, _CSV, lineterminator="\n")
        writer.writeheader()
        for row, epochs in zip(self.rows, lengths, strict=True):
            sample, compared = row.sample, row.comparison
            gain = compared.gain if compared else None
            figures = {
                "ladder": self.ladder.name,
                "data": self.ladder.data,
                "epochs": epochs,
                "figure": "last-epoch test accuracy, %",
                "rung": row.rung,
                "change": row.change,
                "seeds": " ".join(map(str, row.accuracies)),
                "published": row.published,
                **({key: getattr(sample, key) for key in ("mean", "deviation", "low", "high")} if sample else {}),
            }
            if compared and gain:
                figures |= {f"gain_{key}": getattr(gain, key) for key in ("mean", "deviation", "low", "high")}
                figures |= {key: getattr(compared, key) for key in ("p", "p_flip", "p_holm", "p_equivalent")}
                figures |= {"margin": compared.margin, "verdict": compared.verdict}
            writer.writerow(figures)
        return text.getvalue()

    def to_rich(self) -> "RichTable":
        """The rows, for a terminal; `caption` belongs above them."""
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(box=None, pad_edge=False)
        for name in ("rung", "seeds", "mean", "sd", "95 % interval", "published", "gain", "95 % interval", "p", "flip"):
            table.add_column(name, justify="left" if name == "rung" else "right", overflow="fold")
        table.add_column("verdict", overflow="fold")
        for row in self.rows:
            word = row.comparison.word if row.comparison else ""
            *figures, verdict = _cells(row)
            table.add_row(*map(Text, figures), Text(verdict, style=_STYLES.get(word, "")))
        return table


_STYLES = {"pays": "bold green", "harms": "bold red", "no difference": "cyan"}
_CSV = (
    *("ladder", "data", "epochs", "figure", "rung", "change", "seeds", "published"),
    *("mean", "deviation", "low", "high"),
    *("gain_mean", "gain_deviation", "gain_low", "gain_high"),
    *("p", "p_flip", "p_holm", "p_equivalent", "margin", "verdict"),
)


def make_table(
    ladder: Ladder, accuracies: Mapping[str, Mapping[int, float]], seeds: Sequence[int], margin: float
) -> Table:
    """Judges a ladder.

    Args:
        ladder: As it was run.
        accuracies: Last-epoch test accuracy in percent, by rung and seed; cells may be missing.
        seeds: That were asked for.
        margin: The difference worth telling, in points.

    Raises:
        UserError: The margin is not above zero.
    """
    found = [dict(sorted(accuracies.get(rung.name, {}).items())) for rung in ladder.rungs]
    gains = [
        [above[seed] - below[seed] for seed in above if seed in below] for below, above in itertools.pairwise(found)
    ]
    rows = tuple(
        Row(
            rung.name,
            _change(rung),
            rung.published,
            values,
            describe(list(values.values())) if values else None,
            compared,
        )
        for rung, values, compared in zip(ladder.rungs, found, [None, *judge(gains, margin)], strict=True)
    )
    return Table(ladder, tuple(sorted(seeds)), margin, rows)


@dataclass(frozen=True)
class _FileRow:
    rung: str
    accuracies: dict[str, float]


def from_json(values: Mapping[str, Any], where: str) -> Table:
    """The table that `Table.to_json` wrote; the statistics are computed again from its accuracies.

    Args:
        values: As read from the file.
        where: Its name, for errors.

    Raises:
        UserError: It is not what `to_json` writes.
    """
    try:
        if values["format"] != FORMAT:
            raise UserError(f"{where} has format {values['format']!r}, but this lowres reads {FORMAT}")
        rows = [
            recipes.convert(_FileRow, {"rung": row["rung"], "accuracies": row["accuracies"]}, where)
            for row in values["rows"]
        ]
        ladder = definition.from_dict(values["ladder"], where)
        accuracies = {row.rung: {int(seed): value for seed, value in row.accuracies.items()} for row in rows}
        return make_table(ladder, accuracies, [int(seed) for seed in values["seeds"]], float(values["margin"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{where} is damaged: {type(error).__name__} {error}; delete it, the cells are kept") from None


def _change(rung: Rung) -> str:
    return ", ".join(f"{key}={_plain(value)}" for key, value in rung.changes.items())


def _plain(value: Any) -> str:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, Mapping) and "name" in value:
        return str(value["name"])
    return str(list(value)) if isinstance(value, tuple) else str(value)


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    if list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"seeds {seeds[0]} to {seeds[-1]}"
    return "seeds " + ", ".join(map(str, seeds))


def _cells(row: Row) -> list[str]:
    """A row's figures as they are read: rung to verdict."""
    sample, compared = row.sample, row.comparison
    gain = compared.gain if compared else None
    return [
        row.rung,
        str(len(row.accuracies)),
        _figure(sample.mean if sample else None),
        _figure(sample.deviation if sample else None),
        _interval(sample, ".2f"),
        _figure(row.published),
        _figure(gain.mean if gain else None, "+.2f"),
        _interval(gain, "+.2f"),
        _p(compared.p_holm if compared else None),
        _p(compared.p_flip if compared else None),
        compared.verdict if compared else "",
    ]


def _figure(value: float | None, form: str = ".2f") -> str:
    return "" if value is None else f"{value:{form}}"


def _interval(sample: Sample | None, form: str) -> str:
    if sample is None or sample.low is None or sample.high is None:
        return ""
    return f"{sample.low:{form}} to {sample.high:{form}}"


def _p(value: float | None) -> str:
    return "" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
