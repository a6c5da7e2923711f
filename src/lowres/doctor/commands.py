"""Commands that an observed program starts: those that only tell something run, some of them in the user's folder.

All others are left undone, and count as done: a command is not kept from the user's files as the program is.
"""

import io
import itertools
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
"""Programs that tell something, and run where the user is."""
SHOWING = (
    *("ls", "cat", "head", "tail", "wc", "du", "echo", "printf", "pwd", "true", "test", "clear", "mkdir"),
    *("id", "ps", "getconf", "lspci", "lsmod", "lsb_release", "sw_vers", "sysctl", "nvcc", "rocm-smi"),
    *("ldconfig", "gcc", "cc", "ld", "objdump"),
)
"""Programs that run in the scratch folder; the last by which Python finds libraries."""
HARMLESS = re.compile(r"(?:\d|&)?>\s*(?:/dev/null|&\d)")
"""Redirections that write no file."""
BEYOND = re.compile(r"[<>`]|\$\(")
"""What a shell does beside starting programs one after the other: it writes files, and starts others within."""
READING = (
    *("rev-parse", "rev-list", "log", "show", "describe", "status", "diff", "branch", "remote", "ls-files", "ls-tree"),
    *("symbolic-ref", "name-rev", "cat-file", "shortlog", "merge-base", "for-each-ref"),
)
"""What git may do."""


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
            return io.StringIO("") if self._left(cmd) else original(cmd, *args, **kwargs)  # which starts a `Popen`

        return popen

    def start(self, original: Callable[..., None]) -> Callable[..., None]:
        """The start of a `subprocess.Popen`, behind `run`, `call` and `check_output`, too."""

        def init(item: Any, args: Any, *more: Any, **kwargs: Any) -> None:
            shell = bool(kwargs.get("shell"))
            if self._left(args, shell):
                args = [sys.executable, "-c", ""]
                more, kwargs = (), {k: v for k, v in kwargs.items() if k not in ("shell", "executable")}
            elif _tells(_parts(args, shell)) and not kwargs.get("cwd"):
                kwargs["cwd"] = self._home
            original(item, args, *more, **kwargs)

        return init

    def _left(self, command: Any, shell: bool = False) -> bool:
        line = _line(command, shell)
        beyond = line is not None and BEYOND.search(HARMLESS.sub("", line)) is not None
        left = beyond or not all(map(_harmless, _parts(command, shell)))
        if left:
            self._notes.append(f"the command {' '.join(_words(command))[:80]!r} was left undone")
        return left

    def _placed(self, command: Any) -> Any:
        """A command for a shell, begun in the user's folder if it tells something."""
        if not _tells(_parts(command, True)) or os.name == "nt":
            return command
        return f"cd {shlex.quote(self._home)} && {command}"


def _tells(parts: Sequence[Sequence[str]]) -> bool:
    return bool(parts) and all(Path(words[0]).name in TELLING for words in parts)


def _harmless(words: Sequence[str]) -> bool:
    name = Path(words[0]).name
    if name == "git":
        verbs = [word for before, word in itertools.pairwise(words) if word[:1] != "-" and before not in ("-C", "-c")]
        return not verbs or verbs[0] in READING or (verbs[0] == "config" and "--get" in words)
    if name == "mkdir":
        return not any(os.path.isabs(word) for word in words)  # noqa: PTH117
    return name in (*TELLING, *SHOWING)


def _words(command: Any) -> list[str]:
    if isinstance(command, str | bytes | os.PathLike):
        text = os.fsdecode(command)
        try:
            return shlex.split(text)
        except ValueError:
            return text.split()
    return [os.fsdecode(one) for one in command] if isinstance(command, Sequence) else []


def _line(command: Any, shell: bool) -> str | None:
    """What a shell gets; None where there is none. Of a list it gets the first, the others are arguments of its own."""
    if isinstance(command, str | bytes):
        return os.fsdecode(command)
    words = _words(command)
    return words[0] if shell and words else None


def _parts(command: Any, shell: bool = False) -> list[list[str]]:
    """The programs that a command starts, each with its arguments."""
    line = _line(command, shell)
    if line is None:
        return [words] if (words := _words(command)) else []
    line = HARMLESS.sub("", line)
    return [words for part in re.split(r"&&|\|\||[;|&\n]", line) if (words := _words(part))]
