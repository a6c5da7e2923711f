"""The table of a ladder: what each rung reached, what it gained on the one below, and the verdict.

Plain data, written as JSON, Markdown, CSV and for the terminal. Every form says what the figures are of.
"""

import csv
import dataclasses
import io
import itertools
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lowres import recipes
from lowres.errors import UserError
from lowres.ladder import definition, words
from lowres.ladder.definition import Ladder
from lowres.ladder.looks import looks_until
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
        first_look: Seeds of the first look, where seeds were added until all was decided; None: one look.
        machines: How many cells were trained on which machine, in words.
    """

    ladder: Ladder
    seeds: tuple[int, ...]
    margin: float
    rows: tuple[Row, ...]
    first_look: int | None = None
    machines: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def caption(self) -> str:
        """What the figures are: epochs, data, seeds, last epoch."""
        wanted = len(self.seeds) * len(self.rows)
        missing = sum(len(set(self.seeds) - set(row.accuracies)) for row in self.rows)
        views = [recipe.tta for recipe in self.ladder.recipes() if recipe.tta != "none"]
        augmented = ""
        if views:
            of = "" if len(views) == len(self.rows) else " of some rungs"
            augmented = f", with test-time augmentation{of} ({', '.join(dict.fromkeys(views))}),"
        seeds = words.seeds(self.seeds) + ("" if self.first_look is None else ", more where undecided")
        return (
            f"{self.ladder.name}: last-epoch test accuracy in percent{augmented} on {self.ladder.data}, "
            f"{words.length(self.ladder)}, "
            f"{seeds}, paired by seed; margin {self.margin:g} points. "
            + (f"{missing} of {wanted} cells are missing. " if missing else "")
            + "Published figures are their sources' own, at their own length."
        )

    @property
    def explanation(self) -> str:
        """How the verdicts were reached, and on what."""
        if self.first_look is None:
            corrected, intervals = "over the ladder", "Intervals: 95 %, Student's t."
        else:
            most = max([self.first_look, *(len(row.accuracies) for row in self.rows)])
            sizes = ", ".join(map(str, looks_until(self.first_look, most)))
            corrected = "over the ladder and its looks"
            intervals = (
                f"Looks at {sizes} seeds of two neighbours, the k-th at 1 / (k (k + 1)) of the level; gains, their "
                "intervals and flip p are those of the last look. Intervals: 95 %, Student's t; of gains, over all "
                "looks together."
            )
        return (
            f"Gain: mean paired difference to the rung below, in points. p: paired t-test, Holm-corrected {corrected}; "
            f"flip p: sign-flip test, not corrected. {intervals} No difference: two one-sided t-tests at the margin. "
            f"No verdict below {max(FEWEST, self.first_look or 0)} seeds. More seeds: for 80 % power at the observed "
            f"gain, or at the margin where that is larger. {words.trained_on(self.machines)}"
        ).rstrip()

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
            "first_look": self.first_look,
            "machines": dict(self.machines),
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
                "base_epochs": self.ladder.epochs,
                "base_own_epochs": self.ladder.own_epochs or self.ladder.epochs,
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
    *("ladder", "data", "epochs", "base_epochs", "base_own_epochs", "figure", "rung", "change", "seeds", "published"),
    *("mean", "deviation", "low", "high"),
    *("gain_mean", "gain_deviation", "gain_low", "gain_high"),
    *("p", "p_flip", "p_holm", "p_equivalent", "margin", "verdict"),
)


def make_table(
    ladder: Ladder,
    accuracies: Mapping[str, Mapping[int, float]],
    seeds: Sequence[int],
    margin: float,
    first_look: int | None = None,
    machines: Mapping[str, int] | None = None,
) -> Table:
    """Judges a ladder.

    Args:
        ladder: As it was run.
        accuracies: Last-epoch test accuracy in percent, by rung and seed; cells may be missing.
        seeds: That were asked for.
        margin: The difference worth telling, in points.
        first_look: Seeds of the first look, where seeds are added until all is decided; None: one look.
        machines: How many cells were trained on which machine, in words.

    Raises:
        UserError: The margin is not above zero.
    """
    found = [dict(sorted(accuracies.get(rung.name, {}).items())) for rung in ladder.rungs]
    gains = [
        [above[seed] - below[seed] for seed in common_seeds(below, above, first_look)]
        for below, above in itertools.pairwise(found)
    ]
    judged = [None, *judge(gains, margin, first_look=first_look)]
    rows = tuple(
        Row(
            rung.name,
            words.change(rung),
            rung.published,
            values,
            describe(list(values.values())) if values else None,
            compared,
        )
        for rung, values, compared in zip(ladder.rungs, found, judged, strict=True)
    )
    return Table(ladder, tuple(sorted(seeds)), margin, rows, first_look, machines or {})


def common_seeds(below: Container[int], above: Iterable[int], first_look: int | None) -> list[int]:
    """The seeds that a rung is compared on with the one below.

    With looks, those from 0 to the first that is missing: what a look sees must not depend on what happened to be
    trained before a ladder was stopped.
    """
    common = sorted(seed for seed in above if seed in below)
    if first_look is None:
        return common
    return [seed for place, seed in enumerate(common) if seed == place]


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
        seeds = [int(seed) for seed in values["seeds"]]
        first_look = values.get("first_look")  # tables from before looks have none
        looks = None if first_look is None else int(first_look)
        machines = {str(name): int(count) for name, count in values.get("machines", {}).items()}
        return make_table(ladder, accuracies, seeds, float(values["margin"]), looks, machines)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{where} is damaged: {type(error).__name__} {error}; delete it, the cells are kept") from None


def _cells(row: Row) -> list[str]:
    """A row's figures as they are read: rung to verdict."""
    sample, compared = row.sample, row.comparison
    gain = compared.gain if compared else None
    return [
        row.rung,
        str(len(row.accuracies)),
        words.figure(sample.mean if sample else None),
        words.figure(sample.deviation if sample else None),
        words.interval(sample, ".2f"),
        words.figure(row.published),
        words.figure(gain.mean if gain else None, "+.2f"),
        words.interval(gain, "+.2f"),
        words.p_value(compared.p_holm if compared else None),
        words.p_value(compared.p_flip if compared else None),
        compared.verdict if compared else "",
    ]
