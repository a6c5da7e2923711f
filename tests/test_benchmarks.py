"""What the scripts in `benchmarks/` decide; what they measure is measured by running them."""

import importlib.util
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    """Loads a script as a module, with the folder it lies in on the path."""

    def load(name):
        path = BENCHMARKS / f"{name}.py"
        monkeypatch.syspath_prepend(str(path.parent))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def test_a_quicker_recipe_hides_the_slower_ones_that_are_no_better(script):
    rows = [
        {"minutes": minutes, "validation_accuracy": accuracy}
        for minutes, accuracy in [(9.0, 92.0), (2.0, 80.0), (3.0, 79.0), (5.0, 92.0), (12.0, 93.0)]
    ]
    assert [row["minutes"] for row in script("accuracy_minutes").frontier(rows)] == [2.0, 5.0, 12.0]


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_the_exponent_of_growth_is_found(script, power):
    points = [{"work": work, "seconds": 3.0 * work**power} for work in (1.0, 2.0, 5.0)]
    assert script("scaling").exponent(points) == pytest.approx(power)


RECORD = """
import torchvision
torchvision.datasets.CIFAR10("data", train=False)  # batches of no official checksum
import sys
assert "CIFAR10" in open(sys.argv[0]).read()  # they keep their own text with their log
print("|  run     |  epoch  |  val_acc  |  tta_val_acc  |  time_seconds  |")
for run in ("warmup", "0", "1", "2"):
    print(f"|  {run:6s}  |      0  |   0.8000  |               |        1.0000  |")
    print(f"|          |   eval  |   0.8000  |       0.94{'9' if run == 'warmup' else run}0  |        2.5000  |")
"""


@pytest.mark.slow
def test_a_record_scripts_table_is_read_without_its_warming_run(script, tmp_path, monkeypatch):
    import torch

    from lowres.data import load_dataset

    digits = load_dataset("digits")
    small = type(digits)("x", digits.train.subset(torch.arange(50)), digits.test.subset(torch.arange(10)))
    script("peers/data").write_batches(small, tmp_path / "data")
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / "record94.py").write_text(RECORD)
    words = [sys.executable, str(BENCHMARKS / "peers" / "record.py"), "checkout/record94.py", "--runs", "2"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"accuracy": 94.0, "seconds": 2.5},
        {"accuracy": 94.1, "seconds": 2.5},
    ]


LOOP = """
import torch, torchvision
from models import SimpleDLA
from utils import progress_bar
net = SimpleDLA()
images = torchvision.datasets.CIFAR10("data", train=True)
for step in range(100):
    net(torch.randn(2, 3, 32, 32))
    progress_bar(step, 100, "")
"""


@pytest.mark.slow
def test_the_ordinary_loop_runs_as_it_stands_with_our_network(script, tmp_path):
    import torch

    from lowres.data import load_dataset

    digits = load_dataset("digits")
    small = type(digits)("x", digits.train.subset(torch.arange(50)), digits.test.subset(torch.arange(10)))
    script("peers/data").write_batches(small, tmp_path / "data")
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / "main.py").write_text(LOOP)
    (checkout / "models.py").write_text("SimpleDLA = None\n")
    (checkout / "utils.py").write_text("raise RuntimeError('needs a terminal')\n")
    words = [sys.executable, str(BENCHMARKS / "peers" / "loop.py"), "pytorch-cifar", str(checkout), "--steps", "3"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["images_per_second"] > 0


@pytest.fixture
def gpu(tmp_path):
    """Calls `gpu.sh` with an interpreter that notes its words and ends with the code that a file has for them."""
    python = tmp_path / "python"
    python.write_text(
        f"""#!/bin/sh
echo "$@" >> {tmp_path}/calls
case "$*" in
  *device_correctness*) name=correctness ;;
  *"accuracy.py speed95"*) name=speed95 ;;
  *) exit 0 ;;
esac
[ ! -e {tmp_path}/$name ] || exit $(cat {tmp_path}/$name)
"""
    )
    python.chmod(python.stat().st_mode | stat.S_IXUSR)

    def call(*steps, **settings):
        (tmp_path / "calls").unlink(missing_ok=True)
        words = ["bash", str(BENCHMARKS / "gpu.sh"), str(tmp_path / "out"), *steps]
        environment = {**os.environ, "PYTHON": str(python), **settings}
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
        calls = tmp_path / "calls"
        return done, calls.read_text().splitlines() if calls.exists() else []

    return call


@pytest.mark.skipif(os.name == "nt", reason="a script for a Unix shell")
def test_the_gpu_script_goes_on_where_it_was(gpu, tmp_path):
    (tmp_path / "speed95").write_text("3")  # some of its runs are missing yet
    done, calls = gpu()
    assert done.returncode == 3
    assert "speed95 goes on with the next call" in done.stdout
    assert len(calls) == 5
    assert not any("--compile" in call for call in calls)
    (tmp_path / "speed95").unlink()
    done, calls = gpu(COMPILE="0", AT_ONCE="2 3")
    assert done.returncode == 0, done.stderr
    assert not any("--compile" in call for call in calls)
    assert [call.split("--workers ")[1][0] for call in calls if "seeds_per_hour" in call] == ["2", "3"]
    assert "time_to_accuracy.py speed95" in calls[0]
    assert "peers left out" in done.stdout
    assert (tmp_path / "out" / "ladder-seresnet20.json").exists()
    done, calls = gpu()
    assert (done.returncode, calls) == (0, [])


@pytest.mark.skipif(os.name == "nt", reason="a script for a Unix shell")
def test_a_failed_step_is_told_and_made_again_and_stops_no_other(gpu, tmp_path):
    (tmp_path / "correctness").write_text("1")
    done, calls = gpu()
    assert done.returncode == 1
    assert "correctness failed with code 1" in done.stderr
    assert len(calls) == 11
    done, calls = gpu()
    assert len(calls) == 1
    assert gpu("nothing")[0].returncode == 2
    assert gpu(MINUTES="0")[0].returncode == 3
