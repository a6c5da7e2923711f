import dataclasses

import pytest
import torch
from torch import nn

from lowres.errors import UserError
from lowres.models import create_model, summarise
from lowres.recipes import load_recipe
from lowres.speed import measure_rate, training_multiply_adds


def test_a_training_step_counts_each_layer_three_times_but_for_the_images_gradient():
    model = create_model("resnet20", seed=0)
    rows = summarise(model).rows
    stem = next(row.multiply_adds for row in rows if row.multiply_adds)
    assert training_multiply_adds(model) == 3 * summarise(model).multiply_adds - stem


def test_a_fixed_layer_costs_its_forward_pass_alone():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1, bias=False), nn.Conv2d(4, 5, 1, bias=False), nn.Conv2d(5, 6, 1, bias=False)
    )
    model[0].weight.requires_grad_(False)
    model[2].weight.requires_grad_(False)
    pixels = 64
    assert training_multiply_adds(model, image_size=8) == pixels * (12 + 2 * 20 + 2 * 30)


def test_a_whitening_stem_passes_the_gradient_to_its_bias():
    model = create_model("speednet_s", seed=0)
    first = summarise(model).rows[0].multiply_adds
    assert training_multiply_adds(model) == 3 * summarise(model).multiply_adds - 2 * first


@pytest.mark.parametrize("steps", [0.0, 0.2])
def test_a_recipe_is_timed_by_the_loop_that_trains_it(steps):
    recipe = dataclasses.replace(load_recipe("speed94"), image_size=16, batch_size=16, model_options={"width": 0.1})
    before = torch.random.get_rng_state()
    rate = measure_rate(recipe, "cpu", steps)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert (rate.recipe, rate.batch_size) == ("speed94", 16)
    assert rate.steps == 1 if steps == 0 else rate.steps > 1
    assert rate.multiply_adds_per_second == rate.images_per_second * rate.multiply_adds_per_image
    assert 0 < rate.input_share < 1


def test_nothing_is_fetched_for_a_recipe_with_pretrained_weights():
    recipe = dataclasses.replace(load_recipe("finetune"), image_size=16, batch_size=2)
    assert recipe.pretrained
    assert measure_rate(recipe, "cpu", 0.0).images_per_second > 0


def test_a_head_alone_is_no_measure_of_a_network():
    with pytest.raises(UserError, match="linear-probe trains a head, on features that are computed once"):
        measure_rate(load_recipe("linear-probe"), "cpu", 0.0)
