"""The contact sheet: what the network really sees, training and evaluation batches, as one PNG."""

from pathlib import Path

import torch
from torch import Tensor

from lowres.data.sheet import contact_sheet
from lowres.doctor.setup import Setup
from lowres.errors import UserError

COLUMNS = 12


def write_sheet(path: Path, setup: Setup) -> None:
    """Draws batches as they entered the network, each channel stretched from its least to its greatest value.

    Raises:
        UserError: No batch of images was seen.
    """
    rows = [("training, as the network sees it", one.inputs) for one in setup.samples_of("training")[:2]]
    rows += [("evaluation, as the network sees it", one.inputs) for one in setup.samples_of("evaluation")[:2]]
    if not rows:
        pipelines = [one for one in (setup.train, *setup.evals) if one is not None and one.samples is not None]
        rows = [(one.role, one.samples[0]) for one in pipelines if one.samples is not None]
    rows = [(title, images) for title, images in rows if images.dim() == 4 and images.shape[1] in (1, 3)]
    if not rows:
        raise UserError("no batch of images was seen, so there is no contact sheet")
    side = max(images.shape[-1] for _, images in rows)
    contact_sheet(path, [(title, pixels(images[:COLUMNS])) for title, images in rows], scale=max(1, 96 // side))


def pixels(images: Tensor) -> Tensor:
    """Values of any range as bytes."""
    values = images.detach().float().nan_to_num()
    low, high = torch.quantile(values.flatten()[:1_000_000], torch.tensor([0.002, 0.998]))
    stretched: Tensor = ((values - low) / max(float(high - low), 1e-6) * 255).clamp(0, 255)
    return stretched.to(torch.uint8)
