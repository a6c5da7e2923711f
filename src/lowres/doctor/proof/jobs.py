"""Runs trials, two at a time, within a deadline, and keeps what came of them, so that a proof can go on."""

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lowres.doctor.proof import draws, follower, loaders, measuring, trial
from lowres.doctor.proof.nursery import Lost, Worker
from lowres.doctor.proof.plan import Proxy
from lowres.errors import UserError
from lowres.files import write_json

Result = dict[str, Any]
GRACE = 15.0
"""Seconds that a trial may run beyond its deadline."""


@dataclass(frozen=True)
class Job:
    """One trial to run.

    Attributes:
        codes: Of the fixes that the variant has, in the order in which they were added.
        seed: Of the trial.
        proxy: How short it is.
    """

    codes: tuple[str, ...]
    seed: int
    proxy: Proxy


@dataclass(frozen=True)
class Standing:
    """Where a proof stands, for whoever shows it.

    Attributes:
        done: Trials of this stage that are over.
        total: Of this stage.
        left: Seconds until trials should be over.
        stage: What is being done, in a few words.
        line: What was just learned; "" for nothing.
    """

    done: int
    total: int
    left: float
    stage: str
    line: str = ""


Tell = Callable[[Standing], None]


@dataclass
class Shelf:
    """Results of trials by what decides them; in a folder, or in memory alone.

    Attributes:
        folder: None where nothing can be written.
    """

    folder: Path | None
    _kept: dict[str, Result] = field(default_factory=dict)

    def get(self, request: dict[str, Any]) -> Result | None:
        """The result of a trial that was run before."""
        key = fingerprint(request)
        if key not in self._kept and self.folder is not None:
            try:
                self._kept[key] = json.loads((self.folder / f"{key}.json").read_text(encoding="utf-8"))
            except (OSError, ValueError):
                return None
        return self._kept.get(key)

    def put(self, request: dict[str, Any], result: Result) -> None:
        """Keeps a result."""
        key = fingerprint(request)
        self._kept[key] = result
        if self.folder is not None:
            write_json(self.folder / f"{key}.json", result)


def shelf(work: Path | None) -> tuple[Shelf, str]:
    """A shelf in the user's cache or in a folder that was named; and a note where nothing is kept.

    Raises:
        UserError: Nothing can be written in the folder that was named.
    """
    folder = work.expanduser() if work is not None else cache()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        usable = os.access(folder, os.W_OK)
    except OSError:
        usable = False
    if usable:
        return Shelf(folder), ""
    if work is not None:
        raise UserError(f"--work {work} cannot be written: name a folder that can")
    return Shelf(None), f"{folder} cannot be written, so a proof that is interrupted begins anew (--work FOLDER)"


def cache() -> Path:
    """Where results are kept if no folder is named."""
    home = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("LOCALAPPDATA") if os.name == "nt" else None)
    return Path(home or Path.home() / ".cache") / "lowres" / "proofs"


def fingerprint(request: dict[str, Any]) -> str:
    """A hash of all that decides a trial's result, this code too."""
    digest = hashlib.sha256()
    kept = {
        name: value
        for name, value in request.items()
        if name not in ("seconds", "threads", "memory") + (() if "decision" in request else ("budget",))
    }
    digest.update(json.dumps(kept, sort_keys=True).encode())
    for module in (trial, follower, loaders, draws, measuring):
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()[:24]


class Crew:
    """Workers that run trials side by side; leave it to end them.

    Args:
        workers: Trials at a time.
        kept: Where results are kept.
    """

    def __init__(self, workers: int, kept: Shelf) -> None:
        self.workers = workers
        self._kept = kept
        self._free = [Worker() for _ in range(workers)]
        self._all = list(self._free)
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(workers)

    def close(self) -> None:
        """Ends trials that are under way."""
        for one in self._all:
            one.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
        for one in self._all:
            one.__exit__()

    def run(
        self,
        requests: Sequence[dict[str, Any]],
        estimates: Sequence[float],
        deadline: float,
        end: float,
        tell: Callable[[int, Result], None],
        fresh: bool = False,
    ) -> dict[int, Result]:
        """Runs trials in their order; those that would end after the deadline are left out.

        Args:
            requests: Of the trials.
            estimates: Seconds that each will take.
            deadline: By `time.monotonic`; what runs much longer is ended.
            end: By which everything is, whatever it is.
            tell: Hears the place and the result of each trial as it ends.
            fresh: Run them also where their results are known.

        Returns:
            Results by place; where a trial failed, one with a `problem`.
        """
        results: dict[int, Result] = {}
        under_way: dict[Future[Result], int] = {}
        waiting = list(range(len(requests)))
        while waiting or under_way:
            while waiting and len(under_way) < self.workers:
                place = waiting.pop(0)
                known = None if fresh else self._kept.get(requests[place])
                if known is not None:
                    results[place] = known
                    tell(place, known)
                elif time.monotonic() + estimates[place] <= deadline:
                    limit = max(3 * estimates[place] + 30, deadline - time.monotonic())
                    limit = min(limit, max(1.0, min(deadline + GRACE, end) - time.monotonic()))
                    under_way[self._pool.submit(self._one, requests[place], limit)] = place
            if not under_way:
                continue
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                place = under_way.pop(future)
                results[place] = future.result()
                tell(place, results[place])
        return results

    def _one(self, request: dict[str, Any], limit: float) -> Result:
        with self._lock:
            worker = self._free.pop()
        began = time.monotonic()
        try:
            result = worker.run(request, limit)
        except Lost as lost:
            return {"problem": str(lost), "figure": None}
        finally:
            with self._lock:
                self._free.append(worker)
        result["wall"] = time.monotonic() - began
        if not result["problem"] and not result["made_up"]:
            self._kept.put(request, result)
        return result
