import dataclasses
import math

import pytest

from lowres.errors import UserError
from lowres.recipes import Optimizer, Recipe, Schedule

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("kind", "field", "values"),
    [
        (Recipe, "name", ("", " ")),
        (Recipe, "image_size", (0, 7, -32, 4097)),
        (Recipe, "held_out", (-1,)),
        (Recipe, "epochs", (0, -1)),
        (Recipe, "batch_size", (0, -128)),
        (Recipe, "accumulate", (0, 129)),
        (Recipe, "label_smoothing", (-0.1, 1.0, NAN)),
        (Recipe, "clip", (-1.0, INF, NAN)),
        (Recipe, "ema", (-0.1, 1.0, NAN)),
        (Recipe, "seed", (-1, 2**32)),
        (Optimizer, "lr", (0.0, -0.1, INF, NAN)),
        (Optimizer, "momentum", (-0.1, 1.0, NAN)),
        (Optimizer, "weight_decay", (-1e-4, INF, NAN)),
        (Optimizer, "betas", ((0.9, 1.0), (-0.1, 0.9), (NAN, 0.9))),
        (Optimizer, "eps", (0.0, -1e-8, INF, NAN)),
        (Optimizer, "muon_lr", (0.0, -0.1, INF, NAN)),
        (Optimizer, "muon_momentum", (-0.1, 1.0, NAN)),
        (Schedule, "warmup", (-0.1, 1.0, NAN)),
        (Schedule, "warmup_start", (-0.1, 1.1, NAN)),
        (Schedule, "milestones", ((0.5, 0.5), (0.75, 0.5), (0.0,), (1.0,), (NAN,))),
        (Schedule, "gamma", (0.0, -0.1, 1.1, NAN)),
        (Schedule, "final", (-0.1, 1.1, NAN)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_value_out_of_range_is_named_with_its_field_and_its_range(kind, field, values):
    for value in values:
        with pytest.raises(UserError) as error:
            kind(**{field: value})
        message = str(error.value)
        prefix = "" if kind is Recipe else f"{kind.__name__.lower()}."
        assert message.startswith(f"{prefix}{field} is {value!r}, but must be ")
        assert "\n" not in message


def test_mean_and_deviation_belong_together():
    for alone in ({"mean": (0.5,) * 3}, {"std": (0.5,) * 3}):
        with pytest.raises(UserError, match="mean and std belong together"):
            Recipe(**alone)


@pytest.mark.parametrize(
    "statistics",
    [
        {"mean": (0.5,) * 3, "std": (0.2, 0.0, 0.2)},
        {"mean": (0.5,) * 3, "std": (0.2, NAN, 0.2)},
        {"mean": (0.5,) * 3, "std": (0.2, INF, 0.2)},
        {"mean": (0.5, NAN, 0.5), "std": (0.2,) * 3},
        {"mean": (0.5, INF, 0.5), "std": (0.2,) * 3},
        {"mean": (0.5,) * 3, "std": (0.2,) * 2},
    ],
)
def test_statistics_that_would_make_every_pixel_senseless_are_refused(statistics):
    with pytest.raises(UserError, match=r"mean|std"):
        Recipe(**statistics)


def test_nesterov_needs_momentum():
    with pytest.raises(UserError, match="momentum above 0 or nesterov off"):
        Optimizer(momentum=0.0, nesterov=True)


def test_a_recipe_cannot_be_changed_but_copied_with_a_change():
    recipe = Recipe()
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.epochs = 3
    assert dataclasses.replace(recipe, epochs=3) == Recipe(epochs=3)
    with pytest.raises(UserError, match="epochs is 0"):
        dataclasses.replace(recipe, epochs=0)


def test_the_bounds_themselves_are_possible():
    Recipe(image_size=8, held_out=0, epochs=1, batch_size=1, accumulate=1, label_smoothing=0.0, seed=2**32 - 1)
    Schedule("multistep", milestones=(), gamma=1.0, final=1.0, warmup_start=1.0)
    Optimizer(momentum=0.0, weight_decay=0.0, betas=(0.0, 0.0))
