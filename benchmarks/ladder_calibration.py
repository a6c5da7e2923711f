"""How often a ladder's statistics err, by simulation; prints JSON.

    python benchmarks/ladder_calibration.py > benchmarks/results/ladder-calibration.json

Ladders of eight rungs with five seeds and a deviation of 0.2 points between seeds. Without any true difference:
how many ladders hold a single "pays" or "harms" (at most 5 % may), and how many intervals cover the truth (95 %
should). With a difference of twice the deviation of the paired differences: how often it is seen, against what the
noncentral t distribution says. With a difference of exactly
the margin: how often the equivalence test errs (at most 5 %). With the seeds that 80 % power takes: the power.
"""

import argparse
import json
import platform

import numpy as np
import scipy

from lowres.ladder.statistics import LEVEL, POWER, equivalence_test, judge, power, seeds_needed

RUNGS, SEEDS, DEVIATION, MARGIN = 8, 5, 0.2, 0.2


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


def main() -> None:
    """Simulates and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=6_000, help="simulated ladders and comparisons")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    draw = np.random.default_rng(arguments.seed)
    repeats = arguments.repeats
    result = {
        "repeats": repeats,
        "seed": arguments.seed,
        "rungs": RUNGS,
        "seeds": SEEDS,
        "no_true_difference": without_difference(repeats, draw),
        "twice_the_deviation": with_difference(repeats, draw),
        "exactly_the_margin": at_the_margin(repeats, draw),
        "the_seeds_asked_for": with_the_seeds_asked_for(repeats, draw),
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__},
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
