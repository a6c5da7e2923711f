"""Keeps the observed program from the user's files, the network, the keyboard, other processes and the GPU."""

import builtins
import io
import multiprocessing
import os
import shutil
import socket
import sqlite3
import sqlite3.dbapi2
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import types
import warnings
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import safetensors
import safetensors.numpy
import safetensors.torch
import torch
import torch.distributed
import torch.multiprocessing
import torchvision.io
from torch import Tensor, nn

from lowres.doctor.commands import TERMINAL, Commands
from lowres.doctor.paths import TEMPORARY, Files
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


def confine(recorder: Recorder, home: Path, scratch: Path, notes: list[str]) -> set[str]:
    """Sets up the sandbox until the recorder is left; the current folder and the search path stay changed.

    Returns:
        Where the names of the user's files will be that are opened to be read, the first thousand of them.
    """
    os.chdir(scratch)
    sys.path.insert(0, str(home))
    sys.dont_write_bytecode = True
    temporary = scratch / TEMPORARY  # `tempfile` tries its folder out by writing there, past `open`
    temporary.mkdir(exist_ok=True)
    tempfile.tempdir = os.environ["TMPDIR"] = os.environ["MPLCONFIGDIR"] = str(temporary)
    files = Files(home, scratch, notes)
    for module, name in ((builtins, "open"), (io, "open"), (tarfile, "bltn_open")):
        recorder.patch(module, name, files.open)
    recorder.patch(os, "open", files.opening)
    for name in ("stat", "lstat", "readlink", "access", "chdir"):
        recorder.patch(os, name, files.reading)
    recorder.patch(os, "listdir", files.listing)
    recorder.patch(os, "scandir", files.scanning)
    for name in ("remove", "unlink", "rmdir", "rename", "replace", "chmod", "utime", "truncate"):
        recorder.patch(os, name, files.changing)
    for name in ("mkdir", "makedirs"):
        recorder.patch(os, name, files.making)
    for name in ("symlink", "link"):
        recorder.patch(os, name, files.linking)
    recorder.patch(shutil, "rmtree", files.changing)
    recorder.patch(torch, "save", files.saving)
    recorder.patch(torch, "load", files.loading)
    for module in (torchvision.io.image, torchvision.io):  # their code in C++ opens it itself
        recorder.patch(module, "read_file", files.argument("path", 0, files.readable))
        recorder.patch(module, "write_file", files.argument("filename", 0, files.writable))
    for module in (safetensors, safetensors.torch, safetensors.numpy):
        recorder.patch(module, "serialize_file", files.argument("filename", 1, files.writable))
    for module in (safetensors, safetensors.torch):
        recorder.patch(module, "safe_open", files.argument("filename", 0, files.readable))
    for module in (sqlite3, sqlite3.dbapi2):
        recorder.patch(module, "connect", files.connecting)
    recorder.patch(sys, "path_hooks", lambda original: [files.finder, *original])  # imports do not ask `os`
    commands = Commands(home, notes)
    recorder.patch(os, "system", commands.system)
    recorder.patch(os, "popen", commands.popen)
    recorder.patch(subprocess.Popen, "__init__", commands.start)
    recorder.patch(os, "get_terminal_size", lambda original: lambda *args: os.terminal_size(TERMINAL))
    recorder.patch(torch.multiprocessing, "spawn", lambda original: _spawn)
    recorder.patch(torch.multiprocessing, "start_processes", lambda original: _spawn)
    recorder.patch(BaseProcess, "start", _start)
    if torch.distributed.is_available():
        recorder.patch(torch.distributed, "init_process_group", _alone)
    recorder.patch(builtins, "input", lambda original: _ask)
    recorder.patch(time, "sleep", _sleep)
    recorder.patch(socket.socket, "connect", _connect)
    recorder.patch(torch, "compile", lambda original: _compile)
    if not torch.cuda.is_available():
        _without_cuda(recorder)
    return files.read


def _ask(prompt: Any = "") -> str:
    raise Asked(str(prompt))


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


def _sleep(original: Callable[..., Any]) -> Callable[..., Any]:
    def sleep(seconds: float) -> None:
        if threading.current_thread() is not threading.main_thread():  # it would spin
            original(seconds)

    return sleep


def _connect(original: Callable[..., Any]) -> Callable[..., Any]:
    def connect(item: socket.socket, address: Any) -> Any:
        if item.family != getattr(socket, "AF_UNIX", None):  # which stays on this machine
            raise OSError("no network while the doctor looks")
        return original(item, address)

    return connect


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
