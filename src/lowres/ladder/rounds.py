"""Which seeds help most: the next round of a ladder that is climbed until all is decided."""

import math
from collections.abc import Callable, Container
from dataclasses import dataclass

from scipy import special

from lowres.ladder.looks import next_look, share
from lowres.ladder.statistics import LEVEL, Comparison, power
from lowres.ladder.table import Row, Table, common_seeds

DECIDED = ("pays", "harms", "no difference")

Missing = frozenset[tuple[str, int]]
"""Cells by rung and seed."""


@dataclass(frozen=True)
class _Step:
    """A comparison brought to its next look.

    Attributes:
        cells: That it takes.
        worth: Its chance to be decided then, over what the cells cost.
    """

    cells: Missing
    worth: float


def next_round(
    table: Table, cost: Callable[[str], float], hands: int = 1, barred: Container[tuple[str, int]] = ()
) -> Missing:
    """The cells to train next: those that bring the most promising undecided rung to its next look.

    Promising is a rung by its chance to be decided at that look, if its true gain is the one observed so far,
    over the time that its cells and those of the rung below take. With several hands, the next best rungs follow
    until there is work for all.

    Args:
        table: With a first look.
        cost: What a cell of a rung takes, in any unit.
        hands: Cells that are trained at once.
        barred: Cells that cannot be had; a rung that needs one of them is left as it is.

    Returns:
        Rung and seed of each cell; none where all is decided, or cannot be.
    """
    undone = sum(row.comparison is None or row.comparison.word not in DECIDED for row in table.rows[1:])
    steps: list[_Step] = []
    for below, row in zip(table.rows, table.rows[1:], strict=False):
        if row.comparison is None or row.comparison.word not in DECIDED:
            step = _step(table, below, row, cost, undone)
            if not any(cell in barred for cell in step.cells):
                steps.append(step)
    wanted: Missing = frozenset()
    for step in sorted(steps, key=lambda step: -step.worth):
        if len(wanted) >= max(1, hands):
            break
        wanted |= step.cells
    return wanted


def _step(table: Table, below: Row, row: Row, cost: Callable[[str], float], undone: int) -> _Step:
    first = table.first_look or 0
    size = next_look(first, len(common_seeds(below.accuracies, row.accuracies, first)))
    cells = frozenset((one.rung, seed) for one in (below, row) for seed in range(size) if seed not in one.accuracies)
    compared = row.comparison
    chance = 1.0 if compared is None else decision(compared, size, LEVEL * share(compared.looks + 1), undone)
    return _Step(cells, chance / max(sum(cost(rung) for rung, _ in cells), 1e-9))


def decision(compared: Comparison, size: int, level: float, undone: int = 1) -> float:
    """The chance that a comparison is decided at a look, if its true gain and deviation are those observed.

    Args:
        compared: As it stands.
        size: Seeds of the look.
        level: What the look may spend.
        undone: Comparisons that share the level of the t-test.
    """
    gain = compared.gain
    if not gain.deviation:
        return 1.0
    seen = power(size, gain.mean, gain.deviation, level / undone)
    scale = math.sqrt(size) / gain.deviation
    critical = float(special.stdtrit(size - 1, 1 - level))
    below = float(special.nctdtr(size - 1, (gain.mean - compared.margin) * scale, -critical))
    above = 1 - float(special.nctdtr(size - 1, (gain.mean + compared.margin) * scale, critical))
    # Both one-sided tests together, by Bonferroni's bound; SciPy gives up far in the tails, where they are sure.
    sure = [1.0 if math.isnan(value) else value for value in (below, above)]
    return max(seen, sum(sure) - 1, 1e-6)
