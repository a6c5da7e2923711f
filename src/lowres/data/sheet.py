"""A contact sheet: rows of images under their titles in one PNG, to see what a network is shown."""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from lowres.errors import UserError
from lowres.files import atomic

GAP = 2
"""Pixels between images, before scaling."""
TITLE = 14
"""Height of a title's letters in pixels."""


def contact_sheet(path: Path, rows: Sequence[tuple[str, Tensor]], scale: int = 3) -> None:
    """Writes rows of images, each under its title, as one PNG.

    Args:
        path: The file to write.
        rows: A title and images for each row: uint8, (K, C, H, W), C is 1 or 3, K, H and W as they like.
        scale: Each pixel becomes a square of so many pixels.

    Raises:
        UserError: If there is nothing to show, or a tensor is none of images.

    Example:
        >>> contact_sheet(Path("sheet.png"), [("as stored", dataset.train.images[:12])])  # doctest: +SKIP
    """
    if not rows or scale < 1:
        raise UserError("a contact sheet needs at least one row, and a scale of 1 or more")
    for title, images in rows:
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
            kind = str(images.dtype).removeprefix("torch.")
            raise UserError(f"row {title!r}: expected uint8 (K, 1 or 3, H, W), not {kind} {tuple(images.shape)}")
    gap = GAP * scale
    font = ImageFont.load_default(TITLE)
    width = max(len(images) * (images.shape[3] * scale + gap) for _, images in rows) + gap
    width = max(width, *(int(font.getlength(title)) + 2 * gap for title, _ in rows))
    heading = TITLE + 2 * gap
    height = sum(heading + images.shape[2] * scale for _, images in rows) + gap
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    y = 0
    for title, images in rows:
        draw.text((gap, y + gap // 2), title, fill="black", font=font)
        y += heading
        for k, image in enumerate(images):
            pixels = image.expand(3, -1, -1).permute(1, 2, 0).contiguous().cpu().numpy()
            tile = Image.fromarray(pixels).resize(
                (image.shape[2] * scale, image.shape[1] * scale), Image.Resampling.NEAREST
            )
            sheet.paste(tile, (gap + k * (tile.width + gap), y))
        y += images.shape[2] * scale
    with atomic(path) as temporary:
        sheet.save(temporary, format="PNG")


def denormalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Turns a normalised batch back into pixels.

    Args:
        images: Floating point, (B, C, H, W), as `Batches` yields them.
        mean: What was subtracted, for each channel, on the scale of 0 to 1.
        std: What it was divided by.

    Returns:
        uint8, (B, C, H, W), on the CPU.
    """
    shape = (1, -1, 1, 1)
    pixels = images.detach().cpu().float() * torch.tensor(std).view(shape) + torch.tensor(mean).view(shape)
    return pixels.mul_(255).round_().clamp_(0, 255).to(torch.uint8)
