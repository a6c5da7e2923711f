"""Executes a user's program within this process, which `child` and `trial` have made ready for it.

A program may raise, exit, ask, or never end: what became of it is told in a line.
"""

import contextlib
import io
import linecache
import signal
import sys
import threading
import traceback
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lowres.doctor.cutting import Enough
from lowres.doctor.sandbox import Asked
from lowres.doctor.source import Source

PATIENCE = 3.0
"""How much longer than its processor time a program may take by the clock, on a machine that others use as well."""

AGAIN = 2.0
"""Seconds after which a program is ended once more."""
PACKAGES = {
    "PIL": "pillow",
    "cv2": "opencv-python",
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "yaml": "pyyaml",
}
"""Packages whose modules have other names."""


class Printed(io.TextIOWrapper):
    """A file that stands in for the terminal; unlike text in memory it has a descriptor and can be reconfigured."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.open("wb"), encoding="utf-8", errors="replace")
        self._path = path

    def text(self) -> str:
        """What was printed."""
        with contextlib.suppress(ValueError):  # the program may have closed it, or taken its buffer
            self.flush()
        return self._path.read_text(encoding="utf-8", errors="replace")


@contextlib.contextmanager
def printing(path: Path) -> Iterator[Printed]:
    """Writes what is printed, errors as well, to a file."""
    printed = Printed(path)
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            yield printed
    finally:
        with contextlib.suppress(ValueError):
            printed.close()


def run(source: Source, file: Path, arguments: list[str], printed: Printed) -> tuple[str, str, str]:
    """Runs the program.

    Returns:
        What was wrong with it in a line, its traceback, and why it was ended before its end; "" where there is none.
    """
    try:
        return *_execute(source, file, arguments, printed), ""
    except Enough as enough:
        return "", "", str(enough)


def _execute(source: Source, file: Path, arguments: list[str], printed: Printed) -> tuple[str, str]:
    linecache.cache[source.path] = (len(source.text), None, source.text.splitlines(keepends=True), source.path)
    module = types.ModuleType("__main__")
    module.__file__ = str(file)
    if file.suffix == ".ipynb":
        module.__dict__.update(display=lambda *values: None, get_ipython=lambda: None)
    if (file.parent / "__init__.py").is_file():  # as `python -m package.module` does
        module.__package__ = _package(file.parent)
        sys.path.insert(1, str(file.parents[module.__package__.count(".") + 1]))
    sys.modules["__main__"] = module
    sys.argv = [source.path, *arguments]
    name = source.path
    try:
        exec(compile(source.tree, source.path, "exec"), module.__dict__)
    except Enough:
        raise
    except Asked as asked:
        return f"{name} asks for input ({str(asked)!r}): give it what it asks for as an argument, after --", _trace()
    except SystemExit as stop:
        return _stopped(name, stop, printed), ""
    except ModuleNotFoundError as error:
        return f"{name} needs the module {error.name!r}: {_wanted(file, error.name or '')}", _trace()
    except KeyboardInterrupt:
        return f"{name} took too long and was stopped", ""
    except BaseException as error:  # whatever a program may raise
        first = (str(error).splitlines() or [""])[0]
        place = next(
            (f":{one.lineno}" for one in reversed(traceback.extract_tb(error.__traceback__)) if one.filename == name),
            "",
        )
        return f"{name}{place} raises {type(error).__name__}: {first}", _trace()
    return "", ""


def _package(folder: Path) -> str:
    """The name of the package that a folder is."""
    above = folder.parent
    return f"{_package(above)}.{folder.name}" if (above / "__init__.py").is_file() else folder.name


def _wanted(file: Path, module: str) -> str:
    """What to do about a module that was not found."""
    top = module.partition(".")[0]
    near = [one for folder in (file.parent, *file.parents[1:3]) for one in sorted(folder.glob(f"*/{top}*"))[:1]]
    if near:
        return f"{near[0]} is not on the search path; name its folder in PYTHONPATH"
    return f"it is neither installed (`pip install {PACKAGES.get(top, top)}`) nor where the script looks for modules"


def _stopped(name: str, stop: SystemExit, printed: Printed) -> str:
    if stop.code in (None, 0):
        return ""
    last = (printed.text().strip().splitlines() or [""])[-1]
    if stop.code == 2 and "error:" in last:
        return f"{name} needs arguments ({last.partition('error: ')[2]}): give them after --"
    said = stop.code if isinstance(stop.code, str) else f"code {stop.code}{': ' + last if last else ''}"
    return f"{name} ends itself with sys.exit ({said})"


def _trace() -> str:
    """The traceback that is being handled, the user's part of it."""
    lines = traceback.format_exc().splitlines()
    start = next((i for i, line in enumerate(lines) if "exec(compile" in line), 0)
    return "\n".join(lines[:1] + lines[start + 1 :]) if start else "\n".join(lines)


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Ends the program quietly after so much time of the processor, or three times as much by the clock."""

    def end(number: int, frame: Any) -> None:
        raise Enough(f"it had {seconds:g} s of the processor, or waited for {PATIENCE * seconds:g} s")

    if hasattr(signal, "setitimer"):
        before = {kind: signal.signal(kind, end) for kind in (signal.SIGALRM, signal.SIGPROF)}
        signal.setitimer(signal.ITIMER_PROF, seconds, AGAIN)  # a bare `except` of the program's may have caught it
        signal.setitimer(signal.ITIMER_REAL, PATIENCE * seconds, AGAIN)
        try:
            yield
        finally:
            for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
                signal.setitimer(timer, 0)
            for kind, handler in before.items():
                signal.signal(kind, handler)
        return
    timer_ = threading.Timer(PATIENCE * seconds, lambda: signal.raise_signal(signal.SIGINT))
    timer_.start()
    try:
        yield
    finally:
        timer_.cancel()


def limit_memory(gigabytes: float) -> None:
    """Lets allocations beyond a limit fail, where the system can."""
    try:
        import resource
    except ImportError:
        return
    size = int(gigabytes * 2**30)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (size, resource.getrlimit(resource.RLIMIT_DATA)[1]))
