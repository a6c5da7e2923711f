"""A first layer that is computed, not learned: it takes the correlation out of small patches of pixels.

Neighbouring pixels are nearly equal, so a learned first layer spends its first epochs on undoing that. The covariance
of the training images' own patches gives the answer at once (Page 2019, "How to train your ResNet", part 8).
"""

import torch
from torch import Tensor, nn

from lowres.errors import UserError

SAMPLE = 5000
"""Training images that the covariance is taken from, spread evenly over them."""


class Whitening(nn.Conv2d):
    """A convolution with a fixed kernel and a trained bias: (N, channels, H, W) to (N, outputs, H - 1, W - 1).

    Each direction of a patch comes twice, with both signs, since what follows cuts negative values off.
    Until `whiten` has seen images, the kernel is random.

    Args:
        channels: Of the images.
        size: Side of the patches in pixels.
    """

    def __init__(self, channels: int, size: int = 2) -> None:
        super().__init__(channels, 2 * channels * size * size, size)
        self.weight.requires_grad_(False)


def whiten(model: nn.Module, images: Tensor) -> bool:
    """Sets the kernels of a network's whitening layers from training images, in place.

    Args:
        model: A network that is fed with the images, in whatever layer it whitens them.
        images: float, (N, channels, H, W), normalised as in training.

    Returns:
        Whether the network has such a layer.

    Raises:
        UserError: The images are too few for the covariance.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, Whitening)]
    for layer in layers:
        layer.weight.data.copy_(whitening_kernel(images, layer.kernel_size[0]))
    return bool(layers)


def whitening_kernel(images: Tensor, size: int = 2, offset: float = 5e-4) -> Tensor:
    """The kernel whose outputs, over the images' patches, are uncorrelated and of variance 1.

    Args:
        images: float, (N, channels, H, W).
        size: Side of the patches in pixels.
        offset: Added to each variance, so that directions which hold only noise are not blown up.

    Returns:
        float32, (2 d, channels, size, size) for patches of d values: the directions, the widest first, then
        their negatives.

    Raises:
        UserError: There are fewer patches than values in one.
    """
    # Every patch of every image, in float64: sums over a million patches, and small eigenvalues, need the digits.
    channels = images.shape[1]
    count = channels * size * size
    covariance = torch.zeros(count, count, dtype=torch.float64)
    total = torch.zeros(count, dtype=torch.float64)
    patches = 0
    for part in images.cpu().split(500):
        windows = part.double().unfold(2, size, 1).unfold(3, size, 1)  # (N, channels, H', W', size, size)
        values = windows.permute(1, 4, 5, 0, 2, 3).reshape(count, -1)
        covariance += values @ values.T
        total += values.sum(1)
        patches += values.shape[1]
    if patches <= count:
        raise UserError(f"{len(images)} images are too few to whiten {size}x{size} patches: give more training images")
    mean = total / patches
    variances, directions = torch.linalg.eigh(covariance / patches - mean.outer(mean))
    directions = directions.T.flip(0)
    # The sign of an eigenvector is free: its largest value is made positive, whatever the library gave.
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    directions = directions * largest.sign() / (variances.flip(0)[:, None].clamp_min(0) + offset).sqrt()
    kernel = directions.float().view(count, channels, size, size)
    return torch.cat([kernel, -kernel])
