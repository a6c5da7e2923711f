"""Commands that an observed program starts: those that only tell something run where the user is, in the user's folder.

What would fetch, install, remove or train is left undone, and counts as done. All else runs in the scratch folder.
"""

import io
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

TERMINAL = (80, 24)
"""Columns and lines of the terminal that there is none of."""
TELLING = ("git", "hostname", "nvidia-smi", "uname", "whoami", "which", "lscpu", "nproc", "free", "df", "date")
LEFT = (
    *("wget", "curl", "aria2c", "gdown", "kaggle", "scp", "rsync", "aws", "gsutil", "huggingface-cli"),
    *("pip", "pip3", "conda", "mamba", "uv", "apt", "apt-get", "sudo", "brew"),
    *("rm", "mv", "shutdown", "kill", "pkill", "python", "python3", "torchrun", "tensorboard"),
)
"""Programs that fetch, install, remove, or train."""
CHANGING = (
    "clone",
    "pull",
    "push",
    "fetch",
    "commit",
    "add",
    "checkout",
    "reset",
    "stash",
    "init",
    "clean",
    "submodule",
)
"""What git must not do."""


class Commands:
    """Functions that start commands.

    Args:
        home: The user's folder.
        notes: Hears what was left undone.
    """

    def __init__(self, home: Path, notes: list[str]) -> None:
        self._home, self._notes = str(home), notes

    def system(self, original: Callable[..., int]) -> Callable[..., int]:
        """`os.system`."""

        def system(command: Any) -> int:
            return 0 if self._left(command) else original(self._placed(command))

        return system

    def popen(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """`os.popen`."""

        def popen(cmd: str, *args: Any, **kwargs: Any) -> Any:
            if cmd.split() == ["stty", "size"]:  # the keyboard's terminal, which is not there
                return io.StringIO("{1} {0}\n".format(*TERMINAL))
            return io.StringIO("") if self._left(cmd) else original(self._placed(cmd), *args, **kwargs)

        return popen

    def start(self, original: Callable[..., None]) -> Callable[..., None]:
        """The start of a `subprocess.Popen`, behind `run`, `call` and `check_output`, too."""

        def init(item: Any, args: Any, *more: Any, **kwargs: Any) -> None:
            if self._left(args):
                args = [sys.executable, "-c", ""]
                more, kwargs = (), {k: v for k, v in kwargs.items() if k not in ("shell", "executable")}
            elif _names(args) and all(name in TELLING for name in _names(args)) and not kwargs.get("cwd"):
                kwargs["cwd"] = self._home
            original(item, args, *more, **kwargs)

        return init

    def _left(self, command: Any) -> bool:
        words = _words(command)
        left = next((name for name in _names(command) if name in LEFT or name.startswith("python3.")), None)
        if left is None and "git" in _names(command) and any(word in CHANGING for word in words):
            left = "git"
        if left is not None:
            self._notes.append(f"the command {' '.join(words)[:80]!r} was left undone")
        return left is not None

    def _placed(self, command: Any) -> Any:
        """A command for a shell, begun in the user's folder if it tells something."""
        names = _names(command)
        if not names or any(name not in TELLING for name in names) or os.name == "nt":
            return command
        return f"cd {shlex.quote(self._home)} && {command}"


def _words(command: Any) -> list[str]:
    if isinstance(command, str | bytes | os.PathLike):
        text = os.fsdecode(command)
        try:
            return shlex.split(text)
        except ValueError:
            return text.split()
    return [os.fsdecode(one) for one in command] if isinstance(command, Sequence) else []


def _names(command: Any) -> list[str]:
    """The programs that a command starts."""
    if not isinstance(command, str | bytes):
        words = _words(command)
        return [Path(words[0]).name] if words else []
    parts = re.split(r"&&|\|\||[;|&\n]", os.fsdecode(command))
    return [Path(words[0]).name for part in parts if (words := _words(part))]
