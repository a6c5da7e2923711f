"""Keeps the observed program from the user's files, the network, the keyboard and the GPU.

What it reads by a relative path comes from the user's folder, what it writes goes to a scratch folder, which is the
current folder while it runs.
"""

import builtins
import io
import os
import shutil
import socket
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
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


class Asked(BaseException):
    """The program asked for input."""


def confine(recorder: Recorder, home: Path, scratch: Path, notes: list[str]) -> None:
    """Sets up the sandbox until the recorder is left; the current folder and the search path stay changed."""
    os.chdir(scratch)
    sys.path.insert(0, str(home))
    sys.dont_write_bytecode = True
    files = _Files(home, scratch, notes)
    for module in (builtins, io):
        recorder.patch(module, "open", files.open)
    for name in ("stat", "listdir", "scandir"):
        recorder.patch(os, name, files.reading)
    for name in ("remove", "unlink", "rmdir", "rename", "replace", "mkdir", "makedirs"):
        recorder.patch(os, name, files.writing)
    recorder.patch(shutil, "rmtree", files.writing)
    recorder.patch(torch, "save", files.saving)
    recorder.patch(torch, "load", _load_safely)
    recorder.patch(builtins, "input", lambda original: _ask)
    recorder.patch(time, "sleep", lambda original: lambda seconds: None)
    recorder.patch(socket.socket, "connect", lambda original: _no_network)
    recorder.patch(torch, "compile", lambda original: _compile)
    if not torch.cuda.is_available():
        _without_cuda(recorder)


class _Files:
    """Where the program's paths lead."""

    def __init__(self, home: Path, scratch: Path, notes: list[str]) -> None:
        self._home, self._scratch, self._notes = str(home), str(scratch), notes
        self._stat = os.stat
        self._temporary = (str(scratch), os.devnull, "/dev/", "/proc/", "/sys/")
        self._moved: dict[str, str] = {}

    def _own(self, path: Any) -> bool:
        """Whether a path is free to be written."""
        return str(os.path.abspath(os.fsdecode(path))).startswith(self._temporary)  # noqa: PTH100 - must not touch the disk

    def _readable(self, path: Any) -> Any:
        """Where to read from: what the program wrote aside, its own file, or the user's of that name."""
        if isinstance(path, int) or path is None or not os.fspath(path):
            return path
        name = os.fsdecode(path)
        if Path(name).is_absolute():
            return self._moved.get(name, path)
        try:
            self._stat(path)
        except OSError:
            return os.path.join(self._home, name)  # noqa: PTH118
        return path

    def _writable(self, path: Any) -> Any:
        """The path itself within the scratch folder; a place aside for any other."""
        if isinstance(path, int) or self._own(path):
            return path
        name = os.fsdecode(path)
        aside = os.path.join(self._scratch, "elsewhere", name.lstrip("/\\.").replace(":", ""))  # noqa: PTH118
        os.makedirs(os.path.dirname(aside), exist_ok=True)  # noqa: PTH103, PTH120
        self._moved[name] = aside
        return aside

    def open(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def opened(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            writes = any(letter in mode for letter in "wax+")
            return original(self._writable(file) if writes else self._readable(file), mode, *args, **kwargs)

        return opened

    def reading(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def read(path: Any = ".", *args: Any, **kwargs: Any) -> Any:
            return original(path if kwargs.get("dir_fd") is not None else self._readable(path), *args, **kwargs)

        return read

    def writing(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def write(path: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(path, int) or kwargs.get("dir_fd") is not None or self._own(path):
                if args and original.__name__ in ("rename", "replace"):
                    args = (self._writable(args[0]), *args[1:])  # the other end may be a file of the user's
                return original(path, *args, **kwargs)
            self._notes.append(
                f"{original.__name__}({os.fspath(path)!r}) outside of the scratch folder was left undone"
            )
            return None

        return write

    def saving(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def save(value: Any, file: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(file, str | os.PathLike):
                file = self._writable(file)
            return original(value, file, *args, **kwargs)

        return save


def _load_safely(original: Callable[..., Any]) -> Callable[..., Any]:
    def load(file: Any, *args: Any, **kwargs: Any) -> Any:
        own = isinstance(file, str | os.PathLike) and Path(file).exists() and not Path(file).is_absolute()
        kwargs["weights_only"] = kwargs.get("weights_only", True) or not own  # its own files are as it wrote them
        kwargs["map_location"] = "cpu"
        return original(file, **kwargs)

    return load


def _ask(prompt: Any = "") -> str:
    raise Asked(str(prompt))


def _no_network(*args: Any, **kwargs: Any) -> Any:
    raise OSError("no network while the doctor looks")


def _compile(model: Any = None, **kwargs: Any) -> Any:
    return model if model is not None else lambda function: function


def _is_cuda(value: Any) -> bool:
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
    for name in FACTORIES:
        recorder.patch(torch, name, made)
    for name in ("synchronize", "set_device", "empty_cache"):
        recorder.patch(torch.cuda, name, lambda original: lambda *args, **kwargs: None)
    warnings.filterwarnings("ignore", message=".*[Cc][Uu][Dd][Aa].*")


def _on_cpu(options: dict[str, Any]) -> dict[str, Any]:
    return {name: "cpu" if name == "device" and _is_cuda(value) else value for name, value in options.items()}
