"""Turns measured costs of faults into the doctor's table, and tests how well such a table ranks faults.

    python benchmarks/doctor/calibrate.py benchmarks/results/doctor-costs.json
    python benchmarks/doctor/calibrate.py benchmarks/results/doctor-costs.json --write src/lowres/doctor/costs.json

An operator's cost is the mean over its programs, a code's the median over the operators of its kind, in points of the
short trainings. The test fits on one half of the operators, in order of their names by turns, and correlates ranks on
the other (Spearman), an operator a point; beside it, on the same operators, what the register holds them to cost. It is
made of all kinds of faults, and of those alone that short trainings can judge: augmentation, decay, schedules and other
kinds that work late say little there. The table that is written has only the latter, fitted on all operators.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

from scipy import stats

import lowres.doctor.checks  # noqa: F401 - its modules register themselves
from lowres.doctor import CHECKS
from lowres.doctor.proof.verdicts import REGULARISING, SCHEDULES

Row = Mapping[str, Any]


def operators(rows: Sequence[Row]) -> list[Row]:
    """One row an operator: its first program's, with the mean cost over its programs."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["operator"], []).append(row)
    return [{**own[0], "points": fmean(one["cost"]["mean"] for one in own)} for _, own in sorted(found.items())]


def fit(rows: Sequence[Row]) -> dict[str, float]:
    """Points by code: the median of the costs of all operators whose fault the code may name."""
    costs: dict[str, list[float]] = {}
    for row in rows:
        for code in row["codes"]:
            if CHECKS[code].kind == row["kind"]:
                costs.setdefault(code, []).append(row["points"])
    return {code: round(max(0.0, median(values)), 2) for code, values in sorted(costs.items())}


def predicted(row: Row, table: Mapping[str, float]) -> float | None:
    """What a table says of a row's fault; None where it has no code for it."""
    known = [table[code] for code in row["codes"] if CHECKS[code].kind == row["kind"] and code in table]
    return median(known) if known else None


def correlation(rows: Sequence[Row], table: Mapping[str, float]) -> dict[str, Any]:
    """Spearman's rank correlation of measured costs with a table's."""
    pairs = [(said, row["points"]) for row in rows if (said := predicted(row, table)) is not None]
    if len(pairs) < 3:
        return {"n": len(pairs), "rho": None, "p": None}
    found = stats.spearmanr([a for a, _ in pairs], [b for _, b in pairs])
    return {"n": len(pairs), "rho": round(float(found.statistic), 3), "p": round(float(found.pvalue), 4)}


def tested(rows: Sequence[Row]) -> dict[str, Any]:
    """A table fitted on one half of the operators, and the register, on those of the other half that both know."""
    table = fit(rows[::2])
    other = [row for row in rows[1::2] if predicted(row, table) is not None]
    return {"fitted": correlation(other, table), "register": correlation(other, register())}


def register() -> dict[str, float]:
    """The middle of each code's range in the register."""
    return {code: sum(entry.cost) / 2 for code, entry in CHECKS.items()}


def main() -> None:
    """Prints the test and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("costs", type=Path)
    parser.add_argument("--write", type=Path, help="put the table of all operators here")
    arguments = parser.parse_args()
    document = json.loads(arguments.costs.read_text(encoding="utf-8"))
    rows = operators([row for row in document["operators"] if row.get("cost")])
    early = [row for row in rows if row["kind"] not in (*REGULARISING, *SCHEDULES)]
    print(json.dumps({"all kinds": tested(rows), "kinds that short trainings can judge": tested(early)}, indent=1))
    if arguments.write:
        size = document["size"]
        where = f"benchmarks/results/{arguments.costs.name}, {size['epochs']} epochs on {size['images']:,} images"
        table = {"source": f"measured: {where}, {size['seeds']} seeds", "points": fit(early)}
        arguments.write.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
