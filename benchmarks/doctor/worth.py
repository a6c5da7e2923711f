"""How often `--fix` succeeds, and how often it harms, over the bench's single-fault programs.

    cd benchmarks/results
    python ../doctor/worth.py doctor-fixes.json doctor-fixed.json doctor-fixed-late.json --out doctor-worth.json

The first file is what `fixes.py` wrote: a program that is the sound one again, or trains to the same weights, has its
accuracy without a training. The others are what `costs.py --fixed` wrote of other programs; one that several have
counts as in the last: few images for many epochs, for faults that work late. A fix succeeds if the program
comes within 0.5 points of the sound one, and harms if it gets worse by more than 0.3 points than it was, by the mean
over seeds; beside a mean stands its 95 % interval, since few seeds of a short training say little. What was not trained
counts as neither, and is told.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lowres.files import write_json
from lowres.ladder.statistics import describe

NEAR, WORSE = 0.5, 0.3
"""Points: below the sound program that still are a success; below the faulty one that are a harm."""
Row = Mapping[str, Any]


def joined(fixes: Sequence[Row], trained: Sequence[Row]) -> list[dict[str, Any]]:
    """Each program that is not the sound one again: points that fixes leave, and that they gain; None if untrained."""
    known = {"-".join((one["operator"], one["base"], one["style"])): one for one in trained if one.get("left")}
    found = []
    for row in fixes:
        if row["alike"]:
            continue
        own = known.get(row["program"])
        left, gain = None, None
        if own is not None:
            left = own["left"]["points"]
            gain = [round(cost - rest, 3) for cost, rest in zip(own["cost"]["points"], left, strict=True)]
        found.append({"program": row["program"], "left": left, "gain": gain})
    return found


def counted(fixes: Sequence[Row], others: Sequence[Row]) -> dict[str, int]:
    """How many succeed, harm and were not trained."""
    trained = [row for row in others if row["left"] is not None]
    near = [row for row in trained if describe(row["left"]).mean <= NEAR]
    worse = [row for row in trained if describe(row["gain"]).mean < -WORSE]
    return {
        "programs": len(fixes),
        "as the sound one": len(fixes) - len(others),
        f"within {NEAR} points": len(near),
        f"worse by more than {WORSE}": len(worse),
        "not trained": len(others) - len(trained),
    }


def said(values: Sequence[float] | None) -> str:
    """A mean and its interval in words."""
    if values is None:
        return "not trained"
    one = describe(values)
    return f"{one.mean:+.1f}" + ("" if one.low is None else f" ({one.low:+.1f} to {one.high:+.1f})")


def main() -> None:
    """Prints a line a program, then the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fixes", type=Path)
    parser.add_argument("trained", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, help="the JSON file")
    arguments = parser.parse_args()
    read = [json.loads(path.read_text(encoding="utf-8")) for path in (arguments.fixes, *arguments.trained)]
    if len({one["sources"] for one in read}) > 1:
        parser.error("the files are of several doctors: measure all with the same one")
    fixes = read[0]["rows"]
    others = joined(fixes, [row for one in read[1:] for row in one["operators"]])
    print("program: points below the sound one; points gained on the faulty one")
    for row in others:
        print(f"{row['program']}: {said(row['left'])}; {said(row['gain'])}")
    counts = counted(fixes, others)
    print(json.dumps(counts))
    if arguments.out:
        of = {"sources": read[0]["sources"], "files": [path.name for path in (arguments.fixes, *arguments.trained)]}
        write_json(arguments.out, of | {"counted": counts, "others": others})


if __name__ == "__main__":
    main()
