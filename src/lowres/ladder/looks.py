"""Looking again and again without erring more often: when a comparison is looked at, and what each look may spend.

A comparison is tested when it has as many seeds as asked for at first, then at half as many again, and so on; at no
other number of seeds. Look k spends 1 / (k (k + 1)) of the level, all looks together never more than the whole.
"""

import itertools
from collections.abc import Iterator


def look_sizes(first: int) -> Iterator[int]:
    """Numbers of seeds at which a comparison is looked at, without end.

    >>> list(itertools.islice(look_sizes(3), 6))
    [3, 5, 8, 12, 18, 27]
    """
    size = first
    while True:
        yield size
        size += (size + 1) // 2


def looks_until(first: int, count: int) -> list[int]:
    """The sizes of the looks that `count` seeds have allowed.

    >>> looks_until(3, 11)
    [3, 5, 8]
    """
    return list(itertools.takewhile(lambda size: size <= count, look_sizes(first)))


def next_look(first: int, count: int) -> int:
    """The size of the look that comes next.

    >>> next_look(3, 8)
    12
    """
    return next(size for size in look_sizes(first) if size > count)


def share(look: int) -> float:
    """The share of the level that a look may spend, the first being 1: 1/2, 1/6, 1/12, ...

    They add up to 1 however many there are. Later looks lose less than with 1/2, 1/4, 1/8, ...: the tenth still
    has a ninetieth of the first share where those leave a thousandth.
    """
    return 1 / (look * (look + 1))
