"""Evaluation: what a network gets right, and how sure that figure is."""

from lowres.evaluation.scores import Score, compute_logits, score, wilson
from lowres.evaluation.views import VIEWS, compute_averaged_logits

__all__ = ["VIEWS", "Score", "compute_averaged_logits", "compute_logits", "score", "wilson"]
