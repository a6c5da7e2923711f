"""The figures that tell whether a network suits a size of image: shares of parameters, gradients, multiply-adds."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lowres.models.surgery.measure import DoesNotFit, trace
from lowres.models.surgery.report import Figures, Layer

DROPPING = ("Dropout", "Dropout2d", "AlphaDropout", "StochasticDepth", "DropPath", "DropBlock2d")


def figures(
    model: nn.Module, image_size: int, *, channels: int = 3, vectors: frozenset[str] = frozenset(), batch: int = 0
) -> Figures:
    """Measures a network on images of one size.

    Args:
        model: Left as it is.
        image_size: Side of the images.
        channels: Of the images.
        vectors: Names of convolutions that see pooled vectors, to be left out of shares.
        batch: Images for one backward pass, which measures gradients; 0: none is made.
    """
    parameters = sum(p.numel() for p in model.parameters())
    try:
        seen = trace(model, image_size, channels=channels, count=True)
    except DoesNotFit as error:
        return Figures(parameters, error=str(error))
    working = [call for call in seen.on_maps(vectors) if call.kind == "convolution"]
    held = sum({call.name: call.parameters for call in working}.values())
    small = {call.name: (call.after, call.parameters) for call in working}

    def share(side: int) -> float:
        return sum(n for after, n in small.values() if after <= side) / held if held else 0.0

    return Figures(
        parameters=parameters,
        multiply_adds=seen.multiply_adds,
        smallest_map=seen.smallest(vectors),
        on_1x1=share(1),
        on_2x2=share(2),
        zero_gradient=zero_gradient_share(model, image_size, channels=channels, vectors=vectors, batch=batch)
        if batch
        else None,
        layers=tuple(Layer(c.name, c.label, c.before, c.after, c.parameters) for c in seen.calls),
    )


def random_images(batch: int, channels: int, image_size: int, seed: int) -> Tensor:
    """Coarse noise with some fine noise, float32, (N, C, H, W), of deviation near 1."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(batch, channels, 4, 4, generator=generator)
    noise = torch.randn(batch, channels, image_size, image_size, generator=generator)
    return F.interpolate(coarse, size=(image_size, image_size), mode="bilinear") + noise / 4


def learning_mode(model: nn.Module) -> None:
    """Training mode, with nothing dropped: units and paths that are dropped have no gradient by chance."""
    model.train()
    for module in model.modules():
        if type(module).__name__ in DROPPING:
            module.eval()


def zero_gradient_share(
    model: nn.Module,
    image_size: int,
    *,
    channels: int = 3,
    vectors: frozenset[str] = frozenset(),
    batch: int = 8,
    seed: int = 0,
) -> float:
    """The share of convolution weights that one backward pass gives a gradient of exactly zero.

    Where a padded 3x3 kernel sees a map of one pixel, eight of its nine weights meet nothing but padding, whatever
    the images: such weights are never trained. Images are coarse noise with some fine noise; dropping of units or
    paths is off.

    Args:
        model: Its weights, buffers, gradients and modes are left as they were.
        image_size: Side of the images.
        channels: Of the images.
        vectors: Names of convolutions that see pooled vectors, to be left out.
        batch: Images.
        seed: Of the images.
    """
    device = next(model.parameters()).device
    images = random_images(batch, channels, image_size, seed).to(device)
    modes = {module: module.training for module in model.modules()}
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    kernels = [
        module.weight
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d) and name not in vectors and module.weight.requires_grad
    ]
    if not kernels:  # all are frozen
        return 0.0
    try:
        learning_mode(model)
        with torch.enable_grad():
            logits = model(images)
            labels = torch.arange(batch, device=device) % logits.shape[1]
            gradients = torch.autograd.grad(F.cross_entropy(logits, labels), kernels, allow_unused=True)
    finally:
        for module, training in modes.items():
            module.training = training
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)
    zero = sum(k.numel() if g is None else int((g == 0).sum()) for k, g in zip(kernels, gradients, strict=True))
    total = sum(kernel.numel() for kernel in kernels)
    return zero / total if total else 0.0
