import dataclasses

import pytest

from lowres.recipes import Recipe, load_recipe


@pytest.fixture(scope="session")
def small() -> Recipe:
    """A recipe that trains in a second or two: ResNet-20 on the digits at 8 pixels."""
    return dataclasses.replace(
        load_recipe("digits"),
        name="small",
        image_size=8,
        batch_size=128,
        epochs=3,
        precision="fp32",
        ema=0.9,
        held_out=100,
    )
