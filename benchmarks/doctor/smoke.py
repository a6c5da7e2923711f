"""Runs programs of the bench to their end, cut short: two epochs, a few images. Says which of them fail.

python benchmarks/doctor/smoke.py --data-dir FOLDER [--only clean alike]
"""

import argparse
import gc
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

import capture
import torch
from programs import Program, all_programs, render


def shortened(program: Program) -> str:
    """The program's file with two epochs, where it declares how many."""
    source = program.source
    if source.base != "xresnet":
        source = source.set("epochs", 12 if source.base == "vit" else 2)  # its warm-up needs eleven
    return render(source).replace("EPOCHS = 180", "EPOCHS = 2")


def main() -> None:
    """Runs them, one after another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--only", nargs="+", default=["clean", "alike", "published"])
    parser.add_argument("--names", nargs="+", default=[""], help="parts of names")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCH_HOME"] = folder
        capture.stand_in_weights(Path(folder))
        for program in all_programs():
            if program.group not in arguments.only or not any(part in program.name for part in arguments.names):
                continue
            path = Path(folder) / (program.name + program.source.style.suffix)
            path.write_text(shortened(program), encoding="utf-8")
            started = time.perf_counter()
            try:
                seen = capture.run(path, arguments.data_dir, batches=2, images=4, stop=False)
                last = seen.output.strip().splitlines()[-1:]
                print(
                    f"ok    {program.name}: {time.perf_counter() - started:.1f} s, {seen.steps} steps, {last}",
                    flush=True,
                )
            except Exception:  # whatever a program raises is what is asked for
                failed += 1
                print(f"FAILS {program.name}\n{traceback.format_exc(limit=-3)}")
            seen = None
            gc.collect()  # the program's objects refer to each other, and its data sets are large
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
