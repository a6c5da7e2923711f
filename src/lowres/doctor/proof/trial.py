"""The process in which one variant of a program trains in earnest, on fewer images and for fewer epochs.

`lowres.doctor.proof.nursery` forks it where processes can be forked, otherwise it is started anew. It is given a
request as JSON and writes what came of it beside. The program is
confined as under the doctor's observation, and every batch is computed.

Two figures come out. The program's own: what its network got right in the last pass over its own evaluation
loader, in the mode it was in then. And the one that variants are compared by: the same network, in that mode and
with that loader's transforms, on test images. They differ where a program validates on training images, which must
not count as a gain. The program's last pass is taken for both if it was one over test images after the last step.
"""

import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import torch

from lowres.doctor.executing import limit_memory, limited, printing, run
from lowres.doctor.frames import Frames
from lowres.doctor.paths import scratch_in
from lowres.doctor.proof.draws import seed_everything
from lowres.doctor.proof.follower import Follower
from lowres.doctor.proof.loaders import Cutter
from lowres.doctor.proof.measuring import Measured, measure, weights
from lowres.doctor.sandbox import confine
from lowres.doctor.serving import Kitchen
from lowres.doctor.source import Source


def main(request_file: str, loaded: dict[str, Any] | None = None) -> None:
    """Does what a request asks and writes `result.json` beside it.

    Args:
        request_file: As JSON: script, source, arguments, home, data_dir, seed, images, test, whole, batch, stop,
            seconds, memory, threads.
        loaded: Data sets that were read before, as `Kitchen` keeps them.
    """
    began = time.perf_counter()
    request = json.loads(Path(request_file).read_text(encoding="utf-8"))
    out = Path(request_file).parent
    script, home, scratch = Path(request["script"]), Path(request["home"]), scratch_in(out)
    file = script.resolve()
    source = Source(str(script), request["source"])
    torch.set_num_threads(request["threads"])
    notes: list[str] = []
    frames = Frames(file.parent, {str(script): source})
    cutter = Cutter(request["seed"], request["images"], request["test"], request["whole"], request["batch"])
    follower = Follower(frames, request["seed"], cutter, request["stop"])
    kitchen = Kitchen(home, Path(request["data_dir"]) if request["data_dir"] else None, notes)
    kitchen.loaded |= loaded or {}
    limit_memory(request["memory"])
    seed_everything(request["seed"])
    measured = Measured(None, "")
    with follower, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kitchen.serve(follower)
        confine(follower, home, scratch, notes)
        sys.path.insert(0, str(file.parent))
        with limited(request["seconds"]), printing(out / "printed") as printed:
            problem, _, ended = run(source, file, request["arguments"], printed)
            if ended and not follower.enough:
                problem = f"{script} took too long: {ended}"
            if not problem and follower.trained():
                follower.off = True
                measured = measure(follower, request["test"])
    result = summary(follower, measured) | {
        "problem": problem,
        "made_up": kitchen.made_up,
        "seconds": time.perf_counter() - began,
    }
    temporary = out / "result.part"
    temporary.write_text(json.dumps(result), encoding="utf-8")
    temporary.replace(out / "result.json")


def summary(follower: Follower, measured: Measured) -> dict[str, Any]:
    """What was seen, in plain values."""
    trained, evaluated = follower.trained(), follower.evaluated()
    last = evaluated[-1] if evaluated else None
    return {
        "figure": measured.percent,
        "figure_of": measured.what,
        "own": last.percent if last else None,
        "training": trained[-1].percent if trained else None,
        "weights": weights(follower),
        "rounds": trained[0].rounds[0] if trained and trained[0].rounds else None,
        "steps": follower.steps,
        "classes": follower.classes,
        "images": sum(one.seen for one in trained),
        "train_seconds": sum(one.seconds for one in trained),
        "evaluated": sum(one.seen for one in evaluated) + measured.images,
        "evaluate_seconds": sum(one.seconds for one in evaluated) + measured.seconds,
    }


if __name__ == "__main__":
    main(sys.argv[1])
    sys.stdout.flush()
    os._exit(0)  # threads and processes that the program left behind end with it
