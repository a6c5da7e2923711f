"""The process in which a user's script runs under observation; `lowres.doctor.script` starts it.

It takes a request as JSON, runs the program cut short, examines what it made, and writes the report as JSON.
"""

import contextlib
import copy
import io
import json
import os
import random
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lowres.doctor.contact import write_sheet
from lowres.doctor.cutting import Cutter
from lowres.doctor.executing import limit_memory, limited, printing, run
from lowres.doctor.frames import Frames
from lowres.doctor.paths import scratch_in
from lowres.doctor.recorder import Recorder
from lowres.doctor.report import Report, examine
from lowres.doctor.sandbox import confine
from lowres.doctor.serving import Kitchen
from lowres.doctor.setup import Setup, from_trace
from lowres.doctor.source import Source, read

FOREIGN = {
    "lightning": "Lightning",
    "pytorch_lightning": "Lightning",
    "accelerate": "Accelerate",
    "keras": "Keras",
    "tensorflow": "TensorFlow",
    "jax": "JAX",
    "fastai": "fastai",
    "ignite": "Ignite",
    "transformers": "the Trainer of transformers",
}
"""Libraries with loops of their own, by module."""


class Observer(Cutter):
    """A cutter that also keeps a copy of each network from before its first pass."""

    def __init__(self, frames: Frames, images: int) -> None:
        super().__init__(frames, images)
        self.pristine: dict[int, nn.Module] = {}

    def forward(self, module: nn.Module, call: Any, arguments: tuple[Any, ...]) -> Any:
        """Copies the network when it is first passed through."""
        if id(module) not in self.trace.models and id(module) not in self.pristine:
            with contextlib.suppress(Exception):  # what cannot be copied is examined as it is
                self.pristine[id(module)] = copy.deepcopy(module)
        return super().forward(module, call, arguments)


def main(request_file: str) -> None:
    """Does what a request asks and writes the report beside it."""
    request = json.loads(Path(request_file).read_text(encoding="utf-8"))
    out = Path(request_file).parent
    script, home, scratch = Path(request["script"]), Path(request["home"]), scratch_in(out)
    source, file = read(script), script.resolve()
    torch.set_num_threads(request["threads"])
    notes: list[str] = []
    frames = Frames(file.parent, {str(script): source})
    observer = Observer(frames, request["images"])
    kitchen = Kitchen(home, Path(request["data_dir"]) if request["data_dir"] else None, notes)
    limit_memory(request["memory"])
    with contextlib.ExitStack() as confined:  # what is examined reads the user's files as the program did
        sandbox = Recorder(frames)  # records nothing: it is never entered
        confined.push(sandbox)
        opened = confine(sandbox, home, scratch, notes)
        with observer:
            kitchen.serve(observer)
            sys.path.insert(0, str(file.parent))
            with limited(request["seconds"]), printing(out / "printed") as printed:
                problem, raised, observer.trace.ended = run(source, file, request["arguments"], printed)
        sys.stdin = io.StringIO()
        setup = _setup(request, observer, kitchen, source)
        setup.read = sorted(opened)
        setup.notes += notes
        setup.notes += _foreign(source)
        if observer.trace.ended:
            setup.notes.append(f"the program was ended before its end: {observer.trace.ended}")
        if not problem and not setup.trains:
            problem = _never_trains(setup, source)
            if observer.trace.ended:
                problem = f"{setup.target} takes too long: {observer.trace.ended}, and had not begun to train"
        confined.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        random.seed(0)
        report = examine(setup, problem=problem, traceback=raised)
    if request["sheet"]:
        setup.attempt("the contact sheet", lambda: write_sheet(Path(request["sheet"]), setup))
    _write(out / "report.json", report)


def _setup(request: Any, observer: Observer, kitchen: Kitchen, source: Source) -> Setup:
    """The setup behind what was observed."""
    setup = from_trace(
        observer.trace, target=request["target"], pristine=observer.pristine, pretrained=kitchen.pretrained
    )
    setup.source, setup.made_up, setup.home = source, kitchen.made_up, kitchen.home
    setup.files = {path: one for path, one in observer.frames.sources.items() if path != request["script"]}
    setup.modules = observer.frames.imported()
    for one in (setup.train, *setup.evals):
        if one is not None:
            one.made_up = kitchen.made_up
    return setup


def _never_trains(setup: Setup, source: Source) -> str:
    if setup.trace.count("forward"):
        return f"{setup.target} never trains: a network was passed through, and no backward() was called"
    calls = {name for name in ("main", "train", "fit", "run") if any(source.calls(name))}
    hint = "" if calls else "; nothing in it calls a training function"
    return f"{setup.target} never trains: no network of PyTorch was passed through{hint}"


def _foreign(source: Source) -> list[str]:
    import ast

    found: dict[str, None] = {}
    for node in source.nodes(ast.Import, ast.ImportFrom):
        names = (
            [one.name for one in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", "") or ""]
        )
        found |= {FOREIGN[top]: None for name in names if (top := name.partition(".")[0]) in FOREIGN}
    return [
        f"the script uses {name}: calls of PyTorch that it makes are seen; what its own loop does besides (modes, "
        f"schedules, devices) is judged only where it shows in them"
        for name in found
    ]


def _write(path: Path, report: Report) -> None:
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(report.to_json()), encoding="utf-8")
    temporary.replace(path)


def _end_with(parent: int, folder: Path) -> None:
    """Ends this process, and takes its folder along, where whoever started it is gone."""
    never = threading.Event()  # `sleep` takes no time here
    while os.getppid() == parent:
        never.wait(1.0)
    # Here nothing can be removed that the program did not write.
    remove = "import shutil, sys; shutil.rmtree(sys.argv[1], ignore_errors=True)"
    os.execv(sys.executable, [sys.executable, "-c", remove, str(folder)])


if __name__ == "__main__":
    threading.Thread(target=_end_with, args=(os.getppid(), Path(sys.argv[1]).parent), daemon=True).start()
    main(sys.argv[1])
    sys.stdout.flush()
    os._exit(0)  # threads and processes that the program left behind end with it
