"""Surgery on ImageNet classifiers, so that they suit small images and keep what they know.

Names are loaded when they are first used: the rules need torchvision, which a run of a network of ours does not.
"""

import importlib
from typing import TYPE_CHECKING, Any

from lowres.models.surgery.report import Change, Figures, Report, adaptation

if TYPE_CHECKING:
    from lowres.models.surgery.kernels import Method
    from lowres.models.surgery.operation import adapt, head_of, shrinks_a_pixel, with_head
    from lowres.models.surgery.suitability import figures, zero_gradient_share
    from lowres.models.surgery.upsample import Upsampled

_HOME_OF = {
    "Method": "kernels",
    "Upsampled": "upsample",
    "adapt": "operation",
    "figures": "suitability",
    "head_of": "operation",
    "shrinks_a_pixel": "operation",
    "with_head": "operation",
    "zero_gradient_share": "suitability",
}

__all__ = [
    "Change",
    "Figures",
    "Method",
    "Report",
    "Upsampled",
    "adapt",
    "adaptation",
    "figures",
    "head_of",
    "shrinks_a_pixel",
    "with_head",
    "zero_gradient_share",
]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
