"""The networks: build one by name, list them, count their layers, load weights into them."""

import importlib
import pkgutil

from lowres.models.initialise import initialise
from lowres.models.registry import ModelInfo, Published, create_model, list_models, model_info, register
from lowres.models.summary import LayerRow, Summary, summarise
from lowres.models.weights import MatchReport, load_weights
from lowres.models.whitening import Whitening, whiten

for _module in pkgutil.iter_modules(__path__):  # a family registers itself: adding one is adding its file
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = [
    "LayerRow",
    "MatchReport",
    "ModelInfo",
    "Published",
    "Summary",
    "Whitening",
    "create_model",
    "initialise",
    "list_models",
    "load_weights",
    "model_info",
    "register",
    "summarise",
    "whiten",
]
