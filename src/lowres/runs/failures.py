"""Why a training broke off, in a line, and what to do about it."""

import torch

from lowres.training.device import want_of_memory


def explained(error: Exception, device: torch.device) -> tuple[str, str]:
    """The reason, and the advice: "" where it is a fault of the program and not of what it was given.

    Args:
        error: What a step raised.
        device: It was computed on.
    """
    first = (str(error).splitlines() or [""])[0]
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return f"the network cannot be compiled here ({first})", "train without --compile"
    if isinstance(error, ValueError) and "more than 1 value per channel" in first:
        alone = "a batch norm was given one value a channel: a part of one image, which is one pixel by then"
        return alone, "try a larger --batch-size, or a smaller --accumulate"
    if isinstance(error, RuntimeError) and (memory := want_of_memory(error, device)):
        return memory, "try a larger --accumulate, or a smaller --batch-size"
    return f"{type(error).__name__}: {first}", ""
