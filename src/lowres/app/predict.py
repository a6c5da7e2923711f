"""`lowres predict`: what a trained network takes image files for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from lowres.app.command import parse, print_json
from lowres.errors import UserError


@dataclass(frozen=True)
class Predict:
    """Classes and probabilities of image files of any size.

        lowres predict runs/resnet20-quick-cifar10-s0 cat.jpg dog.png

    Attributes:
        target: A run folder or a model.safetensors.
        images: Image files; each is resized, with antialiasing, and cut to the square in its centre.
        top: How many classes to show for an image.
        device: auto, cpu, cuda, cuda:1, mps.
        json: Print JSON, with the probabilities of all classes.
    """

    target: tyro.conf.Positional[Path]
    images: tyro.conf.Positional[tuple[Path, ...]]
    top: int = 3
    device: str = "auto"
    json: bool = False


def run(words: Sequence[str]) -> int:
    """Predicts; see `Predict`."""
    asked = parse(Predict, words, "predict")

    if asked.top < 1:
        raise UserError(f"--top is {asked.top}, but must be at least 1")
    from lowres.runs import predict

    found = predict(asked.target, asked.images, device=asked.device)
    if asked.json:
        print_json([{"image": str(p.image), "label": p.label, "probabilities": p.probabilities} for p in found])
        return 0
    width = max(len(str(p.image)) for p in found)
    for p in found:
        ranked = list(p.probabilities.items())[: asked.top]
        print(f"{p.image!s:<{width}}  " + "  ".join(f"{name} {100 * share:.1f} %" for name, share in ranked))
    return 0
