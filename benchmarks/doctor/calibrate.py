"""Turns measured costs of faults into the doctor's table, and tests how well such a table ranks faults.

    python benchmarks/doctor/calibrate.py benchmarks/results/doctor-costs.json
    python benchmarks/doctor/calibrate.py benchmarks/results/doctor-costs.json --write src/lowres/doctor/costs.json

A code's points are the median over the operators of its kind, in points of the short trainings. The test fits on
one half of the operators, in order of their names by turns, and correlates ranks on the other (Spearman); as well
for what the register holds them to cost. The table that is written is fitted on all.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from scipy import stats

import lowres.doctor.checks  # noqa: F401 - its modules register themselves
from lowres.doctor import CHECKS

Row = Mapping[str, Any]


def fit(rows: Sequence[Row]) -> dict[str, float]:
    """Points by code: the median of the costs of all operators whose fault the code may name."""
    costs: dict[str, list[float]] = {}
    for row in rows:
        for code in row["codes"]:
            if CHECKS[code].kind == row["kind"]:
                costs.setdefault(code, []).append(row["cost"]["mean"])
    return {code: round(max(0.0, median(values)), 2) for code, values in sorted(costs.items())}


def predicted(row: Row, table: Mapping[str, float]) -> float | None:
    """What a table says of a row's fault; None where it has no code for it."""
    known = [table[code] for code in row["codes"] if CHECKS[code].kind == row["kind"] and code in table]
    return median(known) if known else None


def halves(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Operators in order of their names, by turns; an operator's programs stay together."""
    names = sorted({row["operator"] for row in rows})
    first = set(names[::2])
    return [row for row in rows if row["operator"] in first], [row for row in rows if row["operator"] not in first]


def correlation(rows: Sequence[Row], table: Mapping[str, float]) -> dict[str, Any]:
    """Spearman's rank correlation of measured costs with a table's."""
    pairs = [(said, row["cost"]["mean"]) for row in rows if (said := predicted(row, table)) is not None]
    if len(pairs) < 3:
        return {"n": len(pairs), "rho": None, "p": None}
    found = stats.spearmanr([a for a, _ in pairs], [b for _, b in pairs])
    return {"n": len(pairs), "rho": round(float(found.statistic), 3), "p": round(float(found.pvalue), 4)}


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
    rows = [row for row in document["operators"] if row.get("cost")]
    fitted, other = halves(rows)
    result = {"fitted": correlation(other, fit(fitted)), "register": correlation(other, register())}
    print(json.dumps(result, indent=1))
    if arguments.write:
        size = document["size"]
        where = f"benchmarks/results/{arguments.costs.name}, {size['epochs']} epochs on {size['images']:,} images"
        table = {"source": f"measured: {where}, {size['seeds']} seeds", "points": fit(rows)}
        arguments.write.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
