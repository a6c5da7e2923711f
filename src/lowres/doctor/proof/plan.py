"""How a proof spends its time: how small a training decides most, and which fixes it is worth trying.

Pure functions of seconds that were measured.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

SEEDS = 4
"""Of a first look. With three, an interval is 1.7 times as wide."""
FEWEST = 3
STEPS = 40
"""Of the optimizer, below which batches are made smaller."""
SMALLEST_BATCH = 16
SMALLEST = 320
"""Images passed through in training, below which nothing can be told."""
LEARNED = 3000
"""Those by which most networks are well above chance: images are made smaller for as many."""
GOOD = STEPS * SMALLEST_BATCH
"""Below which a fix that makes every step slower is left out for the sake of the others."""
FIRST = 0.45
"""Share of the time for the first look, so that there is more for what it leaves undecided."""
ALL = 0.92
"""Share for it where there is little."""
LARGEST = 2_000_000
SLOWER = 1.5
PARTS = {2: "half", 4: "a quarter of"}
"""What sides of images may be divided into, in words."""


@dataclass(frozen=True)
class Proxy:
    """A short training.

    Attributes:
        images: To train on.
        epochs: Passes over them.
        test: Images to evaluate on.
        batch: At most so many images a step; 0: as the program has it.
        divided: Parts that the side of an image is divided into.
    """

    images: int
    epochs: int
    test: int
    batch: int = 0
    divided: int = 1

    @property
    def passes(self) -> int:
        """Images passed through in training."""
        return self.images * self.epochs

    @property
    def words(self) -> str:
        """Such as "3 epochs on 10,000 images of half the size"."""
        size = f" of {PARTS[self.divided]} the size" if self.divided > 1 else ""
        return f"{self.epochs} epoch{'s' if self.epochs > 1 else ''} on {self.images:,} images{size}"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Pace:
    """What a trial takes, in seconds: to start, to train on an image, to evaluate one."""

    start: float
    train: float
    evaluate: float

    def seconds(self, proxy: Proxy) -> float:
        """Of a trial."""
        return self.start + self.train * proxy.passes + self.evaluate * proxy.test * (proxy.epochs + 1)

    def slower(self, factor: float) -> "Pace":
        """The pace of a network that takes so many times as long."""
        return Pace(self.start, self.train * factor, self.evaluate * factor)


def proxy_of(passes: int, whole: int, batch: int, epochs: int) -> Proxy:
    """The training that passes about so many images through.

    Two epochs while there are few images, three for most, more where there is time for them: what matters late
    needs many, and a schedule needs some to come down in.

    Args:
        passes: Images passed through.
        whole: Images of the whole training set.
        batch: Of the program.
        epochs: Of the program.
    """
    many = 2 if passes < 2 * GOOD else 3 + int(math.sqrt(passes / 30_000))
    many = max(1, min(many, epochs))
    many = max(many, min(epochs, -(-passes // whole)))
    size = batch
    while passes / size < STEPS and size // 2 >= SMALLEST_BATCH:
        size //= 2
    images = min(whole, max(1, passes // many // size) * size)
    test = min(2000, max(200, images // 2))
    return Proxy(images, many, test, 0 if size == batch else size)


def divided(base: Pace, variants: int, seconds: float, divisors: Sequence[int]) -> int:
    """Parts into which sides of images are best divided: as few as give time enough to learn something.

    Args:
        base: The pace of the program as it is. A step's time goes with the area of its images.
        variants: That are trained with each seed, all at that pace.
        seconds: Of one process, for all that is to be done.
        divisors: What sides can be divided by, the least first.
    """
    each = FIRST * seconds / SEEDS / max(1, variants) - base.start
    for by in (1, *divisors):
        if each / (base.train + base.evaluate / 2) * by**2 >= LEARNED:
            return by
    return max((1, *divisors))


def largest(
    paces: Sequence[Pace], seconds: float, seeds: int, whole: int, batch: int, epochs: int, above: int = 0
) -> Proxy | None:
    """The longest training for which every variant can be run with every seed; None if there is none.

    Args:
        paces: Of the variants.
        seconds: Of one process.
        seeds: Of each variant.
        whole: Images of the whole training set.
        batch: Of the program.
        epochs: Of the program.
        above: It must pass more images through than these.
    """
    best, passes = None, float(SMALLEST)
    while passes <= min(LARGEST, whole * epochs):
        proxy = proxy_of(int(passes), whole, batch, epochs)
        if seeds * sum(pace.seconds(proxy) for pace in paces) > seconds:
            break
        best = proxy if proxy.passes > above else best
        passes *= 1.2
    return best


def chained(base: Pace, factors: Sequence[float]) -> list[Pace]:
    """The paces of a program without fixes, with the first, with the first two, ..."""
    paces = [base]
    for factor in factors:
        paces.append(paces[-1].slower(factor))
    return paces


def affordable(
    base: Pace,
    factors: Sequence[float],
    costs: Sequence[float],
    seconds: float,
    whole: int,
    batch: int,
    epochs: int,
    late: Sequence[bool] = (),
) -> tuple[list[int], Proxy | None, int]:
    """Which fixes to try, on what, with how many seeds.

    Fixes that make each step much slower come last, since all that come after them are slow, too, and are the first
    to be left out. Before them come those that work late in a training, of which a short one decides least.

    Args:
        base: The pace of the program as it is.
        factors: How many times as long a step takes with each fix.
        costs: Points that each fix is expected to give.
        seconds: Of one process, for all that is to be done.
        whole: Images of the whole training set.
        batch: Of the program.
        epochs: Of the program.
        late: Whether each fix works late in a training; none: no fix does.

    Returns:
        The fixes' places in `factors`, in the order in which they are added; the proxy, None if there is time for
        none; seeds.
    """
    waits = list(late) or [False] * len(costs)
    order = sorted(range(len(costs)), key=lambda i: (factors[i] > SLOWER, waits[i], -costs[i]))
    quick = [i for i in order if factors[i] <= SLOWER]
    for share, seeds, enough, chosen in (
        (FIRST, SEEDS, GOOD, order),
        (FIRST, SEEDS, GOOD, quick),
        (ALL, SEEDS, GOOD, quick),
        (ALL, FEWEST, SMALLEST, quick),
        *((ALL, FEWEST, SMALLEST, quick[:count]) for count in range(len(quick) - 1, 0, -1)),
        *((ALL, FEWEST, SMALLEST, [i]) for i in order if i not in quick),
    ):
        paces = chained(base, [factors[i] for i in chosen])
        proxy = largest(paces, share * seconds, seeds, whole, batch, epochs)
        if chosen and proxy is not None and proxy.passes >= 0.9 * enough:
            return list(chosen), proxy, seeds
    return [], None, 0


def least(base: Pace, factor: float, workers: int, whole: int, batch: int, epochs: int) -> float:
    """Seconds by the clock that a first look at one fix takes, on the smallest proxy."""
    proxy = proxy_of(SMALLEST, whole, batch, epochs)
    return FEWEST * (base.seconds(proxy) + base.slower(factor).seconds(proxy)) / workers / ALL
