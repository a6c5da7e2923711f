"""Runs: trainings on disk, from a recipe to weights that are used."""

from lowres.runs.folder import Run, load_run
from lowres.runs.session import train
from lowres.runs.use import Prediction, evaluate, predict
from lowres.runs.weights import Weights

__all__ = ["Prediction", "Run", "Weights", "evaluate", "load_run", "predict", "train"]
