"""The networks: build one by name, list them, count their layers, load weights into them."""

from lowres.models import resnet, xresnet, xresnext  # noqa: F401  (their functions register themselves)
from lowres.models.initialise import initialise
from lowres.models.registry import ModelInfo, Published, create_model, list_models, model_info, register
from lowres.models.summary import LayerRow, Summary, summarise
from lowres.models.weights import MatchReport, load_weights

__all__ = [
    "LayerRow",
    "MatchReport",
    "ModelInfo",
    "Published",
    "Summary",
    "create_model",
    "initialise",
    "list_models",
    "load_weights",
    "model_info",
    "register",
    "summarise",
]
