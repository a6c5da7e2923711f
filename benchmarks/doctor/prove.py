"""Proves the fixes of a script as `lowres doctor --prove` does, and writes the proof with what it was measured on.

    LOWRES_DATA_DIR=FOLDER python benchmarks/doctor/prove.py train.py --budget 10m --out proof.json --picture proof.png

The budget counts by the clock: nothing else should run meanwhile.
"""

import argparse
import os
from pathlib import Path

import torch
from rich.console import Console

from lowres.app.doctor_display import ProofDisplay
from lowres.doctor import examine_script
from lowres.doctor.proof.prove import prove_script
from lowres.doctor.proof.waterfall import show_proof, write_picture
from lowres.files import write_json
from lowres.runs import manifest


def main() -> None:
    """Examines, proves, shows and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("script", type=Path)
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("LOWRES_DATA_DIR", "data")))
    parser.add_argument("--budget", default="10m")
    parser.add_argument("--work", type=Path, help="keeps what was run; by default the user's cache")
    parser.add_argument("--out", type=Path, help="the JSON file")
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    report = examine_script(arguments.script, data_dir=arguments.data_dir)
    with ProofDisplay() as display:
        proof = prove_script(
            report,
            arguments.script,
            data_dir=arguments.data_dir,
            budget=arguments.budget,
            work=arguments.work,
            tell=display,
        )
    show_proof(proof, Console(highlight=False, markup=False, width=180))
    if arguments.out:
        machine = manifest.describe(torch.device("cpu"))
        head = {"script": arguments.script.name, "budget": arguments.budget, "machine": machine}
        write_json(arguments.out, head | {"proof": proof.to_json()})
    if arguments.picture:
        write_picture(arguments.picture, proof)


if __name__ == "__main__":
    main()
