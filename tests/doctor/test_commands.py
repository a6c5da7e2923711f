"""Commands that an observed program starts."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lowres.doctor.commands import Commands

pytestmark = pytest.mark.skipif(os.name == "nt", reason="commands of a shell")


@pytest.fixture
def notes():
    return []


@pytest.fixture
def commands(tmp_path, notes):
    return Commands(tmp_path, notes)


@pytest.mark.parametrize(
    "command",
    [
        "wget https://example.org/cifar.tgz",
        "mkdir -p x && rm -rf x",
        "pip install timm",
        f"{sys.executable} other.py",
        "git clone https://example.org/x",
        ["git", "reset", "--hard"],
        "echo 'unended; rm x",
        "cp best.pt /models/best.pt",
        "echo done > log.txt",
        "cat $(rm x)",
        ["bash", "-c", "rm -f x"],
        ["env", "rm", "x"],
        "(rm -f x)",
        ["find", ".", "-delete"],
        "A=1 ./clean.sh",
        "mkdir -p /models",
        ["git", "-C", "/repo", "config", "user.name", "me"],
    ],
)
def test_what_does_more_than_to_tell_something_is_left_undone(commands, notes, command):
    begun = []
    if isinstance(command, str):
        assert commands.system(lambda asked: begun.append(asked))(command) == 0
        assert commands.popen(lambda asked: begun.append(asked))(command).read() == ""
    commands.start(lambda item, args, **kwargs: begun.append(args))(None, command, shell=isinstance(command, str))
    assert begun == [[sys.executable, "-c", ""]]
    assert all("was left undone" in note for note in notes)
    assert notes


def test_what_tells_something_runs_where_the_user_is(commands, notes, tmp_path):
    begun = []
    commands.start(lambda item, args, **kwargs: begun.append((args, kwargs)))(
        None, ["git", "rev-parse", "HEAD"], text=True
    )
    commands.start(lambda item, args, **kwargs: begun.append((args, kwargs)))(None, ["git", "log"], cwd="/x")
    commands.start(lambda item, args, **kwargs: begun.append((args, kwargs)))(None, "mkdir -p runs", shell=True)
    assert begun == [
        (["git", "rev-parse", "HEAD"], {"text": True, "cwd": str(tmp_path)}),
        (["git", "log"], {"cwd": "/x"}),
        ("mkdir -p runs", {"shell": True}),
    ]
    assert commands.system(lambda asked: asked)("git log -1") == f"cd {tmp_path} && git log -1"
    assert commands.system(lambda asked: asked)("mkdir runs") == "mkdir runs"
    for harmless in ("ls -l 2>/dev/null", "nvidia-smi 2>&1 | head -3", "git config --get user.name >/dev/null"):
        assert commands.system(lambda asked: asked)(harmless).endswith(harmless)
    commands.start(lambda item, args, **kwargs: begun.append((args, kwargs)))(None, ["nproc"], shell=True)
    assert begun[-1] == (["nproc"], {"shell": True, "cwd": str(tmp_path)})
    assert notes == []


def test_the_terminal_has_a_size(commands):
    assert isinstance(commands.popen(None)("stty size", "r"), io.StringIO)


def test_a_program_asks_for_its_commit(observe, program, tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    for words in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "x", "--allow-empty"],
    ):
        subprocess.run(["git", *words], cwd=home, check=True)
    head = """
import os, subprocess
commit = subprocess.check_output(["git", "rev-parse", "HEAD"], text=True).strip()
with os.popen("git rev-parse HEAD") as said:
    assert len(commit) == 40 and said.read().strip() == commit
assert subprocess.run(["pip", "install", "nothing"], capture_output=True).returncode == 0
assert os.system("wget https://example.org") == 0
"""
    report = observe(program(("\nfor epoch in", head + "\nfor epoch in")))
    assert report.problem == ""
    assert [note.split("'")[1] for note in report.notes] == ["pip install nothing", "wget https://example.org"]
    assert sorted(one.name for one in Path(home).iterdir()) == [".git", "train.py"]
