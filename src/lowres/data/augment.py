"""Augmentation of whole batches with tensor operations, on whatever device the images are.

`Augmentation` says what is wanted. The functions are pure: what is random (offsets, centres, partners) comes
in as an argument, drawn by `lowres.data.draws`; `lowres.data.batches` puts them together.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from lowres.errors import UserError, unknown

Padding = Literal["zero", "reflect"]
Flip = Literal["none", "random", "alternating"]
MixupLabels = Literal["mixed", "dominant"]
Box = tuple[int, int, int, int]

LUMINANCE = (0.2989, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601), as torchvision and PIL weigh them


@dataclass(frozen=True)
class Augmentation:
    """What happens to a training image before the network sees it.

    The default is what the ResNet paper does on CIFAR (He 2015, section 4.2): pad by 4, crop, flip. The order
    is: crop, flip, jitter, normalisation, cutout, then mixup or CutMix. Where both of these are set, each
    batch gets one of them, picked at random with probability 1/2.

    Attributes:
        crop: Random crop back to the image's size after padding by so many raw pixels on each side; 0 = none.
        padding: What is padded: "zero" (black) or "reflect" (mirrored without repeating the border pixel).
        flip: Horizontal flip: "none"; "random", each image with probability 1/2; or "alternating", random in
            the first epoch and from then on each image every other epoch (Jordan 2024, "94% on CIFAR-10 in
            3.29 seconds", section 3.6).
        cutout: Side in pixels of one square an image that is filled with the mean; 0 = none. Its centre is
            uniform over the image, so the square is clipped at the border (DeVries 2017).
        mixup: alpha of Beta(alpha, alpha), from which each batch draws the ratio by which it is blended with
            a permutation of itself (Zhang 2017); 0 = none.
        mixup_labels: "mixed" blends the labels by the same ratio; "dominant" gives the larger share of the
            blend to one image and keeps that image's label unmixed (image-only mixup, as in Anand 2020,
            github iamVarunAnand/image_classification).
        mixup_beta: Second parameter of mixup's Beta distribution; 0 = the same as `mixup`.
        cutmix: alpha of Beta(alpha, alpha) for the area of the box that each batch takes from a permutation
            of itself; labels are mixed by the true area (Yun 2019); 0 = none.
        jitter: Strength s of colour jitter: each image's brightness, contrast and saturation, in this order,
            are multiplied by factors uniform in [1 - s, 1 + s]; 0 = none.

    Raises:
        UserError: if a value is out of its range.

    Example:
        >>> Augmentation(cutout=8, flip="alternating").crop
        4
    """

    crop: int = 4
    padding: Padding = "zero"
    flip: Flip = "random"
    cutout: int = 0
    mixup: float = 0.0
    mixup_labels: MixupLabels = "mixed"
    mixup_beta: float = 0.0
    cutmix: float = 0.0
    jitter: float = 0.0

    def __post_init__(self) -> None:
        for name in ("crop", "cutout"):
            pixels = getattr(self, name)
            if type(pixels) is not int or pixels < 0:
                raise UserError(f"augmentation.{name} is {pixels!r}: give a whole number, 0 or more pixels")
        for name in ("mixup", "mixup_beta", "cutmix", "jitter"):
            value, most = getattr(self, name), 1.0 if name == "jitter" else math.inf
            if type(value) not in (int, float) or not 0 <= value <= most or math.isinf(value):
                allowed = "0 (none) to 1" if name == "jitter" else "0 (none) or more"
                raise UserError(f"augmentation.{name} is {value!r}: give a number, {allowed}")
        for name, kind in (("padding", Padding), ("flip", Flip), ("mixup_labels", MixupLabels)):
            if getattr(self, name) not in get_args(kind):
                raise unknown(f"augmentation.{name}", str(getattr(self, name)), get_args(kind))

    @property
    def mixes_labels(self) -> bool:
        """Whether labels come as shares of the classes instead of as class numbers."""
        return self.cutmix > 0 or (self.mixup > 0 and self.mixup_labels == "mixed")


NO_AUGMENTATION = Augmentation(crop=0, flip="none")
"""Images as they are: for evaluation."""


def crop(images: Tensor, offsets: Tensor, padding: int, mode: Padding = "zero") -> Tensor:
    """Pads each image and cuts a window of the image's own size out of it.

    Args:
        images: uint8 or float, (B, C, H, W).
        offsets: int64, (B, 2): row and column of the window's upper left corner, 0 to 2 * padding.
        padding: Pixels added on each side.
        mode: "zero", or "reflect", which needs a padding below H and W.

    Returns:
        As `images`.
    """
    count, channels, height, width = images.shape
    padded = _reflected(images, padding) if mode == "reflect" else F.pad(images, (padding,) * 4)
    tall, wide = padded.shape[2:]
    # A window's row is `width` neighbours in memory. All such runs together are one overlapping view; picking
    # from it copies runs as a whole, on a CPU much faster than indexing pixels or looping over images.
    runs = padded.flatten().unfold(0, width, 1)
    plane = torch.arange(count * channels, device=images.device).view(count, channels, 1) * (tall * wide)
    corner = (offsets[:, 0] * wide + offsets[:, 1]).view(count, 1, 1)
    row = torch.arange(height, device=images.device) * wide
    return runs.index_select(0, (plane + corner + row).flatten()).view(images.shape)


def _reflected(images: Tensor, padding: int) -> Tensor:
    """Pads with the mirrored image, which PyTorch's own reflection does not do for uint8."""
    left, right = images[..., 1 : padding + 1].flip(3), images[..., -padding - 1 : -1].flip(3)
    wide = torch.cat([left, images, right], dim=3)
    top, bottom = wide[:, :, 1 : padding + 1].flip(2), wide[:, :, -padding - 1 : -1].flip(2)
    return torch.cat([top, wide, bottom], dim=2)


def flip(images: Tensor, chosen: Tensor) -> Tensor:
    """Mirrors the chosen images, left to right.

    Args:
        images: (B, C, H, W).
        chosen: bool, (B,).

    Returns:
        As `images`.
    """
    count = len(images)
    both = torch.cat([images, images.flip(3)])  # picking whole images from these is faster than torch.where
    return both.index_select(0, torch.arange(count, device=images.device) + count * chosen)


def jitter(images: Tensor, factors: Tensor) -> Tensor:
    """Changes each image's brightness, then its contrast, then its saturation.

    Each follows torchvision: a blend with black, with the image's mean luminance, and with its luminance,
    clipped to [0, 1]. Images of other than three channels take the mean over the channels as luminance.

    Args:
        images: float, (B, C, H, W), in [0, 1].
        factors: float, (B, 3): brightness, contrast and saturation, 1 = unchanged.

    Returns:
        As `images`.
    """
    brightness, contrast, saturation = factors.view(-1, 3, 1, 1, 1).unbind(1)
    images = (images * brightness).clamp_(0, 1)
    # Two means in a row: one over all pixels may add up in another order where there are more threads.
    mean = _luminance(images).mean(3, keepdim=True).mean(2, keepdim=True)
    images = torch.lerp(mean, images, contrast).clamp_(0, 1)
    return torch.lerp(_luminance(images), images, saturation).clamp_(0, 1)


def _luminance(images: Tensor) -> Tensor:
    if images.shape[1] != len(LUMINANCE):
        return images.mean(1, keepdim=True)
    red, green, blue = LUMINANCE
    return red * images[:, :1] + green * images[:, 1:2] + blue * images[:, 2:]


def cutout(images: Tensor, centres: Tensor, side: int) -> Tensor:
    """Sets a square of each image to zero: the mean, once images are normalised (DeVries 2017, section 3).

    Args:
        images: float, (B, C, H, W), normalised.
        centres: int64, (B, 2): the square's middle row and column (after the middle where `side` is even).
            What reaches over the border is cut off.
        side: Side of the square in pixels.

    Returns:
        As `images`.
    """
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device) - centres[:, :1] + side // 2
    columns = torch.arange(width, device=images.device) - centres[:, 1:] + side // 2
    hit_rows, hit_columns = (rows >= 0) & (rows < side), (columns >= 0) & (columns < side)
    return images * ~(hit_rows[:, None, :, None] & hit_columns[:, None, None, :])


def mixup(images: Tensor, partner: Tensor, share: float) -> Tensor:
    """Blends each image with its partner (Zhang 2017, section 2).

    Args:
        images: float, (B, C, H, W).
        partner: int64, (B,): each image's partner, a place in the batch.
        share: What an image keeps of itself, 0 to 1.

    Returns:
        share * image + (1 - share) * partner, as `images`.
    """
    return torch.lerp(images.index_select(0, partner), images, share)


def cutmix(images: Tensor, partner: Tensor, box: Box) -> Tensor:
    """Replaces a box of each image with the same box of its partner (Yun 2019, section 3).

    Args:
        images: (B, C, H, W).
        partner: int64, (B,): each image's partner, a place in the batch.
        box: First row, first column, row after the last, column after the last.

    Returns:
        As `images`.
    """
    top, left, bottom, right = box
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = images[:, :, top:bottom, left:right].index_select(0, partner)
    return mixed


def soft_labels(labels: Tensor, classes: int) -> Tensor:
    """Class numbers as shares of the classes: one at the label, zero elsewhere.

    Args:
        labels: int64, (B,).
        classes: How many classes there are.

    Returns:
        float32, (B, classes).
    """
    # Not torch.nn.functional.one_hot, which on some devices waits for the labels in order to check them.
    return (labels[:, None] == torch.arange(classes, device=labels.device)).float()
