"""The random choices of one epoch, drawn all at once and before any image is touched.

They are a pure function of (seed, epoch), drawn with NumPy on the CPU: the same on every device and at every
thread count. `lowres.data.augment` carries them out, `lowres.data.batches` hands out the batches.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, unique
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lowres.data.augment import Augmentation, Box
from lowres.errors import UserError


@unique
class Stream(IntEnum):
    """What a random stream is for. Each purpose has its own, so that adding one changes no other's draws.

    The numbers enter every run's result: new purposes take new numbers.
    """

    ORDER = 0
    CROP = 1
    FLIP = 2
    CUTOUT = 3
    JITTER = 4
    PARTNER = 5
    MIXUP = 6
    CUTMIX = 7
    CHOICE = 8


Streams = Callable[[Stream], np.random.Generator]


@dataclass(frozen=True)
class Mix:
    """How one batch is mixed with a permutation of itself.

    Attributes:
        share: What an image keeps of itself, 0 to 1; with CutMix the true share of its area.
        box: The part that CutMix replaces, in pixels (see `lowres.data.augment.cutmix`); None for mixup.
    """

    share: float
    box: Box | None = None


@dataclass(frozen=True)
class Draws:
    """One epoch's random choices, in the order in which its images come; n is how many images those are.

    Attributes:
        order: int64, (n,): the images' numbers.
        offsets: int64, (n, 2): crop, row and column from 0 to twice the padding; None = no crop.
        flips: bool, (n,): which images are mirrored; None = none.
        factors: float32, (n, 3): brightness, contrast, saturation; None = no jitter.
        centres: int64, (n, 2): middle row and column of the cutout; None = no cutout.
        partners: int64, (n,): with whom an image is mixed, as its place within the batch; None = no mixing.
        mixes: How each batch is mixed, on the host so that nothing waits for a device; empty = no mixing.
    """

    order: Tensor
    offsets: Tensor | None = None
    flips: Tensor | None = None
    factors: Tensor | None = None
    centres: Tensor | None = None
    partners: Tensor | None = None
    mixes: tuple[Mix, ...] = ()


def generator(seed: int, epoch: int, stream: Stream) -> np.random.Generator:
    """The random generator for one purpose in one epoch.

    Raises:
        UserError: if the seed or the epoch is negative, or takes more than 32 bits: NumPy would take the higher
            ones for the next of the three numbers.
    """
    if not (0 <= seed < 2**32 and 0 <= epoch < 2**32):
        raise UserError(f"seed {seed} and epoch {epoch}: both must be 0 or more, and below 2 to the 32nd")
    return np.random.default_rng(np.random.SeedSequence([seed, epoch, int(stream)]))


def draw(
    augmentation: Augmentation,
    *,
    images: int,
    batch_size: int,
    size: tuple[int, int],
    seed: int,
    epoch: int,
    shuffle: bool = True,
    drop_last: bool = True,
    device: torch.device | str = "cpu",
) -> Draws:
    """Draws everything that is random in an epoch.

    What is drawn for an image (crop, flip, jitter, cutout) is tied to the image, not to its place: it stays
    the same when the batch size or the order changes.

    Args:
        augmentation: What is wanted.
        images: How many images there are.
        batch_size: Images in a batch.
        size: Their height and width in pixels.
        seed: Of the run, 0 or more.
        epoch: From 0.
        shuffle: Whether the images come in a random order, each once, or in their own.
        drop_last: Whether an incomplete last batch is left out.
        device: Where the tensors go.

    Returns:
        The epoch's draws.
    """
    target = torch.device(device)
    streams = partial(generator, seed, epoch)

    def sent(values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(target, non_blocking=target.type == "cuda")

    order = streams(Stream.ORDER).permutation(images) if shuffle else np.arange(images)
    if drop_last:
        order = order[: images - images % batch_size]
    offsets = flips = factors = centres = partners = None
    mixes: tuple[Mix, ...] = ()
    if augmentation.crop:
        offsets = sent(streams(Stream.CROP).integers(0, 2 * augmentation.crop + 1, (images, 2))[order])
    if augmentation.flip != "none":
        flips = sent(_flips(augmentation, images, seed, epoch)[order])
    if augmentation.jitter:
        low, high = 1 - augmentation.jitter, 1 + augmentation.jitter
        factors = sent(streams(Stream.JITTER).uniform(low, high, (images, 3)).astype(np.float32)[order])
    if augmentation.cutout:
        centres = sent(streams(Stream.CUTOUT).integers(0, size, (images, 2))[order])
    if augmentation.mixup or augmentation.cutmix:
        partners = sent(_partners(streams(Stream.PARTNER), len(order), batch_size))
        mixes = _mixes(augmentation, streams, -(-len(order) // batch_size), size)
    return Draws(sent(order), offsets, flips, factors, centres, partners, mixes)


def _flips(augmentation: Augmentation, images: int, seed: int, epoch: int) -> NDArray[np.bool_]:
    alternating = augmentation.flip == "alternating"
    first = generator(seed, 0 if alternating else epoch, Stream.FLIP).integers(0, 2, images, dtype=np.bool_)
    return ~first if alternating and epoch % 2 else first


def _partners(rng: np.random.Generator, images: int, batch_size: int) -> NDArray[np.int64]:
    """A random permutation of each batch, one after the other; the last batch may be smaller."""
    whole, rest = divmod(images, batch_size)
    batches = rng.permuted(np.tile(np.arange(batch_size), (whole, 1)), axis=1)
    return np.concatenate([batches.ravel(), rng.permutation(rest)])


def _mixes(augmentation: Augmentation, streams: Streams, batches: int, size: tuple[int, int]) -> tuple[Mix, ...]:
    if not augmentation.cutmix:
        return tuple(_mixups(augmentation, streams(Stream.MIXUP), batches))
    cutmixes = _cutmixes(augmentation.cutmix, streams(Stream.CUTMIX), batches, size)
    if not augmentation.mixup:
        return tuple(cutmixes)
    pairs = zip(_mixups(augmentation, streams(Stream.MIXUP), batches), cutmixes, strict=True)
    choices = streams(Stream.CHOICE).integers(0, 2, batches).tolist()
    return tuple(pair[choice] for pair, choice in zip(pairs, choices, strict=True))


def _mixups(augmentation: Augmentation, rng: np.random.Generator, batches: int) -> list[Mix]:
    shares = rng.beta(augmentation.mixup, augmentation.mixup_beta or augmentation.mixup, batches)
    if augmentation.mixup_labels == "dominant":
        shares = np.maximum(shares, 1 - shares)
    return [Mix(share) for share in shares.tolist()]


def _cutmixes(alpha: float, rng: np.random.Generator, batches: int, size: tuple[int, int]) -> list[Mix]:
    """Boxes as in Yun's published code: of even sides, their centres uniform, clipped at the border."""
    sides = np.sqrt(1 - rng.beta(alpha, alpha, (batches, 1)))
    centres = rng.integers(0, size, (batches, 2))
    half = (sides * size).astype(np.int64) // 2
    first, last = np.clip(centres - half, 0, size), np.clip(centres + half, 0, size)
    shares = 1 - (last - first).prod(axis=1) / math.prod(size)
    boxes = np.concatenate([first, last], axis=1)
    return [Mix(share, tuple(box)) for share, box in zip(shares.tolist(), boxes.tolist(), strict=True)]
