"""The other road: the network stays as it is, the images grow, on the device that computes."""

import torch.nn.functional as F
from torch import Tensor, nn

from lowres.errors import UserError


class Upsampled(nn.Module):
    """A network behind a bilinear enlargement of its images.

    Args:
        network: Takes images of `size` pixels.
        size: Side that images are enlarged to.
    """

    def __init__(self, network: nn.Module, size: int) -> None:
        super().__init__()
        if size < 8:
            raise UserError(f"images are enlarged to {size} pixels, but must be to at least 8")
        self.size = size
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) of any size to logits (N, classes)."""
        enlarged = F.interpolate(images, size=(self.size, self.size), mode="bilinear", align_corners=False)
        logits: Tensor = self.network(enlarged)
        return logits

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"size={self.size}"
