"""Turns measured costs of faults into the doctor's table, and tests how well what it expects ranks faults.

    python benchmarks/doctor/calibrate.py benchmarks/results/doctor-costs.json
    python benchmarks/doctor/calibrate.py benchmarks/results/doctor-costs.json --write src/lowres/doctor/costs.json

An operator's cost is the mean over its programs, in points of the short trainings; a code's the median over the
operators that it names. The test calibrates on one half of the operators, in order of their names by turns, and
correlates ranks on the other (Spearman), an operator a point, both ways round. There, a fault is expected to cost the
mean of what its likes cost in the first half (those of its code; if there are none, of its kind) and of the report's
own figure, brought to the scale of the short trainings. Beside it stands that figure alone. The test is made of all
kinds of faults, and of those alone that short trainings can judge: augmentation, decay, schedules and other kinds that
work late say little there. The table that is written has only the latter, of all operators.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

from scipy import stats

from lowres.doctor.proof.verdicts import REGULARISING, SCHEDULES

Row = Mapping[str, Any]


def operators(rows: Sequence[Row]) -> list[Row]:
    """One row an operator: its first program's, with the mean cost over its programs."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["operator"], []).append(row)
    return [{**own[0], "points": fmean(one["cost"]["mean"] for one in own)} for _, own in sorted(found.items())]


def fit(rows: Sequence[Row]) -> dict[str, float]:
    """Points by code: the median of the costs of all operators that it names."""
    costs: dict[str, list[float]] = {}
    for row in rows:
        if row["code"]:
            costs.setdefault(row["code"], []).append(row["points"])
    return {code: round(max(0.0, median(values)), 2) for code, values in sorted(costs.items())}


def calibrated(known: Sequence[Row], row: Row) -> float:
    """What a fault is expected to cost in a short training, by the report and by others that were measured."""
    scale = sum(one["points"] for one in known) / sum(one["expected"] for one in known)
    likes = [one["points"] for one in known if one["code"] == row["code"]]
    likes = likes or [one["points"] for one in known if one["kind"] == row["kind"]]
    return fmean([scale * row["expected"], *likes])


def correlation(expected: Sequence[float], measured: Sequence[float]) -> dict[str, Any]:
    """Spearman's rank correlation."""
    if len(measured) < 3 or 1 in (len(set(expected)), len(set(measured))):
        return {"n": len(measured), "rho": None, "p": None}
    found = stats.spearmanr(expected, measured)
    return {"n": len(measured), "rho": round(float(found.statistic), 3), "p": round(float(found.pvalue), 4)}


def tested(rows: Sequence[Row]) -> dict[str, Any]:
    """Each half as expected by the other and by the report alone."""
    rows = [row for row in rows if row["code"]]
    found: dict[str, Any] = {}
    for name, known, other in (("second half", rows[::2], rows[1::2]), ("first half", rows[1::2], rows[::2])):
        measured = [row["points"] for row in other]
        found[name] = {
            "calibrated": correlation([calibrated(known, row) for row in other], measured),
            "report": correlation([row["expected"] for row in other], measured),
        }
    return found


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
