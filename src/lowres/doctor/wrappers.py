"""What a data set wraps."""

from typing import Any

import numpy as np
from torch import Tensor

INNER = ("dataset", "ds", "base", "base_dataset", "subset", "data", "inner", "wrapped", "cifar", "source")
"""Attributes under which wrappers keep the data set they wrap."""


def attributes_of(dataset: Any) -> dict[str, Any]:
    """Its attributes; none of a list or the like."""
    return getattr(dataset, "__dict__", {})


def wrapped_by(dataset: Any) -> Any:
    """The data set that a wrapper keeps; None where it keeps none."""
    return next((v for k, v in attributes_of(dataset).items() if k in INNER and _is_dataset(v)), None)


def _is_dataset(value: Any) -> bool:
    return (
        hasattr(value, "__getitem__")
        and hasattr(value, "__len__")
        and not isinstance(value, np.ndarray | Tensor | list | tuple | dict | str | range)
    )


def length_of(value: Any) -> int | None:
    """Its length; None where it has none."""
    try:
        return len(value)
    except TypeError:
        return None
