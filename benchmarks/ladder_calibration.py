"""How often a ladder's statistics err, by simulation; prints JSON.

    python benchmarks/ladder_calibration.py > benchmarks/results/ladder-calibration.json

Ladders of eight rungs with five seeds and a deviation of 0.2 points between seeds. Without any true difference:
how many ladders hold a single "pays" or "harms" (at most 5 % may), and how many intervals cover the truth (95 %
should). With a difference of twice the deviation of the paired differences: how often it is seen, against what the
noncentral t distribution says. With a difference of exactly
the margin: how often the equivalence test errs (at most 5 %). With the seeds that 80 % power takes: the power.

With looks, as `lowres ladder --until-decided` has them: ladders begin with three seeds, and the rungs that
`lowres.ladder.rounds` picks get more until all are decided or the cells of the budget are used up. How many of those
without any difference ever hold a "pays" or "harms", with what looks may spend and, to compare, with the whole level at
each look; how many intervals cover; how many with one gain at exactly the margin ever say "no difference" of it; and,
with a single true gain of 0.5 points, how often it is seen and with how many cells.
"""

import argparse
import json
import platform

import numpy as np
import numpy.typing as npt
import scipy

from lowres.ladder import Ladder, Rung, Table, looks, statistics
from lowres.ladder.rounds import next_round
from lowres.ladder.statistics import LEVEL, POWER, equivalence_test, judge, power, seeds_needed
from lowres.ladder.table import make_table
from lowres.recipes import Recipe

RUNGS, SEEDS, DEVIATION, MARGIN = 8, 5, 0.2, 0.2
FIRST_LOOK, CELLS = 3, 100  # of a ladder with looks: seeds at first, cells in all
LADDER = Ladder("simulated", Recipe(), tuple(Rung(str(i), {"epochs": 10 + i}) for i in range(RUNGS)))


def without_difference(repeats: int, draw: np.random.Generator) -> dict[str, float]:
    """Shares of ladders with a false verdict, of intervals that cover, of false claims of no difference."""
    wrong = covered = 0
    for _ in range(repeats):
        gains = np.diff(draw.normal(90.0, DEVIATION, (RUNGS, SEEDS)), axis=0)
        found = judge([list(gain) for gain in gains], MARGIN)
        wrong += any(one is not None and one.word in ("pays", "harms") for one in found)
        covered += sum(one is not None and one.gain.low <= 0.0 <= one.gain.high for one in found)
    return {"ladders_with_a_false_verdict": wrong / repeats, "intervals_cover": covered / repeats / (RUNGS - 1)}


def with_difference(repeats: int, draw: np.random.Generator) -> dict[str, float]:
    """Share of single comparisons that see a difference of twice the deviation, and what was predicted."""
    seen = sum(judge([list(draw.normal(2.0, 1.0, SEEDS))], MARGIN)[0].word == "pays" for _ in range(repeats))
    return {"seen": seen / repeats, "predicted": power(SEEDS, 2.0, 1.0)}


def at_the_margin(repeats: int, draw: np.random.Generator) -> dict[str, float]:
    """Share of equivalence tests that err where the truth is exactly the margin."""
    gains = (list(draw.normal(MARGIN, 0.05, SEEDS)) for _ in range(repeats))
    return {"equivalence_test_errs": sum(equivalence_test(gain, MARGIN) <= LEVEL for gain in gains) / repeats}


def with_the_seeds_asked_for(repeats: int, draw: np.random.Generator) -> dict[str, float]:
    """Share of comparisons that see a difference with the seeds that its true size and deviation ask for."""
    count = seeds_needed(0.5, 1.0)
    seen = sum(judge([list(draw.normal(0.5, 1.0, count))], MARGIN)[0].word == "pays" for _ in range(repeats))
    return {"seeds": count, "seen": seen / repeats, "wanted": POWER}


def until_decided(means: npt.NDArray[np.float64], draw: np.random.Generator) -> tuple[Table, int]:
    """A ladder that is climbed until it is decided or its cells are used up: its table, and the cells it took."""
    figures = {
        rung.name: {seed: float(draw.normal(mean, DEVIATION)) for seed in range(FIRST_LOOK)}
        for rung, mean in zip(LADDER.rungs, means, strict=True)
    }
    truth = dict(zip(figures, means, strict=True))
    used = FIRST_LOOK * RUNGS
    while True:
        table = make_table(LADDER, figures, range(FIRST_LOOK), MARGIN, FIRST_LOOK)
        wanted = next_round(table, lambda rung: 1.0)
        if not wanted or used + len(wanted) > CELLS:
            return table, used
        for rung, seed in sorted(wanted):
            figures[rung][seed] = float(draw.normal(truth[rung], DEVIATION))
        used += len(wanted)


def with_looks_without_difference(repeats: int, draw: np.random.Generator) -> dict[str, float]:
    """Shares of ladders with looks that ever say something false, of intervals that cover; cells used."""
    wrong = covered = cells = most = 0
    for _ in range(repeats):
        table, used = until_decided(np.full(RUNGS, 90.0), draw)
        found = [row.comparison for row in table.rows[1:] if row.comparison is not None]
        wrong += any(one.word in ("pays", "harms") for one in found)
        covered += sum(one.gain.low <= 0.0 <= one.gain.high for one in found)
        most += max(one.looks for one in found)
        cells += used
    return {
        "ladders_with_a_false_verdict": wrong / repeats,
        "intervals_cover": covered / repeats / (RUNGS - 1),
        "mean_looks_at_the_most_looked_at": most / repeats,
        "mean_cells": cells / repeats,
    }


def with_looks_at_the_margin(repeats: int, draw: np.random.Generator) -> dict[str, float]:
    """Share of ladders that say "no difference" of a rung whose gain is exactly the margin."""
    means = np.full(RUNGS, 90.0)
    means[4:] += MARGIN
    wrong = 0
    for _ in range(repeats):
        table, _ = until_decided(means, draw)
        compared = table.rows[4].comparison
        wrong += compared is not None and compared.word == "no difference"
    return {"false_no_difference": wrong / repeats}


def with_looks_with_difference(repeats: int, draw: np.random.Generator) -> dict[str, float]:
    """How often a gain of 0.5 points is seen, and the cells of the whole ladder."""
    means = np.full(RUNGS, 90.0)
    means[4:] += 0.5
    seen = cells = 0
    for _ in range(repeats):
        table, used = until_decided(means, draw)
        compared = table.rows[4].comparison
        seen += compared is not None and compared.word == "pays"
        cells += used
    return {"gain": 0.5, "seen": seen / repeats, "mean_cells": cells / repeats}


def with_looks_at_the_whole_level(repeats: int, draw: np.random.Generator) -> dict[str, float]:
    """What would become of it if each look might spend all: the reason that it may not."""
    share, statistics.share = statistics.share, lambda look: 1.0
    try:
        name = "ladders_with_a_false_verdict"
        return {name: with_looks_without_difference(repeats, draw)[name]}
    finally:
        statistics.share = share


def main() -> None:
    """Simulates and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=6_000, help="simulated ladders and comparisons")
    parser.add_argument("--repeats-with-looks", type=int, default=1_200, help="simulated ladders with looks")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    draw = np.random.default_rng(arguments.seed)
    repeats, ladders = arguments.repeats, arguments.repeats_with_looks
    result = {
        "repeats": repeats,
        "seed": arguments.seed,
        "rungs": RUNGS,
        "seeds": SEEDS,
        "no_true_difference": without_difference(repeats, draw),
        "twice_the_deviation": with_difference(repeats, draw),
        "exactly_the_margin": at_the_margin(repeats, draw),
        "the_seeds_asked_for": with_the_seeds_asked_for(repeats, draw),
        "until_decided": {
            "repeats": ladders,
            "first_look": FIRST_LOOK,
            "looks_at": looks.looks_until(FIRST_LOOK, CELLS),
            "cells": CELLS,
            "no_true_difference": with_looks_without_difference(ladders, draw),
            "exactly_the_margin": with_looks_at_the_margin(ladders // 4, draw),
            "one_true_difference": with_looks_with_difference(ladders // 4, draw),
            "no_true_difference_and_the_whole_level_at_each_look": with_looks_at_the_whole_level(ladders // 4, draw),
        },
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__},
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
