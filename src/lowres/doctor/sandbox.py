"""Keeps the observed program from the user's files, the network, the keyboard, other processes and the GPU.

What it reads below the current folder comes from the user's, what it writes goes to a scratch folder, which is the
current folder while it runs.
"""

import builtins
import io
import multiprocessing
import os
import shutil
import socket
import sys
import tempfile
import time
import types
import warnings
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
import torch.distributed
import torch.multiprocessing
from torch import Tensor, nn

from lowres.doctor.recorder import Recorder

FACTORIES = (
    "zeros",
    "ones",
    "rand",
    "randn",
    "randint",
    "empty",
    "full",
    "arange",
    "tensor",
    "eye",
    "randperm",
    "linspace",
)
TERMINAL = (80, 24)
"""Columns and lines of the terminal that there is none of."""


READ = 1_000
"""Files, of those that the program reads, that are remembered."""
LIBRARIES = tuple(f"{one}{os.sep}" for one in {sys.prefix, sys.base_prefix})


class Asked(BaseException):
    """The program asked for input."""


def confine(recorder: Recorder, home: Path, scratch: Path, notes: list[str]) -> set[str]:
    """Sets up the sandbox until the recorder is left; the current folder and the search path stay changed.

    Returns:
        Where the names of the user's files will be that are opened to be read, the first `READ` of them.
    """
    os.chdir(scratch)
    sys.path.insert(0, str(home))
    sys.dont_write_bytecode = True
    temporary = scratch / ".tmp"  # `tempfile` tries its folder out by writing there, past `open`
    temporary.mkdir(exist_ok=True)
    tempfile.tempdir = os.environ["TMPDIR"] = str(temporary)
    files = _Files(home, scratch, notes)
    for module in (builtins, io):
        recorder.patch(module, "open", files.open)
    for name in ("stat", "lstat", "readlink", "access", "listdir", "scandir", "chdir"):
        recorder.patch(os, name, files.reading)
    for name in ("remove", "unlink", "rmdir", "rename", "replace", "chmod", "utime"):
        recorder.patch(os, name, files.changing)
    for name in ("mkdir", "makedirs"):
        recorder.patch(os, name, files.making)
    recorder.patch(shutil, "rmtree", files.changing)
    recorder.patch(torch, "save", files.saving)
    recorder.patch(torch, "load", files.loading)
    recorder.patch(os, "popen", _popen)
    recorder.patch(os, "get_terminal_size", lambda original: lambda *args: os.terminal_size(TERMINAL))
    recorder.patch(torch.multiprocessing, "spawn", lambda original: _spawn)
    recorder.patch(torch.multiprocessing, "start_processes", lambda original: _spawn)
    recorder.patch(BaseProcess, "start", _start)
    if torch.distributed.is_available():
        recorder.patch(torch.distributed, "init_process_group", _alone)
    recorder.patch(builtins, "input", lambda original: _ask)
    recorder.patch(time, "sleep", lambda original: lambda seconds: None)
    recorder.patch(socket.socket, "connect", lambda original: _no_network)
    recorder.patch(torch, "compile", lambda original: _compile)
    if not torch.cuda.is_available():
        _without_cuda(recorder)
    return files.read


def at_home(path: Path, home: Path) -> Path:
    """Where a path of the program's leads: into the user's folder, for which the scratch folder stands."""
    here = Path.cwd()
    place = here / path
    if here.is_relative_to(home) or not place.is_relative_to(here):  # the program went there, or said where
        return place
    return home / place.relative_to(here)


class _Files:
    """Where the program's paths lead."""

    def __init__(self, home: Path, scratch: Path, notes: list[str]) -> None:
        self._home, self._scratch, self._notes = str(home), str(scratch.resolve()), notes
        self._stat, self._mkdir = os.stat, os.mkdir
        self._temporary = (self._scratch + os.sep, os.devnull, "/dev/", "/proc/", "/sys/")
        self._moved: dict[str, str] = {}
        self.read: set[str] = set()

    def _own(self, place: str) -> bool:
        """Whether a path is free to be written."""
        return (place + os.sep).startswith(self._temporary)

    def _exists(self, path: Any) -> bool:
        try:
            self._stat(path)
        except OSError:
            return False
        return True

    def _make(self, folder: str) -> None:
        if not self._exists(folder):
            self._make(os.path.dirname(folder))  # noqa: PTH120
            self._mkdir(folder)

    def _readable(self, path: Any) -> Any:
        """Where to read from: what the program wrote aside, its own file, or the user's of that name."""
        if isinstance(path, int) or path is None or not os.fspath(path):
            return path
        place = _absolute(path)
        if place in self._moved:
            return self._moved[place]
        # A program that asks for the current folder learns of the scratch folder, and of the one that it is in.
        if not place.startswith(os.path.dirname(self._scratch) + os.sep) or self._exists(path):  # noqa: PTH120
            return path
        return os.path.normpath(os.path.join(self._home, os.path.relpath(place, self._scratch)))  # noqa: PTH118

    def _writable(self, path: Any) -> Any:
        """The path itself within the scratch folder; a place aside for any other."""
        if isinstance(path, int):
            return path
        place = _absolute(path)
        if self._own(place):
            folder = os.path.dirname(place)  # noqa: PTH120
            if not self._exists(folder) and self._exists(self._readable(folder)):
                self._make(folder)  # the user has it, so the program need not make it
            return path
        if place not in self._moved:
            aside = os.path.join(self._scratch, "elsewhere", place.lstrip("/\\").replace(":", ""))  # noqa: PTH118
            self._make(os.path.dirname(aside))  # noqa: PTH120
            self._moved[place] = aside
        return self._moved[place]

    def _remember(self, place: str) -> None:
        if not self._own(place) and not place.startswith(LIBRARIES):
            self.read.add(place)

    def open(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def opened(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            writes = any(letter in mode for letter in "wax+")
            place = self._writable(file) if writes else self._readable(file)
            if not writes and isinstance(place, str | os.PathLike) and len(self.read) < READ:
                self._remember(_absolute(place))
            return original(place, mode, *args, **kwargs)

        return opened

    def reading(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def read(path: Any = ".", *args: Any, **kwargs: Any) -> Any:
            return original(path if kwargs.get("dir_fd") is not None else self._readable(path), *args, **kwargs)

        return read

    def changing(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def change(path: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(path, int) or kwargs.get("dir_fd") is not None:
                return original(path, *args, **kwargs)
            place, theirs = _absolute(path), self._readable(path)
            if place not in self._moved and (not self._own(place) or (theirs != path and self._exists(theirs))):
                self._notes.append(
                    f"{original.__name__}({os.fspath(path)!r}) outside of the scratch folder was left undone"
                )
                return None
            if args and original.__name__ in ("rename", "replace"):
                args = (self._writable(args[0]), *args[1:])  # the other end may be a file of the user's
            result = original(self._moved.get(place, path), *args, **kwargs)
            if place in self._moved and not self._exists(theirs):
                del self._moved[place]
            return result

        return change

    def making(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def make(path: Any, *args: Any, **kwargs: Any) -> Any:
            theirs = path if kwargs.get("dir_fd") is not None else self._readable(path)
            if not self._exists(theirs):
                theirs = self._writable(path)
            return original(theirs, *args, **kwargs)

        return make

    def saving(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def save(value: Any, file: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(file, str | os.PathLike):
                file = self._writable(file)
            return original(value, file, *args, **kwargs)

        return save

    def loading(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def load(file: Any, *args: Any, **kwargs: Any) -> Any:
            own = isinstance(file, str | os.PathLike) and self._wrote(_absolute(file))
            kwargs["weights_only"] = kwargs.get("weights_only", True) or not own  # its own files are as it wrote them
            kwargs["map_location"] = "cpu"
            return original(file, **kwargs)

        return load

    def _wrote(self, place: str) -> bool:
        return place in self._moved or (place.startswith(self._scratch + os.sep) and self._exists(place))


def _absolute(path: Any) -> str:
    return str(os.path.abspath(os.fsdecode(path)))  # noqa: PTH100 - must not touch the disk


def _ask(prompt: Any = "") -> str:
    raise Asked(str(prompt))


def _popen(original: Callable[..., Any]) -> Callable[..., Any]:
    def popen(command: str, *args: Any, **kwargs: Any) -> Any:
        if command.split() == ["stty", "size"]:  # the keyboard's terminal, which is not there
            return io.StringIO("{1} {0}\n".format(*TERMINAL))
        return original(command, *args, **kwargs)

    return popen


def _spawn(
    fn: Callable[..., Any], args: tuple[Any, ...] = (), nprocs: int = 1, join: bool = True, *_: Any, **__: Any
) -> Any:
    """The first of the processes, within this one."""
    if nprocs > 0:
        fn(0, *args)
    return None if join else types.SimpleNamespace(join=lambda *args, **kwargs: True, processes=[])


def _alone(original: Callable[..., Any]) -> Callable[..., Any]:
    def init(*args: Any, **kwargs: Any) -> None:
        """A group of this process alone: others would be waited for in vain."""
        from torch._C._distributed_c10d import HashStore

        original("gloo", store=HashStore(), rank=0, world_size=1)

    return init


def _start(original: Callable[..., Any]) -> Callable[..., Any]:
    def start(process: Any) -> None:
        if (process._start_method or multiprocessing.get_start_method()) != "fork":
            raise OSError("no processes while the doctor looks")  # only forked ones are kept from files
        original(process)

    return start


def _no_network(*args: Any, **kwargs: Any) -> Any:
    raise OSError("no network while the doctor looks")


def _compile(model: Any = None, **kwargs: Any) -> Any:
    return model if model is not None else lambda function: function


def _is_cuda(value: Any) -> bool:
    if isinstance(value, int):  # a rank stands for its GPU
        return not isinstance(value, bool)
    return isinstance(value, torch.device | str) and str(value).startswith("cuda")


def _without_cuda(recorder: Recorder) -> None:
    """Lets what is meant for a GPU stay on the CPU."""

    def moved(original: Callable[..., Any]) -> Callable[..., Any]:
        def to(item: Any, *args: Any, **kwargs: Any) -> Any:
            args = tuple("cpu" if _is_cuda(one) else one for one in args)
            return original(item, *args, **_on_cpu(kwargs))

        return to

    def made(original: Callable[..., Any]) -> Callable[..., Any]:
        def make(*args: Any, **kwargs: Any) -> Any:
            return original(*args, **_on_cpu(kwargs))

        return make

    for home in (Tensor, nn.Module):
        recorder.patch(home, "to", moved)
        recorder.patch(home, "cuda", lambda original: lambda item, *args, **kwargs: item)
    recorder.patch(nn.parallel.DistributedDataParallel, "__init__", _placeless)
    for name in FACTORIES:
        recorder.patch(torch, name, made)
    for name in ("synchronize", "set_device", "empty_cache"):
        recorder.patch(torch.cuda, name, lambda original: lambda *args, **kwargs: None)
    warnings.filterwarnings("ignore", message=".*[Cc][Uu][Dd][Aa].*")


def _placeless(original: Callable[..., Any]) -> Callable[..., Any]:
    def init(item: Any, module: nn.Module, *args: Any, **kwargs: Any) -> None:
        kept = {name: value for name, value in kwargs.items() if name not in ("device_ids", "output_device")}
        original(item, module, None, None, *args[2:], **kept)

    return init


def _on_cpu(options: dict[str, Any]) -> dict[str, Any]:
    return {name: "cpu" if name == "device" and _is_cuda(value) else value for name, value in options.items()}
