"""Reads the official CIFAR pickles without running what is in them.

An unpickler calls whatever its input names. This one knows a few names of NumPy's and stands in for each with
a few lines of Python, so no foreign name is imported and no foreign state reaches NumPy's own code. Used by
`official`.
"""

import io
import math
import pickle
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from lowres.errors import UserError

_NUMBERS = frozenset("?biufc")
_LIMIT = 1 << 30
"""The largest pickle that is read, in bytes; the official ones have 31 and 155 million."""


class _Dtype:
    """Stands in for `numpy.dtype`: a plain number type and nothing else."""

    __slots__ = ("dtype",)

    def __init__(self, code: object, *_: object) -> None:
        text = _text(code)
        kind, width = text.lstrip("<>=|")[:1], text.lstrip("<>=|")[1:]
        if len(text) > 4 or kind not in _NUMBERS or not (width.isdecimal() or text == "?"):
            raise UserError(f"holds an array of type {text!r}, and only plain numbers are read")
        self.dtype = np.dtype(text)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = _text(state[1])
        if order not in ("<", ">", "=", "|"):
            raise UserError(f"holds an array of byte order {order!r}")
        self.dtype = self.dtype.newbyteorder(order)  # type: ignore[arg-type]


class _Array:
    """Stands in for `numpy.ndarray`: its bytes become an array once their number fits the shape."""

    __slots__ = ("array",)

    def __init__(self, raw: object = b"", dtype: object = None, shape: object = (0,), order: object = "C") -> None:
        self.array = _build(raw, dtype if dtype is not None else _Dtype("u1"), shape, order)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        *_, shape, dtype, fortran, raw = state
        # Python 2 wrote the bytes as a string and Python 3 through `_codecs.encode`: both are bytes by now.
        self.array = _build(raw, dtype, shape, "F" if fortran else "C")


class _Callable:
    """What the unpickler gets for a name it may use: something to call, and nothing that can be changed."""

    __slots__ = ("_function",)
    _function: Callable[..., Any]

    def __init__(self, function: Callable[..., Any]) -> None:
        object.__setattr__(self, "_function", function)

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise UserError("sets an attribute of a function")

    def __setstate__(self, state: object) -> NoReturn:
        raise UserError("sets the state of a function")


def _text(value: object) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


def _build(raw: object, dtype: object, shape: object, order: object) -> np.ndarray[Any, np.dtype[Any]]:
    sizes = shape if isinstance(shape, tuple) else (shape,)
    if not isinstance(dtype, _Dtype) or not isinstance(raw, bytes | bytearray):
        raise UserError("holds an array that is not made of plain numbers")
    if not all(isinstance(size, int) and 0 <= size < _LIMIT for size in sizes):
        raise UserError(f"holds an array of shape {shape}")
    if math.prod(sizes) * dtype.dtype.itemsize != len(raw):
        raise UserError(f"holds an array of shape {sizes} in {len(raw):,} bytes")
    return np.frombuffer(raw, dtype.dtype).reshape(sizes, order="F" if _text(order) == "F" else "C")


def _scalar(dtype: object, raw: object) -> int | float | complex | bool:
    number: int | float | complex | bool = _build(raw, dtype, (), "C").item()
    return number


def _encode(text: str, encoding: str = "latin1", *_: object) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise UserError(f"encodes text as {encoding!r}")
    return text.encode("latin1")


def _empty(*_: object) -> _Array:
    return _Array()


# NumPy 2 writes `numpy._core` for what was `numpy.core`; protocol 5 uses `_frombuffer` for arrays.
_ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _empty,
    ("_codecs", "encode"): _encode,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _empty for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _Array for core in ("core", "_core")},
}


class _Unpickler(pickle._Unpickler):
    """Finds the admitted names only.

    It stands on the library's unpickler in Python, since the one in C makes room for as many notes as the largest
    number among them says: a damaged byte there takes gigabytes.
    """

    def find_class(self, module: str, name: str) -> _Callable:
        function = _ADMITTED.get((module, name))
        if function is None:
            raise UserError(f"asks for {module}.{name}, which no data set needs: it may be malicious; nothing was run")
        return _Callable(function)


class _Whole(io.BytesIO):
    """Bytes that say so where they end before what is asked of them; the unpickler in Python takes what there is."""

    def read(self, size: int | None = -1, /) -> bytes:
        """So many bytes."""
        found = super().read(size)
        if size is not None and len(found) < size:
            raise EOFError(f"it ends {size - len(found):,} bytes too early")
        return found

    def readline(self, size: int | None = -1, /) -> bytes:
        """A line with its end."""
        found = super().readline(size)
        if not found.endswith(b"\n"):
            raise EOFError("it ends in a line")
        return found


def read_pickle(data: bytes, origin: str) -> dict[str, Any]:
    """Reads a pickled dictionary of numbers, text, lists and NumPy arrays, as Python 2 or 3 wrote it.

    Args:
        data: The whole file.
        origin: The name of the file, for messages.

    Returns:
        The dictionary, keys as text. Python 2 strings are bytes, arrays are plain read-only NumPy arrays.

    Raises:
        UserError: If the file is cut short or damaged, is no dictionary, or asks for any other name; nothing
            has run.
    """
    if len(data) > _LIMIT:
        raise UserError(f"{origin}: {len(data):,} bytes are too many for a CIFAR batch")
    try:
        value = _Unpickler(_Whole(data), encoding="bytes").load()
    except UserError as error:
        raise UserError(f"{origin}: {error}") from None
    except Exception as error:  # damaged bytes make an unpickler raise nearly anything
        raise UserError(f"{origin}: cut short or damaged, {len(data):,} bytes found ({error})") from error
    if not isinstance(value, dict):
        raise UserError(f"{origin}: holds a {type(value).__name__}, and a dictionary was expected")
    return {_text(key): item.array if isinstance(item, _Array) else item for key, item in value.items()}
