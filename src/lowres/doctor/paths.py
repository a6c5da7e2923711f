"""Where the paths of an observed program lead: it reads the user's files, and writes to a scratch folder.

The scratch folder is the current one while the program runs and stands for the user's. It lies deep, so that paths
which begin above it can be told from others: `../../data` is the user's, too.
"""

import importlib.machinery
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

READ = 1_000
"""Files, of those that the program reads, that are remembered."""
LIBRARIES = tuple(f"{one}{os.sep}" for one in {sys.prefix, sys.base_prefix})
ABOVE = ("0", "1", "2", "3", "4", "5")
"""Folders that a scratch folder lies in."""
SCRATCH = "scratch"
TEMPORARY, ELSEWHERE = ".tmp", ".elsewhere"
"""Folders in it: of temporary files, and of what the program writes outside of its current folder."""
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def scratch_in(folder: Path) -> Path:
    """Makes a scratch folder."""
    scratch = folder.joinpath(*ABOVE, SCRATCH)
    scratch.mkdir(parents=True)
    return scratch


def at_home(path: Path, home: Path) -> Path:
    """Where a path of the program's leads: into the user's folder, for which the scratch folder stands."""
    here = Path.cwd()
    place = here / path
    for scratch in (here, *here.parents):
        if scratch.name == SCRATCH and scratch.parent.parts[-len(ABOVE) :] == ABOVE:
            return home / place.relative_to(scratch) if place.is_relative_to(scratch) else place
    return place  # the program went elsewhere


class Files:
    """Where paths lead, and functions of `os` and others that go there.

    Args:
        home: The user's folder.
        scratch: The one that stands for it.
        notes: Hears what was left undone.
    """

    def __init__(self, home: Path, scratch: Path, notes: list[str]) -> None:
        self._home, self._scratch, self._notes = str(home), str(scratch.resolve()), notes
        self._stat, self._mkdir = os.stat, os.mkdir
        self._temporary = (self._scratch + os.sep, os.devnull, "/dev/", "/proc/", "/sys/")
        top = Path(self._scratch).parent
        while top.name in ABOVE:
            top = top.parent
        self._top = str(top) + os.sep
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

    def _theirs(self, place: str) -> str | None:
        """The user's place that a place in or above the scratch folder stands for; None for any other."""
        if not (place + os.sep).startswith(self._top):
            return None
        return os.path.normpath(os.path.join(self._home, os.path.relpath(place, self._scratch)))  # noqa: PTH118

    def readable(self, path: Any) -> Any:
        """Where to read from: what the program wrote aside, its own file, or the user's of that name."""
        if isinstance(path, int) or path is None or not os.fspath(path):
            return path
        place = absolute(path)
        if place in self._moved:
            return self._moved[place]
        theirs = self._theirs(place)
        if theirs is None or ((place + os.sep).startswith(self._scratch + os.sep) and self._exists(path)):
            return path
        return theirs

    def writable(self, path: Any) -> Any:
        """The path itself within the scratch folder; a place aside for any other."""
        if isinstance(path, int):
            return path
        place = absolute(path)
        if self._own(place):
            folder = os.path.dirname(place)  # noqa: PTH120
            if not self._exists(folder) and self._exists(self.readable(folder)):
                self._make(folder)  # the user has it, so the program need not make it
            return path
        if place not in self._moved:
            aside = os.path.join(self._scratch, ELSEWHERE, place.lstrip("/\\").replace(":", ""))  # noqa: PTH118
            self._make(os.path.dirname(aside))  # noqa: PTH120
            self._moved[place] = aside
        return self._moved[place]

    def _remember(self, place: str) -> None:
        if not self._own(place) and not place.startswith(LIBRARIES):
            self.read.add(place)

    def open(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """`open`."""

        def opened(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            writes = any(letter in mode for letter in "wax+")
            place = self.writable(file) if writes else self.readable(file)
            if not writes and isinstance(place, str | os.PathLike) and len(self.read) < READ:
                self._remember(absolute(place))
            return original(place, mode, *args, **kwargs)

        return opened

    def opening(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """`os.open`."""

        def opened(path: Any, flags: int, *args: Any, **kwargs: Any) -> Any:
            if kwargs.get("dir_fd") is None:
                path = self.writable(path) if flags & WRITES else self.readable(path)
            return original(path, flags, *args, **kwargs)

        return opened

    def reading(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Functions that read what a path names."""

        def read(path: Any = ".", *args: Any, **kwargs: Any) -> Any:
            return original(path if kwargs.get("dir_fd") is not None else self.readable(path), *args, **kwargs)

        return read

    def _both(self, path: Any) -> tuple[Any, Any]:
        """A folder of the program's, None if it has none, and the user's that it stands for, None if there is none."""
        if isinstance(path, int) or path is None or not os.fspath(path):
            return path, None
        place, own = absolute(path), self.readable(path)
        theirs = self._theirs(place)
        if theirs is None or own is not path or not self._exists(theirs):
            return own, None
        return own, theirs if stat.S_ISDIR(self._stat(theirs).st_mode) else None

    def listing(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """`os.listdir`: what the program wrote hides nothing of the user's."""

        def listed(path: Any = ".") -> Any:
            own, theirs = self._both(path)
            if theirs is None:
                return original(own)
            names = [one for one in original(own) if one not in (TEMPORARY, ELSEWHERE)]
            return list(dict.fromkeys([*names, *original(theirs)]))

        return listed

    def scanning(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """`os.scandir`, likewise."""

        def scanned(path: Any = ".") -> Any:
            own, theirs = self._both(path)
            return original(own) if theirs is None else _Scan(original, own, theirs)

        return scanned

    def changing(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Functions that change or take away what a path names: the user's stays."""

        def change(path: Any = None, *args: Any, **kwargs: Any) -> Any:
            path = kwargs.pop("src", path)
            args = (kwargs.pop("dst"), *args) if "dst" in kwargs else args
            if isinstance(path, int) or kwargs.get("dir_fd") is not None:
                return original(path, *args, **kwargs)
            place, theirs = absolute(path), self.readable(path)
            outside = place not in self._moved and (not self._own(place) or (theirs != path and self._exists(theirs)))
            if outside and not self._exists(theirs):
                return original(theirs, *args, **kwargs)  # which says that it is not there
            if outside:
                self._notes.append(
                    f"{original.__name__}({os.fspath(path)!r}) outside of the scratch folder was left undone"
                )
                return None
            if args and original.__name__ in ("rename", "replace"):
                args = (self.writable(args[0]), *args[1:])  # the other end may be a file of the user's
            result = original(self._moved.get(place, path), *args, **kwargs)
            if place in self._moved and not self._exists(theirs):
                del self._moved[place]
            return result

        return change

    def linking(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """`os.symlink` and `os.link`."""

        def link(src: Any, dst: Any, *args: Any, **kwargs: Any) -> Any:
            if kwargs.get("dir_fd") is not None or kwargs.get("dst_dir_fd") is not None:
                return original(src, dst, *args, **kwargs)
            if original.__name__ == "link":
                src = self.readable(src)
            return original(src, self.writable(dst), *args, **kwargs)

        return link

    def making(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Functions that make folders."""

        def make(path: Any = None, *args: Any, **kwargs: Any) -> Any:
            path = kwargs.pop("name", path)
            theirs = path if kwargs.get("dir_fd") is not None else self.readable(path)
            if not self._exists(theirs):
                theirs = self.writable(path)
            return original(theirs, *args, **kwargs)

        return make

    def saving(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """`torch.save`."""

        def save(obj: Any, f: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(f, str | os.PathLike):
                f = self.writable(f)
            return original(obj, f, *args, **kwargs)

        return save

    def argument(
        self, name: str, at: int, lead: Callable[[Any], Any]
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """For functions in C++ and Rust, which open the path in their argument `name`, the `at`-th, by themselves.

        Args:
            name: Of the argument.
            at: Its place among those given by position.
            lead: Where its path leads: `readable` or `writable`.
        """

        def decorated(original: Callable[..., Any]) -> Callable[..., Any]:
            def called(*args: Any, **kwargs: Any) -> Any:
                if name in kwargs:
                    kwargs[name] = lead(kwargs[name])
                elif len(args) > at:
                    args = (*args[:at], lead(args[at]), *args[at + 1 :])
                return original(*args, **kwargs)

            return called

        return decorated

    def connecting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """`sqlite3.connect`: to a copy of the user's database."""

        def connect(database: Any, *args: Any, **kwargs: Any) -> Any:
            name = os.fsdecode(database) if isinstance(database, str | bytes | os.PathLike) else ""
            if name in ("", ":memory:") or kwargs.get("uri"):
                return original(database, *args, **kwargs)
            theirs, content = self.readable(name), None
            if self._exists(theirs) and not self._wrote(absolute(theirs)):
                with open(theirs, "rb") as file:  # noqa: PTH123
                    content = file.read()
            place = self.writable(name)
            if content is not None:
                with open(place, "wb") as file:  # noqa: PTH123
                    file.write(content)
            return original(place, *args, **kwargs)

        return connect

    def loading(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """`torch.load`: onto the CPU, and without unpickling what the program did not write."""

        def load(f: Any, *args: Any, **kwargs: Any) -> Any:
            own = isinstance(f, str | os.PathLike) and self._wrote(absolute(f))
            kwargs["weights_only"] = kwargs.get("weights_only", True) or not own  # its own files are as it wrote them
            kwargs["map_location"] = "cpu"
            return original(f, **kwargs)

        return load

    def _wrote(self, place: str) -> bool:
        return place in self._moved or (place.startswith(self._scratch + os.sep) and self._exists(place))

    def finder(self, path: str) -> importlib.machinery.FileFinder:
        """Finds modules of the user's in a relative place of the search path.

        Raises:
            ImportError: The place is what it seems to be.
        """
        place = self.readable(path) if path else path
        if place == path:
            raise ImportError(path)
        return importlib.machinery.FileFinder(
            str(place),
            (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
            (importlib.machinery.SourceFileLoader, importlib.machinery.SOURCE_SUFFIXES),
        )


class _Scan:
    """The entries of two folders, those of the first before others of their names; as `os.scandir` gives them."""

    def __init__(self, scan: Callable[[Any], Any], own: Any, theirs: Any) -> None:
        self._both = (scan(own), scan(theirs))
        self._entries = self._read()

    def _read(self) -> Iterator[Any]:
        seen = {TEMPORARY, ELSEWHERE}
        for entries in self._both:
            for entry in entries:
                if entry.name not in seen:
                    seen.add(entry.name)
                    yield entry

    def __iter__(self) -> Iterator[Any]:
        return self._entries

    def __next__(self) -> Any:
        return next(self._entries)

    def __enter__(self) -> "_Scan":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives both folders back."""
        for one in self._both:
            one.close()


def absolute(path: Any) -> str:
    """A path from the root on, without touching the disk."""
    return str(os.path.abspath(os.fsdecode(path)))  # noqa: PTH100
