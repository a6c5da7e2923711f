from collections.abc import Callable

import pytest
import torch
from torch import nn

from lowres.recipes import Recipe
from lowres.training.device import Placement, place
from lowres.training.loop import Learner, Plan


@pytest.fixture
def placement() -> Placement:
    return place(Recipe(precision="fp32", channels_last=False), "cpu")


@pytest.fixture
def plan(placement) -> Callable[..., Plan]:
    """A plan at a constant rate, with whatever a test changes."""

    def make(**changes) -> Plan:
        settings = {"epochs": 2, "factor": lambda step, steps: 1.0, "placement": placement, **changes}
        return Plan(**settings)

    return make


@pytest.fixture
def learner() -> Callable[..., Learner]:
    """A linear classifier of 3x4x4 images into 5 classes, trained by plain SGD."""

    def make(model: nn.Module | None = None, lr: float = 0.1, **changes) -> Learner:
        if model is None:
            model = nn.Sequential(nn.Flatten(), nn.Linear(48, 5))
            with torch.no_grad():
                model[1].weight.copy_(torch.linspace(-0.1, 0.1, 240).view(5, 48))
                model[1].bias.zero_()
        optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
        optimizer.param_groups[0]["peak"] = lr
        return Learner(model, [optimizer], **changes)

    return make
