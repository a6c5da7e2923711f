"""Trains small-image classifiers that match the papers."""

__version__ = "0.1.0"
