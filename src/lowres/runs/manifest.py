"""What a run was made with: versions, hardware, code, data, command line, times and outcome."""

import datetime
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import lowres
from lowres.training.device import device_name


def describe(device: torch.device) -> dict[str, Any]:
    """Versions and hardware of this process, as plain JSON values."""
    return {
        "lowres": lowres.__version__,
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in ("torch", "torchvision", "numpy", "safetensors")},
        "platform": platform.platform(),
        "device": str(device),
        "hardware": device_name(device),
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda if device.type == "cuda" else None,
    }


def now() -> str:
    """The time in UTC, as ISO 8601 to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit of the checkout that a folder is in and whether it has changes; None outside of one."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no") != ""
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "changed": changed}


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
