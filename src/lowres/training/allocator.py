"""Memory that is kept from step to step: glibc would hand large tensors back to the kernel and fetch them anew.

Each tensor above 32 MB at the most is a mapping of its own there, given back when it is freed: its pages are cleared
by the kernel and mapped in one by one, every time. A training step frees and asks for the same sizes over and over.
"""

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # of malloc.h
_NEVER = -1
_PAD = 64 << 20


def keep_memory() -> bool:
    """Tells glibc's allocator to keep what is freed, for the rest of the process.

    It changes no number, only where they lie. What is kept is at most what was once in use, so that the peak is
    little higher.

    Returns:
        Whether this process has such an allocator, and it did as told.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
        ctypes.CDLL(None).gnu_get_libc_version  # noqa: B018 - other C libraries have a mallopt that does nothing
    except (OSError, AttributeError):
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    # The threshold above which a tensor gets a mapping cannot go over 32 MB: no mappings at all, then.
    asked = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_TOP_PAD, _PAD))
    return all(mallopt(what, value) == 1 for what, value in asked)
