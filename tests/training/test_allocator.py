import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
from lowres.training.allocator import keep_memory
if sys.argv[1] == "keep":
    assert keep_memory()
for count in range(24):  # the first ones find their place
    if count == 14:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(20_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_large_tensors_are_not_fetched_from_the_kernel_again():
    """Ten tensors of 80 MB, each freed before the next: 195,000 pages of 4 KB, or none."""

    def faults(how: str) -> int:
        done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert faults("keep") < faults("leave") / 10


def test_elsewhere_nothing_happens(monkeypatch):
    from lowres.training.allocator import keep_memory

    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_memory()
