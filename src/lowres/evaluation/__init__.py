"""Evaluation: what a network gets right, and how sure that figure is."""

from lowres.evaluation.scores import Score, compute_logits, score, wilson

__all__ = ["Score", "compute_logits", "score", "wilson"]
