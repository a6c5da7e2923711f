"""Trials in processes of their own, forked from one that has PyTorch in memory."""

import os
import signal
import time
from pathlib import Path

import pytest

from lowres.doctor.proof.nursery import Lost, Worker, _ended

pytestmark = pytest.mark.slow


def test_trials_processes_that_die_and_those_that_never_end(tmp_path, tiny):
    script = tmp_path / "train.py"
    script.write_text(tiny, encoding="utf-8")
    request = {
        "script": str(script), "source": tiny, "arguments": [], "home": str(tmp_path), "data_dir": None, "seed": 0,
        "images": 64, "test": 40, "whole": 640, "batch": 0, "stop": 1, "seconds": 60, "memory": 64, "threads": 1,
    }  # fmt: skip
    with Worker() as worker:
        first = worker.run(request, 120)
        assert (first["problem"], first["images"]) == ("", 64)
        again = worker.run(request, 120)
        assert again["figure"] == first["figure"]
        with pytest.raises(Lost, match="its process ended with 7"):
            worker.run(request | {"source": "import os\nos._exit(7)\n"}, 120)
        began = time.monotonic()
        endless = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)'])\n"
        with pytest.raises(Lost, match="no result after 1 s"):
            worker.run(request | {"source": endless + "while True:\n    pass\n"}, 1)
        assert time.monotonic() - began < 30
        assert worker.run(request, 120)["figure"] == first["figure"]  # a new nursery after that
        with pytest.raises(Lost, match="its process ended with 1: KeyError: 'threads'"):
            worker.run({name: value for name, value in request.items() if name != "threads"}, 120)
        left = {path.name for path in Path(worker._folder.name).iterdir()}
        assert not left & set(map(str, range(99)))  # what trials wrote goes with them
    assert [path.name for path in tmp_path.iterdir()] == ["train.py"]
    assert os.getcwd()  # noqa: PTH109 - the folder is still ours


@pytest.mark.skipif(not hasattr(os, "fork"), reason="where processes can be forked")
def test_a_trial_ends_with_whoever_asked_for_it():
    others = []
    for parent, seconds in ((os.getppid(), 0.1), (-1, 60)):
        child = os.fork()
        if not child:
            time.sleep(seconds)
            os._exit(0)
        began = time.monotonic()
        others.append(_ended(child, parent))
        assert time.monotonic() - began < 30
    assert others == [0, -signal.SIGKILL]
