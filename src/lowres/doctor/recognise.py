"""What kind of network this is, told by its structure, and what networks like it reach.

Figures are of CIFAR-10 at 32 pixels with a full recipe (crop, flip, momentum, decay, a schedule that ends near
zero); those of CIFAR-100 follow from them. Sources: He 2015, Zagoruyko 2016, the public reimplementations that
`lowres models` cites, and the cases that the costs of findings are from.
"""

from dataclasses import dataclass

from lowres.doctor.network import Network


@dataclass(frozen=True)
class Kind:
    """A kind of network.

    Attributes:
        name: In words.
        low: What such networks reach with a full recipe, from ...
        high: ... to, % of CIFAR-10's test images.
        epochs: That a full recipe takes.
        least: Epochs below which it falls short by points, with a schedule that fits.
    """

    name: str
    low: float
    high: float
    epochs: int
    least: int


def recognise(network: Network, pretrained: bool) -> Kind:
    """The kind of a network."""
    convs = [one for one in network.layers if one.kind == "conv"]
    millions = network.parameters / 1e6
    depthwise = sum(one.groups == one.width > 1 for one in convs)
    adds, joins = network.graph["AddBackward0"], network.graph["CatBackward0"]
    if pretrained:
        return Kind("a pretrained network, fine-tuned", 95, 97.5, 15, 3)
    if network.attention:
        return Kind("a vision transformer from scratch", 80, 90, 200, 60)
    if not convs:
        return Kind("a perceptron without convolutions", 52, 60, 50, 10)
    if len(convs) < 6 and adds < 2:
        return Kind("a small convolutional network", 72, 82, 50, 10)
    if joins >= 8:
        return Kind("a densely connected network", 94, 95.4, 200, 15)
    if depthwise >= max(3, len(convs) // 5):
        return Kind("a network of depthwise convolutions", 92, 94.5, 150, 15)
    if adds >= 2:
        return _residual(millions)
    if network.norms >= len(convs) // 2:
        low, high = (92.5, 94.0) if millions > 2 else (86.0, 92.0)
        return Kind("a plain deep network with norms", low, high, 150, 15)
    return Kind("a plain deep network without norms", 84, 91, 150, 20)


def _residual(millions: float) -> Kind:
    """By size: ResNet-20 has 0.27 million parameters, ResNet-110 1.7, ResNet-18 11."""
    if millions < 0.1:
        return Kind("a residual network, very small", 75, 90, 180, 20)
    if millions < 0.4:
        return Kind("a residual network like ResNet-20", 91.2, 92.6, 180, 20)
    if millions < 2:
        return Kind("a residual network like ResNet-56", 92.5, 94, 180, 20)
    return Kind("a residual network like ResNet-18 to ResNet-50", 94, 95.5, 200, 12)


def on_classes(accuracy: float, classes: int) -> float:
    """A figure of CIFAR-10 for a data set of more classes: 95 % there is about 78 % on CIFAR-100."""
    if classes <= 20:
        return accuracy
    return max(100 / classes, accuracy - 17 - 1.2 * max(0.0, 95 - accuracy))


def expected(best: float, costs: list[float], classes: int) -> float:
    """What is left of an accuracy after several faults: each takes its share of what is above chance.

    Args:
        best: Without the faults, %.
        costs: Points of each alone.
        classes: Chance is one of so many.
    """
    chance = 100 / max(classes, 2)
    room = max(best - chance, 1.0)
    left = 1.0
    for cost in costs:
        left *= max(0.0, 1 - cost / room)
    return chance + room * left
