"""Runs a speed-run script as it stands and prints the accuracy and seconds of each of its runs, a JSON line each.

For scripts of airbench's kind: one file, a GPU, a table on standard output with a row for each run's final evaluation
that names `eval` in its column `epoch`. What they call `time_seconds` is taken as it is: training and evaluation,
without compilation and the first, warming run. A process of its own for `compare.py`.

    python benchmarks/peers/record.py CHECKOUT/airbench94_muon.py --runs 20
"""

import argparse
import io
import json
import os
import runpy
import sys
from pathlib import Path

from data import accept_batches


class Table(io.TextIOBase):
    """Reads the script's table while it is printed, and ends the process after so many runs."""

    def __init__(self, runs: int, out: int) -> None:
        self.runs = runs
        self.out = out
        self.text = ""
        self.columns: list[str] = []
        self.warming = False
        self.done = 0

    def write(self, text: str) -> int:
        *lines, self.text = (self.text + text).split("\n")
        for line in lines:
            sys.stderr.write(line + "\n")
            self._read([cell.strip() for cell in line.strip().strip("|").split("|")])
        return len(text)

    def _read(self, cells: list[str]) -> None:
        if "epoch" in cells:
            self.columns = cells
        if len(cells) != len(self.columns):
            return
        row = dict(zip(self.columns, cells, strict=True))
        self.warming |= row.get("run", "").startswith("warm")
        if row["epoch"] != "eval":
            return
        if self.warming:
            self.warming = False
            return
        accuracy = 100 * float(row.get("tta_val_acc") or row["val_acc"])
        seconds = float(row.get("time_seconds") or row["total_time_seconds"])
        os.write(self.out, (json.dumps({"accuracy": accuracy, "seconds": seconds}) + "\n").encode())
        self.done += 1
        if self.done == self.runs:
            os._exit(0)


def main() -> None:
    """Runs one script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("script", type=Path)
    parser.add_argument("--runs", type=int, default=20)
    asked = parser.parse_args()
    accept_batches()
    script = asked.script.resolve()
    sys.stdout = Table(asked.runs, os.dup(1))
    sys.path.insert(0, str(script.parent))
    sys.argv = [str(script)]  # some read their own text
    runpy.run_path(str(script), run_name="__main__")


if __name__ == "__main__":
    main()
