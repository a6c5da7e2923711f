"""Which device, precision and memory layout a run has, where its recipe says "auto"."""

import contextlib
import platform
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from lowres.errors import UserError
from lowres.recipes import Precision, Recipe


@dataclass(frozen=True)
class Placement:
    """Where and how a network is computed.

    Attributes:
        device: Where.
        precision: "fp32", "bf16" or "fp16"; the last two under autocast, weights staying in fp32.
        channels_last: Memory layout of images and feature maps.
        notes: What was picked and why, a line each.
    """

    device: torch.device
    precision: Precision
    channels_last: bool
    notes: tuple[str, ...] = ()

    def autocast(self) -> torch.autocast:
        """The context that forward passes run in."""
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self.precision]
        return torch.autocast(self.device.type, dtype, enabled=self.precision != "fp32")


def place(recipe: Recipe, device: str = "auto") -> Placement:
    """Picks the device, and precision and layout where the recipe leaves them open.

    The choice follows from the hardware alone, never from a timing, so that equal recipes on equal machines
    stay equal bit for bit.

    Args:
        recipe: What to run.
        device: "auto", "cpu", "cuda", "cuda:1", "mps", ...

    Raises:
        UserError: The device is unknown or not there, or cannot compute in the recipe's precision.
    """
    where = _device(device)
    notes = [f"device {where}: {device_name(where)}"]
    precision = recipe.precision
    if precision == "auto":
        precision, reason = _fast_precision(where)
        notes.append(f"precision {precision}: {reason}")
    if precision == "fp16" and where.type == "cpu":
        raise UserError("precision fp16 is slow and unsafe on a CPU: use --precision bf16 or fp32")
    channels_last = recipe.channels_last
    if channels_last is None:
        channels_last = where.type in ("cpu", "cuda")
        layout = "channels-last: what the convolutions here read fastest" if channels_last else "channels-first"
        notes.append(f"layout {layout}")
    return Placement(where, precision, channels_last, tuple(notes))


@contextlib.contextmanager
def undisturbed(device: torch.device, *, deterministic: bool = True) -> Iterator[None]:
    """Leaves PyTorch's generators and cuDNN's settings as they were, whatever is drawn or set within.

    Args:
        device: Whose generator is kept, beside the CPU's.
        deterministic: cuDNN keeps to one choice, and to kernels that add up in a fixed order. Otherwise it tries which
            is fastest for each size that it meets.
    """
    cudnn = torch.backends.cudnn  # its own context `flags` turns it off, where it is not told to stay on
    before = cudnn.benchmark, cudnn.deterministic
    cudnn.benchmark, cudnn.deterministic = not deterministic, deterministic
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        cudnn.benchmark, cudnn.deterministic = before


def device_name(device: torch.device) -> str:
    """The hardware's own name, such as "NVIDIA A100-SXM4-80GB" or "AMD EPYC, 2 threads"."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"{_processor()}, {threads} thread{'s' if threads > 1 else ''}"
    return platform.processor() or device.type


def _device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise UserError(f"device {name!r} cannot be used here ({reason}): try --device auto") from None
    return device


def _fast_precision(device: torch.device) -> tuple[Precision, str]:
    if device.type == "cuda":
        if torch.cuda.get_device_capability(device) >= (8, 0):
            return "bf16", "this GPU multiplies bf16 natively"
        return "fp16", "this GPU multiplies fp16 natively, with a scaled loss"
    if device.type == "cpu" and _cpu_multiplies_bf16():
        return "bf16", "this processor multiplies bf16 natively"
    return "fp32", "no faster one that is safe on this device"


def _cpu_multiplies_bf16() -> bool:
    """Whether the processor has bf16 dot products that oneDNN uses, not mere emulation."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported", "_is_arm_bf16_supported")
    return torch.backends.mkldnn.is_available() and any(
        bool(getattr(torch.cpu, probe)()) for probe in probes if hasattr(torch.cpu, probe)
    )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - no pathlib for a pseudo-file
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def want_of_memory(error: RuntimeError, device: torch.device) -> str:
    """What a device that has not memory enough says, in a line; "" for any other error."""
    said = str(error)
    if "out of memory" not in said and "can't allocate memory" not in said:  # a GPU, a CPU
        return ""
    return f"{device} has not memory enough: {said.splitlines()[0]}"


@contextlib.contextmanager
def memory_told(device: torch.device) -> Iterator[None]:
    """Tells want of memory in one line.

    Raises:
        UserError: There was not enough.
    """
    try:
        yield
    except RuntimeError as error:
        reason = want_of_memory(error, device)
        if not reason:
            raise
        raise UserError(f"{reason}; end what else uses it, or name another --device") from None
