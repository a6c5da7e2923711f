"""Test-time augmentation: a network's answers to several views of each image, averaged, where a recipe asks for it.

A figure made this way says so wherever it stands, and has the one without beside it. Images that the network is sure
of can be left at their one view: most images are, so most of the cost goes.
"""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lowres.errors import UserError
from lowres.evaluation.scores import compute_logits
from lowres.training.device import Placement

View = tuple[bool, int, int]
"""Mirrored or not, and by how many pixels the image moves down and right."""

VIEWS: dict[str, tuple[tuple[View, float], ...]] = {
    "mirror": (((False, 0, 0), 0.5), ((True, 0, 0), 0.5)),
    # Half of the weight for the image where it is, a quarter for each shift (Jordan 2024, airbench, section 3.5).
    "mirror+shift": tuple(
        ((mirrored, shift, shift), weight)
        for shift, weight in ((0, 0.25), (-1, 0.125), (1, 0.125))
        for mirrored in (False, True)
    ),
}


def see(images: Tensor, view: View) -> Tensor:
    """A view of images, (N, C, H, W): mirrored, shifted, the border reflected where nothing is left to show."""
    mirrored, down, right = view
    if mirrored:
        images = images.flip(3)
    if not (down or right):
        return images
    height, width = images.shape[2:]
    reach = max(abs(down), abs(right))
    padded = F.pad(images, (reach,) * 4, mode="reflect")
    return padded[:, :, reach - down : reach - down + height, reach - right : reach - right + width]


def filled(images: Tensor, size: int) -> Tensor:
    """Images, (N, C, H, W), and black ones behind them, so that they make whole batches."""
    return F.pad(images, (0, 0, 0, 0, 0, 0, 0, -len(images) % size))


def compute_averaged_logits(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    placement: Placement,
    views: Sequence[tuple[View, float]],
    below: float = 1.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits without and with test-time augmentation.

    Args:
        model: The network.
        batches: Images, normalised, and labels; gone through once.
        placement: Device, precision, layout.
        views: With their weights, which sum to 1; the image as it is comes first.
        below: Images whose most probable class has at least this probability keep their one view.

    Returns:
        Logits of the images as they are and logits averaged over the views, float32, (N, classes), and labels,
        int64, (N,).

    Raises:
        UserError: There is no batch.
    """
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    masks: list[Tensor] = []
    left: list[Tensor] = []  # images that the network is unsure of
    size = 0
    for x, y in batches:  # no more of them at a time: at 224 pixels 10,000 images are 6 GB
        size = size or len(x)
        plain, labels = compute_logits(model, [(x, y)], placement)
        if below < 1:
            masks.append(plain.softmax(1).amax(1) < below)
            left.append(x[masks[-1].to(x.device)])
            averaged = plain.clone()
        else:
            averaged = _averaged(model, x, plain, placement, views, size)
        found.append((plain, averaged, labels))
    if not found:
        raise UserError("there are no images to evaluate on")
    plain, averaged, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
    if below < 1:
        # All unsure images together, so that the batches are full ones again.
        unsure, chosen = torch.cat(masks), torch.cat(left)
        if len(chosen):
            averaged[unsure] = _averaged(model, chosen, plain[unsure], placement, views, size)
    return plain, averaged, labels


def _averaged(
    model: nn.Module,
    images: Tensor,
    plain: Tensor,
    placement: Placement,
    views: Sequence[tuple[View, float]],
    size: int,
) -> Tensor:
    """Logits averaged over the views, of images whose logits of the first view are known, in batches of a size."""
    if images.device.type == "cuda":  # where cuDNN would search anew for the size of what is left over
        images = filled(images, size)
    total = plain * views[0][1]
    nothing = torch.zeros(len(images), dtype=torch.int64)
    for view, weight in views[1:]:
        seen = zip((see(part, view) for part in images.split(size)), nothing.split(size), strict=True)
        total += compute_logits(model, seen, placement)[0][: len(plain)] * weight
    return total
