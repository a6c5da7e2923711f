"""The processor cores of this machine, and how many cells fit on them."""

import os
from pathlib import Path

import torch

from lowres.errors import UserError

NEEDED = 1.5e9
"""Bytes that a worker is taken to need, CIFAR-10 and a network of 110 layers included."""
GROUP = Path("/sys/fs/cgroup")
"""What a container is allowed, on Linux."""


def cores_here() -> list[int]:
    """The cores this process may use, by number."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def workers_here(kind: str) -> int:
    """What `--workers auto` means: on CPUs a worker a core, as far as a container's share and memory allow; else one.

    Args:
        kind: Of device: "cpu", "cuda", "mps".
    """
    if kind != "cpu":
        return 1
    memory, share = free_memory(), _share()
    cores = len(cores_here()) if share is None else min(len(cores_here()), int(share))
    fitting = cores if memory is None else int(memory // NEEDED)
    return max(1, min(cores, fitting))


def share_out(workers: int, kind: str) -> tuple[list[list[int]], int]:
    """Cores for each worker, none of which two have, and threads.

    All workers have as many, so that it makes no difference to the bits of a result which of them computed it;
    what cannot be divided stays idle. A worker has no more threads than PyTorch has here. On devices other than
    CPUs, cores are not given out.

    Raises:
        UserError: There are more workers than cores.
    """
    cores = cores_here()
    if workers < 1:
        raise UserError(f"--workers is {workers}, but must be at least 1, or auto")
    each = max(1, len(cores) // workers)
    if kind != "cpu":
        return [[] for _ in range(workers)], each
    if workers > len(cores):
        raise UserError(
            f"--workers is {workers}, but this process has {len(cores)} core{'s' if len(cores) > 1 else ''}: "
            "more would only wait for each other; --workers auto picks"
        )
    return [cores[i * each : (i + 1) * each] for i in range(workers)], min(each, torch.get_num_threads())


def free_memory() -> float | None:
    """Bytes that this process could still have; None where the system does not say."""
    found = [size for size in (_available(), _allowed()) if size is not None]
    return min(found) if found else None


def _available() -> float | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def _share() -> float | None:
    """The processor time of a container, in cores; None where it has all of them."""
    try:
        most, period = (GROUP / "cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    return float(most) / float(period) if most != "max" else None


def _allowed() -> float | None:
    """What a container leaves."""
    try:
        most = (GROUP / "memory.max").read_text(encoding="ascii").strip()
        used = (GROUP / "memory.current").read_text(encoding="ascii").strip()
    except OSError:
        return None
    return float(most) - float(used) if most != "max" else None
