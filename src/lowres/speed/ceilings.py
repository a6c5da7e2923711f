"""What a device can do at best: the rate of large matrix products and of copies, in each precision."""

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from lowres.errors import UserError, unknown

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Ceiling:
    """Limits in one precision.

    Attributes:
        precision: "fp32" (on NVIDIA's GPUs TF32, in which PyTorch convolves by default), "bf16" or "fp16".
        multiply_adds_per_second: In a product of two large square matrices, the best of several.
        bytes_per_second: Read and written in a copy of a large tensor, the best of several.
    """

    precision: str
    multiply_adds_per_second: float
    bytes_per_second: float


def measure_ceilings(
    device: torch.device, precisions: Sequence[str] | None = None, seconds: float = 1.0
) -> dict[str, Ceiling]:
    """Measures the limits of a device, with the threads that PyTorch has now.

    Args:
        device: What to measure.
        precisions: Which; None: fp32 and bf16, and on others than CPUs, which have no fast one, fp16.
        seconds: For each measurement, about.

    Raises:
        UserError: A precision is unknown, or the device does not have it.
    """
    chosen = precisions or (("fp32", "bf16") if device.type == "cpu" else ("fp32", "bf16", "fp16"))
    return {name: _measure(device, name, seconds) for name in chosen}


def _measure(device: torch.device, precision: str, seconds: float) -> Ceiling:
    if precision not in DTYPES:
        raise unknown("precision", precision, DTYPES)
    dtype = DTYPES[precision]
    # Large enough for the device's best; smaller where a precision is so slow that one product takes all the time.
    sides, size = ((256, 1024), 1 << 27) if device.type == "cpu" else ((1024, 8192), 1 << 30)
    usual = torch.get_float32_matmul_precision()
    try:
        if device.type == "cuda":
            torch.set_float32_matmul_precision("high")
        best = 0.0
        for side in sides:
            if best and side**3 / best > seconds:
                break
            left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
            product = torch.empty_like(left)
            action = functools.partial(torch.mm, left, right, out=product)
            best = max(best, side**3 / best_time(action, device, seconds / len(sides)))
        source = torch.zeros(size // dtype.itemsize, dtype=dtype, device=device)
        copied = best_time(functools.partial(torch.empty_like(source).copy_, source), device, seconds)
    except RuntimeError as error:
        raise UserError(f"{device} cannot be measured in {precision}: {str(error).splitlines()[0]}") from None
    finally:
        torch.set_float32_matmul_precision(usual)
    return Ceiling(precision, best, 2 * source.nbytes / copied)


def best_time(action: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Seconds of the fastest of several calls, the first not counted, made for about so many seconds."""
    action()
    synchronise(device)
    best = float("inf")
    end = time.perf_counter() + seconds
    while True:
        started = time.perf_counter()
        action()
        synchronise(device)
        now = time.perf_counter()
        best = min(best, now - started)
        if now >= end:
            return best


def synchronise(device: torch.device) -> None:
    """Waits until a device has done all that it was asked for; a CPU has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
