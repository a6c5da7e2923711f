"""Programs with narrow networks, so that a processor trains hundreds of them.

Every network of a base gets a quarter of its channels (the MobileNet, whose stages are thin, half; the transformer
half, and half of its blocks). Only numbers of the network's own source change. A network that a fault puts in its
place stays as wide as it is.
"""

import re
from collections.abc import Callable

Change = tuple[str, str | Callable[[re.Match[str]], str]]


def _divided(by: int) -> Callable[[re.Match[str]], str]:
    """The counts of channels in a match, divided: its numbers of two figures or more, or its only one."""

    def change(match: re.Match[str]) -> str:
        return re.sub(r"\d{2,}|(?<==)\d$", lambda number: str(int(number[0]) // by), match[0])

    return change


NARROW: dict[str, tuple[Change, ...]] = {
    "resnet9": ((r"\bwidth=\d+", _divided(4)),),
    "resnet18": ((r"\bwidth=\d+", _divided(4)),),
    "mobilenet": (
        (r"\(\d, \d+, \d, \d\)", _divided(2)),
        (r"nn\.Conv2d\(3, 32,|nn\.BatchNorm2d\(32\b|channels = 32\b", _divided(2)),
        (r"nn\.Conv2d\(channels, 640,|nn\.BatchNorm2d\(640\b|nn\.Linear\(640,", _divided(2)),
    ),
    "vgg": ((r"config = \(.*\)", _divided(4)), (r"nn\.Linear\(512 \* 2 \* 2", _divided(4))),
    "vit": ((r"dim=192, depth=6, heads=6", "dim=96, depth=3, heads=3"),),
}


def narrowed(text: str, base: str) -> str:
    """A program's source, with a narrow network in the place of its own."""
    for pattern, new in NARROW[base]:
        text = re.sub(pattern, new, text)
    return text
