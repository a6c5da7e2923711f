"""Surgery on ImageNet classifiers, so that they suit small images and keep what they know."""

from lowres.models.surgery.adapt import adapt, head_of, shrinks_a_pixel, with_head
from lowres.models.surgery.figures import figures, zero_gradient_share
from lowres.models.surgery.kernels import Method
from lowres.models.surgery.report import Change, Figures, Report, adaptation
from lowres.models.surgery.upsample import Upsampled

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
