"""Arrays in Keras's layout (`layer/kernel`, `layer/gamma`, ...) as tensors in PyTorch's."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_VARIABLES = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "bias": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def is_keras(arrays: Mapping[str, object]) -> bool:
    """Whether arrays are named as Keras names them: some layer has a `kernel`."""
    return any(_split(name)[1] == "kernel" for name in arrays)


def from_keras(arrays: Mapping[str, NDArray[np.generic]]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Tensors as PyTorch names and lays them out.

    Args:
        arrays: By name, `layer/variable`. Convolution kernels are (height, width, inputs, outputs),
            dense ones (inputs, outputs).

    Returns:
        The tensors, `layer.weight` for `layer/kernel` and so on, and the names of arrays that are no layer's.
    """
    tensors, others = {}, []
    for name, array in arrays.items():
        layer, variable = _split(name)
        if variable not in _VARIABLES:
            others.append(name)
            continue
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if variable == "kernel":  # outputs and inputs to the front
            tensor = tensor.permute(3, 2, 0, 1) if tensor.dim() == 4 else tensor.t()
        tensors[f"{layer.replace('/', '.')}.{_VARIABLES[variable]}"] = tensor
    return tensors, tuple(others)


def _split(name: str) -> tuple[str, str]:
    layer, _, variable = name.removesuffix(":0").rpartition("/")
    return layer, variable
