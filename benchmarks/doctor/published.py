"""A published training loop's faults, in PyTorch: our own program after the description of one.

The schedule is handed the rate where it expects the epoch, so the rate stays at its warm-up value; validation images
are also trained on; the test's last batch is filled up with the first images again; shuffling looks only a thousand
images ahead.
"""

from operators import Fault
from source import PARTS, STYLES, Source


def _kept(source: Source) -> Source:
    return source


def _fault(name: str, kind: str, tier: int, cost: float, also: tuple[str, ...], what: str) -> Fault:
    return Fault(name, kind, tier, cost, name, ("xresnet",), ("plain",), also, _kept, what)


def program() -> Source:
    """The program."""
    return Source((PARTS / "published.py.in").read_text(encoding="utf-8"), "xresnet", STYLES["plain"])


PUBLISHED_FAULTS = (
    _fault("schedule-given-the-rate", "C03", 1, 8, ("C02", "C04"), "The schedule takes the rate for the epoch."),
    _fault("validation-from-training", "C25", 3, 3, ("C08",), "Validation images are also training images."),
    _fault("images-counted-twice", "C24", 3, 0.1, (), "The test counts 112 images twice."),
)
# The small window costs nothing on CIFAR-10, whose order is random: naming it is right, not naming it no miss.
PUBLISHED_EXTRA = ("C18",)
