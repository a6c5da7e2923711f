"""Turns measured costs of faults into the doctor's table, and tests how well what it expects ranks faults.

    cd benchmarks/results
    python ../doctor/calibrate.py doctor-costs.json --out doctor-ranks.json --write ../../src/lowres/doctor/costs.json
    python ../doctor/calibrate.py doctor-costs.json doctor-costs-late.json --out doctor-ranks-late.json

Of several files, each gives the operators that no later one has: few images for many epochs for what works late.

An operator's cost is the share that a fault takes of the accuracy above chance, the mean over its programs. A short
training says which faults cost more than others, not how many points they cost in the end, so measured costs are
brought to the scale of what reports expect: by one factor, with which the sums over all faults are equal. What a report
expects of a fault is then moved halfway to what faults of its code were measured to cost (by the geometric mean, so
that a slight case stays slighter than a grave one), within the range that the register has from longer trainings. Where
faults of its code were measured to cost nothing, the report's figure stands: a short training does not acquit, there
are faults that help as long as steps are few.

The test calibrates on one half of the operators, in order of their names by turns, and correlates ranks on the other
(Spearman), an operator a point, both ways round; beside it stands the report's figure alone. It is made of all faults,
and of those alone that their training can judge: augmentation, decay, schedules and other kinds that work late are
left out where they come from the first file, and faults that mislead about the figure, since they take nothing from
it. The table that is written has only the latter, of all operators.
"""

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from scipy import stats

import lowres.doctor.checks  # noqa: F401 - its modules register themselves
from lowres.doctor import CHECKS
from lowres.doctor.costs import Costs
from lowres.doctor.proof.verdicts import REGULARISING, SCHEDULES
from lowres.doctor.report import REPORTING
from lowres.files import write_json

Row = Mapping[str, Any]
CHANCE = 10.0
"""Accuracy, in percent, of a network that has learned nothing of ten classes."""


def operators(rows: Sequence[Row]) -> list[Row]:
    """One row an operator: its first program's, with the mean share over its programs, in percent."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["operator"], []).append(row)
    return [{**own[0], "share": fmean(map(share, own))} for _, own in sorted(found.items())]


def latest(files: Sequence[Sequence[Row]]) -> list[Row]:
    """The rows that were measured; those of an operator from the last file that has any."""
    found: dict[str, list[Row]] = {}
    for rows in files:
        own: dict[str, list[Row]] = {}
        for row in rows:
            if row.get("cost"):
                own.setdefault(row["operator"], []).append(row)
        found |= own
    return [row for own in found.values() for row in own]


def judged(documents: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The operators that their training can judge: what works late from a later file than the first."""
    early, *late = ([row for row in one["operators"] if row["kind"] not in REPORTING] for one in documents)
    return operators(latest([[row for row in early if row["kind"] not in (*REGULARISING, *SCHEDULES)], *late]))


def source_of(paths: Sequence[Path], documents: Sequence[Mapping[str, Any]]) -> str:
    """Where costs were measured, and how long the trainings were."""
    sizes = [(path, document["size"]) for path, document in zip(paths, documents, strict=True)]
    said = [f"{path.name} ({size['epochs']} epochs on {size['images']:,} images)" for path, size in sizes]
    return f"measured: benchmarks/results/{', '.join(said)}, {documents[0]['size']['seeds']} seeds"


def share(row: Row) -> float:
    """What a fault takes of the accuracy above chance, in percent."""
    return 100 * float(row["cost"]["mean"] / max(1.0, row["clean"] - CHANCE))


def scale_of(known: Sequence[Row]) -> float:
    """Points that reports expect for each percent that was measured."""
    return float(sum(one["expected"] for one in known)) / max(1.0, sum(one["share"] for one in known))


def factors(known: Sequence[Row]) -> dict[str, float]:
    """Factors of what reports expect, by code; of the codes whose faults cost any."""
    known = [row for row in known if row["code"]]
    scale, logs = scale_of(known), dict[str, list[float]]()
    for row in known:
        if row["share"] > 0 and row["expected"] > 0:
            logs.setdefault(row["code"], []).append(math.log(scale * row["share"] / row["expected"]))
    return {code: round(math.exp(fmean(own) / 2), 2) for code, own in sorted(logs.items())}


def calibrated(known: Sequence[Row], row: Row) -> float:
    """Points that a fault is expected to cost, by the report and by others that were measured."""
    return Costs(factors(known)).weigh(row["code"], row["expected"], CHECKS[row["code"]].cost)


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
        measured = [row["share"] for row in other]
        found[name] = {
            "calibrated": correlation([calibrated(known, row) for row in other], measured),
            "report": correlation([row["expected"] for row in other], measured),
        }
    return found


def main() -> None:
    """Prints the test and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("costs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, help="the JSON file of the test")
    parser.add_argument("--write", type=Path, help="put the table of the operators that short trainings can judge here")
    arguments = parser.parse_args()
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in arguments.costs]
    rows, suited = operators(latest([document["operators"] for document in documents])), judged(documents)
    result = {"all": tested(rows), "judged by a training that suits them": tested(suited)}
    print(json.dumps(result, indent=1))
    if arguments.out:
        write_json(arguments.out, {"source": source_of(arguments.costs, documents)} | result)
    if arguments.write:
        table = {"source": source_of(arguments.costs, documents), "factors": factors(suited)}
        arguments.write.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
