"""Whether stored pixels are in the order that they are read in, judged by how smooth they are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

FACTOR = 1.5
"""How much smoother another layout must be. Between images of one layout the figure differs less, over 64 of them."""


def roughness(images: NDArray[Any]) -> float:
    """Mean difference of neighbouring pixels, in standard deviations: images (N, H, W, C)."""
    values = images.astype(np.float32)
    deviation = float(values.std()) or 1.0
    across = np.abs(np.diff(values, axis=2)).mean()
    down = np.abs(np.diff(values, axis=1)).mean()
    return float(across + down) / (2 * deviation)


def smoother_layout(images: NDArray[Any]) -> tuple[str, float] | None:
    """A layout that the same bytes would be clearly smoother in.

    Args:
        images: (N, H, W, C) or (N, C, H, W), square, C of 3.

    Returns:
        The layout in words and how many times smoother; None where the images are as they should be.
    """
    channels_first = images.shape[1] == 3
    seen = images.transpose(0, 2, 3, 1) if channels_first else images
    if seen.shape[3] != 3 or seen.shape[1] != seen.shape[2]:
        return None
    n, side = len(seen), seen.shape[1]
    planar = np.ascontiguousarray(seen.transpose(0, 3, 1, 2)).reshape(n, -1)
    mixed = np.ascontiguousarray(seen).reshape(n, -1)
    others = {
        "height, width, channel": planar.reshape(n, side, side, 3),
        "channel, height, width": mixed.reshape(n, 3, side, side).transpose(0, 2, 3, 1),
        "columns and rows exchanged within the bytes": planar.reshape(n, side, 3, side).transpose(0, 1, 3, 2),
    }
    own = roughness(seen)
    name, best = min(((name, roughness(one)) for name, one in others.items()), key=lambda pair: pair[1])
    return (name, own / best) if own / best > FACTOR else None
