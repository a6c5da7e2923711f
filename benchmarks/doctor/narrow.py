"""Programs with narrow networks, so that a processor trains hundreds of them.

Every network of a base gets a part of its channels: a quarter, an eighth (the MobileNet, whose stages are thin, twice
that; the transformer half, and half of its blocks, whatever the part). Only numbers of the network's own source
change. Of torchvision's networks that a fault puts in its place, MobileNetV2 has an option for its width; ResNet-18 has
none, and stays as wide as it is.
"""

import re
from collections.abc import Callable

Change = tuple[str, str | Callable[[re.Match[str]], str]]


def _divided(by: int) -> Callable[[re.Match[str]], str]:
    """The counts of channels in a match, divided: its numbers of two figures or more, or its only one."""

    def change(match: re.Match[str]) -> str:
        return re.sub(r"\d{2,}|(?<==)\d$", lambda number: str(max(1, int(number[0]) // by)), match[0])

    return change


def _changes(base: str, by: int) -> tuple[Change, ...]:
    match base:
        case "resnet9" | "resnet18":
            return ((r"\bwidth=\d+", _divided(by)),)
        case "mobilenet":
            half = _divided(max(1, by // 2))
            return (
                (r"\(\d, \d+, \d, \d\)", half),
                (r"nn\.Conv2d\(3, 32,|nn\.BatchNorm2d\(32\b|channels = 32\b", half),
                (r"nn\.Conv2d\(channels, 640,|nn\.BatchNorm2d\(640\b|nn\.Linear\(640,", half),
                (r"mobilenet_v2\(num_classes=10", rf"\g<0>, width_mult={1 / max(1, by // 2):g}"),
            )
        case "vgg":
            return ((r"config = \(.*\)", _divided(by)), (r"nn\.Linear\(512 \* 2 \* 2", _divided(by)))
        case "vit":
            return ((r"dim=192, depth=6, heads=6", "dim=96, depth=3, heads=3"),)
    raise KeyError(base)


def narrowed(text: str, base: str, by: int) -> str:
    """A program's source, with a network of one `by`-th of the width in the place of its own; 1: as it is."""
    for pattern, new in _changes(base, by) if by > 1 else ():
        text = re.sub(pattern, new, text)
    return text
