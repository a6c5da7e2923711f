"""What the surgery did and why, as data and as text."""

from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Change:
    """One change to a network.

    Attributes:
        where: The layer's name.
        what: What it was and what it is.
        why: The reason.
    """

    where: str
    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what} ({self.why})"


@dataclass(frozen=True)
class Layer:
    """A layer on maps: a convolution, a pooling that changes the size, a merging of patches.

    Attributes:
        name: Its qualified name.
        kind: Its class, kernel, stride and groups.
        before: Side of the map that comes in.
        after: Side of the map that goes out.
        parameters: Its own.
    """

    name: str
    kind: str
    before: int
    after: int
    parameters: int


@dataclass(frozen=True)
class Figures:
    """A network on images of one size.

    Attributes:
        parameters: Of the whole network.
        multiply_adds: For one image: convolutions, linear layers and attention; None where it does not take it.
        smallest_map: Side of the smallest map that a convolution or a merging of patches gives, pooled vectors
            left out; None where the network does not take the images.
        on_1x1: Share of the convolutions' parameters that work on maps of one pixel, squeeze-excite left out.
        on_2x2: The same for maps of up to 2x2.
        zero_gradient: Share of the convolutions' weights that one backward pass gives a gradient of exactly
            zero; None where it was not measured.
        layers: On maps, in the order of execution.
        error: Why the network does not take the images; "" where it does.
    """

    parameters: int
    multiply_adds: int | None = None
    smallest_map: int | None = None
    on_1x1: float | None = None
    on_2x2: float | None = None
    zero_gradient: float | None = None
    layers: tuple[Layer, ...] = field(default=(), repr=False)
    error: str = ""


@dataclass(frozen=True)
class Report:
    """What the surgery did to a network.

    Attributes:
        image_size: Side of the images it is for.
        classes: Outputs.
        native_size: Side of the images it was measured at.
        native_map: Side of its smallest map there.
        changes: In the order they were made.
        before: The network with nothing but its head replaced, on these images.
        after: The network as it is now.
        kept: Tensors that are as they were.
        changed: Tensors that were made smaller, and how: {"conv1.weight": "centre crop 7x7 -> 3x3"}.
        new: Tensors that were drawn afresh.
        dropped: Tensors that have no place any more.
        limit: Why the smallest map is smaller than asked for; "" where it is not.
    """

    image_size: int
    classes: int
    native_size: int
    native_map: int
    changes: tuple[Change, ...]
    before: Figures
    after: Figures
    kept: int
    changed: dict[str, str]
    new: tuple[str, ...]
    dropped: tuple[str, ...]
    limit: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def lines(self, *, table: bool = True) -> list[str]:
        """The report as text, a line each; with the layer table before and after on request."""
        size = f"{self.image_size}x{self.image_size}"
        out = [f"adapted to {size} images and {self.classes} classes (made for {self.native_size} pixels)"]
        out += [f"  {change}" for change in self.changes]
        if self.limit:
            out.append(f"  {self.limit}")
        out.append(
            f"  weights: {self.kept} tensors kept, {len(self.changed)} made smaller, "
            f"{len(self.new)} new, {len(self.dropped)} dropped"
        )
        out.append(f"  {'':<38}{'before':>16}{'after':>16}")
        rows = (
            ("parameters", _count(self.before.parameters), _count(self.after.parameters)),
            ("multiply-adds", _count(self.before.multiply_adds), _count(self.after.multiply_adds)),
            ("smallest map", _square(self.before.smallest_map), _square(self.after.smallest_map)),
            ("convolution parameters on 1x1 maps", _share(self.before.on_1x1), _share(self.after.on_1x1)),
            ("convolution parameters on <= 2x2 maps", _share(self.before.on_2x2), _share(self.after.on_2x2)),
            (
                "convolution weights without gradient",
                _share(self.before.zero_gradient),
                _share(self.after.zero_gradient),
            ),
        )
        out += [f"  {name:<38}{before:>16}{after:>16}" for name, before, after in rows]
        if self.before.error:
            out.append(f"  before: {self.before.error}")
        return out + (self.table() if table else [])

    def table(self) -> list[str]:
        """The layers on maps, before and after, a line each."""
        before = {layer.name: layer for layer in self.before.layers if layer.name}
        out = [f"  {'layer':<44}{'kind':<34}{'before':>12}{'after':>12}{'parameters':>14}"]
        for layer in self.after.layers:
            old = before.pop(layer.name, None)
            kind = layer.kind if old is None or old.kind == layer.kind else f"{old.kind} -> {layer.kind}"
            sizes = f"{old.before}->{old.after}" if old else ""
            out.append(
                f"  {layer.name or '(a function)':<44}{kind:<34}{sizes:>12}"
                f"{f'{layer.before}->{layer.after}':>12}{layer.parameters:>14,}"
            )
        out += [
            f"  {old.name:<44}{old.kind:<34}{f'{old.before}->{old.after}':>12}{'gone':>12}" for old in before.values()
        ]
        return out

    def __str__(self) -> str:
        return "\n".join(self.lines(table=False))


def adaptation(model: nn.Module) -> Report | None:
    """The report of the surgery that a network went through; None for a network that went through none."""
    report = getattr(model, "adaptation", None)
    return report if isinstance(report, Report) else None


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _square(side: int | None) -> str:
    return "-" if side is None else f"{side}x{side}"


def _share(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
