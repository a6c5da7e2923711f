"""Test-time augmentation: a network's answers to several views of each image, averaged, where a recipe asks for it.

A figure made this way says so wherever it stands, and has the one without beside it. Images that the network is sure
of can be left at their one view: most images are, so most of the cost goes.
"""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
    batches = list(batches)
    plain, labels = compute_logits(model, batches, placement)
    images = torch.cat([x for x, _ in batches])
    unsure = plain.softmax(1).amax(1) < below if below < 1 else torch.ones_like(labels, dtype=torch.bool)
    chosen, theirs = images[unsure.to(images.device)], labels[unsure]
    averaged = plain.clone()
    if len(chosen):
        # All unsure images together, so that the batches are full ones again.
        size = len(batches[0][0])
        if chosen.device.type == "cuda":  # where cuDNN would search anew for the size of what is left over
            chosen = filled(chosen, size)
        total = plain[unsure] * views[0][1]
        for view, weight in views[1:]:
            seen = zip((see(part, view) for part in chosen.split(size)), theirs.split(size), strict=True)
            total += compute_logits(model, seen, placement)[0][: len(theirs)] * weight
        averaged[unsure] = total
    return plain, averaged, labels
