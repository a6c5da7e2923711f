"""The layer table of a network, measured by passing one image through it.

Output sizes come from hooks on the layers, receptive fields from the geometry of every operation in between.
"""

# mypy: allow-untyped-calls
import contextlib
import functools
from collections.abc import Iterable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from lowres.errors import UserError
from lowres.models.names import plain

aten = torch.ops.aten


@dataclass(frozen=True)
class LayerRow:
    """One layer as it was called.

    Attributes:
        name: Its qualified name.
        kind: Its class, and for a convolution kernel, stride and groups.
        output: Shape of what it gives for one image, such as (channels, height, width).
        parameters: Its own that are trained, buffers not counted.
        multiply_adds: For one image; convolution and linear layers only, without biases.
        receptive_field: Side, in pixels, of the square of the image that one output position sees, by the
            layers' geometry and not cut off at the border. Global pooling sees all positions; gates that are
            broadcast over the image (squeeze-and-excite) are left out.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int
    receptive_field: int


@dataclass(frozen=True)
class Summary:
    """A network, layer by layer.

    Attributes:
        rows: The layers in the order of execution. Operations without a module have none.
        parameters: Of the whole network, each tensor counted once, frozen ones not.
        multiply_adds: Sum of the rows'.
    """

    rows: tuple[LayerRow, ...]
    parameters: int
    multiply_adds: int


def summarise(model: nn.Module, image_size: int = 32, channels: int = 3) -> Summary:
    """Counts what each layer of a network holds, computes and sees.

    Args:
        model: Any network that takes one batch of images. Mode and buffers are left as they were.
        image_size: Side of the images in pixels.
        channels: Of the images.

    Raises:
        UserError: The network does not take such images.

    Example:
        >>> from lowres.models import create_model
        >>> summarise(create_model("resnet20")).multiply_adds
        40551040
    """
    like = next(model.parameters(), torch.empty(0))
    image = torch.zeros(1, channels, image_size, image_size, device=like.device, dtype=like.dtype)
    rows: list[LayerRow] = []
    with (
        _untouched(model),
        torch.no_grad(),
        _ReceptiveFields(image) as fields,
        _recorded(model, fields, rows),
    ):
        try:
            getattr(model, "_orig_mod", model)(image)  # compiled code calls no hooks
        except (RuntimeError, ValueError) as error:
            size = f"{channels}x{image_size}x{image_size}"
            raise UserError(f"the network does not take {size} images: {str(error).splitlines()[0]}") from error
    return Summary(
        rows=tuple(rows),
        parameters=_trained(model.parameters()),
        multiply_adds=sum(row.multiply_adds for row in rows),
    )


def _trained(parameters: Iterable[nn.Parameter]) -> int:
    return sum(one.numel() for one in parameters if one.requires_grad)


@contextlib.contextmanager
def _untouched(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; each module's own mode and the buffers' values as before afterwards."""
    modes = {module: module.training for module in model.modules()}
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
        for buffer, value in buffers:
            buffer.copy_(value)


class _ReceptiveFields(TorchDispatchMode):
    """Follows what each tensor made from the image sees: the field's side, the step between positions."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.seen: MutableMapping[Tensor, tuple[int, int]] = WeakTensorKeyDictionary({image: (1, 1)})

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        inputs = [tensor for tensor in _tensors(args) if tensor in self.seen]
        for output in _tensors((result,)) if inputs else ():
            self.seen[output] = self._field(func.overloadpacket, args, inputs, output)
        return result

    def _field(self, op: Any, args: tuple[Any, ...], inputs: list[Tensor], output: Tensor) -> tuple[int, int]:
        """(side, step) of an operation's output, in pixels."""
        inputs = [tensor for tensor in inputs if tensor.shape[2:] == output.shape[2:]] or inputs
        side = max(self.seen[tensor][0] for tensor in inputs)
        step = max(self.seen[tensor][1] for tensor in inputs)
        kernel, stride = _geometry(op, args, _height(inputs[0]), _height(output))
        return side + (kernel - 1) * step, step * stride


def _geometry(op: Any, args: tuple[Any, ...], before: int, after: int) -> tuple[int, int]:
    """Kernel and stride, in positions, of an operation that turns `before` positions a side into `after`."""
    if op is aten.convolution:
        (_, weight, _, stride, _, dilation, *_) = args
        return dilation[0] * (weight.shape[2] - 1) + 1, stride[0]
    if op in (aten.avg_pool2d, aten.max_pool2d_with_indices):
        (_, kernel, *rest) = args
        return kernel[0], rest[0][0] if rest and rest[0] else kernel[0]
    if op is aten.slice:
        return 1, args[4] if len(args) > 4 and args[1] == 2 else 1
    return (before, before) if before > after == 1 else (1, 1)


def _height(tensor: Tensor) -> int:
    return tensor.shape[2] if tensor.dim() == 4 else 1


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


@contextlib.contextmanager
def _recorded(model: nn.Module, fields: _ReceptiveFields, rows: list[LayerRow]) -> Iterator[None]:
    """Appends a row for each call of a layer: a module that has no parts, or parameters of its own."""

    def record(name: str, layer: nn.Module, _: Any, output: Any) -> None:
        tensor = next(_tensors((output,)), None)
        if tensor is not None:
            parameters = _trained(layer.parameters(recurse=False))
            field, _ = fields.seen.get(tensor, (0, 0))
            shape = tuple(tensor.shape[1:])
            rows.append(LayerRow(name, _kind(layer), shape, parameters, _multiply_adds(layer, tensor), field))

    with contextlib.ExitStack() as hooks:
        for name, layer in model.named_modules():
            own = next(layer.parameters(recurse=False), None) is not None
            if own or (next(layer.children(), None) is None and not isinstance(layer, nn.Identity)):
                hook = layer.register_forward_hook(functools.partial(record, plain(name)))
                hooks.callback(hook.remove)
        yield


def _kind(layer: nn.Module) -> str:
    kind = type(layer).__name__
    if not isinstance(layer, nn.Conv2d):
        return kind
    stride = f" /{layer.stride[0]}" if layer.stride[0] > 1 else ""
    groups = f", {layer.groups} groups" if layer.groups > 1 else ""
    return f"{kind} {layer.kernel_size[0]}x{layer.kernel_size[1]}{stride}{groups}"


def _multiply_adds(layer: nn.Module, output: Tensor) -> int:
    if isinstance(layer, nn.Conv2d):
        return output.numel() // layer.out_channels * layer.weight.numel()
    if isinstance(layer, nn.Linear):
        return output.numel() // layer.out_features * layer.weight.numel()
    return 0
