"""Statistics of pixels that images are normalised by: those of well-known data and weights, for the images at hand."""

from lowres.doctor.pipeline import Pipeline

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
STATISTICS: dict[str, Statistics] = {
    "CIFAR10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "CIFAR100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "MNIST": ((0.1307,), (0.3081,)),
    "FashionMNIST": ((0.2860,), (0.3530,)),
    "SVHN": ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
}
"""Mean and standard deviation of the training images' pixels, from 0 to 1."""
LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in a grey pixel, as pillow and torchvision have them."""


def channels_of(one: Pipeline) -> int | None:
    """Channels of a loader's images; None where these are no maps."""
    images = one.samples[0] if one.samples is not None else None
    return int(images.shape[1]) if images is not None and images.dim() == 4 else None


def fitting(known: Statistics, channels: int | None) -> Statistics | None:
    """Statistics for images of so many channels: as they are, or those of grey made of red, green and blue.

    Returns:
        None where they do not fit: torchvision raises then.
    """
    if channels is None or len(known[0]) in (1, channels):
        return known
    if channels != 1 or len(known[0]) != 3:
        return None
    mean, std = (round(sum(w * v for w, v in zip(LUMA, one, strict=True)), 4) for one in known)
    return (mean,), (std,)  # the channels of photographs rise and fall together


def of_the_data(train: Pipeline) -> Statistics | None:
    """Those of the training images before their transforms; None where they are not known."""
    return STATISTICS.get(type(train.base).__name__) or _measured(train)


def _measured(train: Pipeline) -> Statistics | None:
    raw = train.raw
    if raw is None or raw.ndim != 4 or raw.shape[-1] not in (1, 3):
        return None
    pixels = raw[:: max(len(raw) // 5000, 1)] / 255
    mean, std = pixels.mean(axis=(0, 1, 2)), pixels.std(axis=(0, 1, 2))
    return tuple(round(float(v), 4) for v in mean), tuple(round(float(v), 4) for v in std)
