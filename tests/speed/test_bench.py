import copy
import dataclasses
import json

import pytest
import torch

from lowres.errors import UserError
from lowres.recipes import load_recipe
from lowres.runs import Run
from lowres.speed import bench, compare, measure_ceilings, times_to_accuracy
from lowres.speed.ceilings import best_time


@pytest.fixture(scope="module")
def found():
    recipe = dataclasses.replace(load_recipe("resnet20-quick"), image_size=8, batch_size=8, precision="fp32")
    return bench([recipe], device="cpu", seconds=0.1)


def test_limits_are_what_numpy_would_take_at_least(found):
    ceilings = found["ceilings"]
    assert set(ceilings) == {"fp32", "bf16"}
    for ceiling in ceilings.values():
        assert ceiling["multiply_adds_per_second"] > 1e6
        assert ceiling["bytes_per_second"] > 1e7


def test_a_share_of_the_limit_is_a_share(found):
    (row,) = found["recipes"]
    limit = found["ceilings"]["fp32"]["multiply_adds_per_second"]
    assert row["share_of_ceiling"] == row["multiply_adds_per_second"] / limit
    assert found["machine"]["versions"]["torch"]
    assert json.loads(json.dumps(found)) == found


def test_ratios_are_now_by_before(found):
    slower = copy.deepcopy(found)
    slower["recipes"][0]["images_per_second"] /= 2
    slower["ceilings"]["fp32"]["bytes_per_second"] /= 4
    del slower["ceilings"]["bf16"]
    slower["machine"]["hardware"] = "another"
    ratios = compare(found, slower)
    assert ratios["images_per_second"] == {"resnet20-quick": 2}
    assert ratios["bytes_per_second"] == {"fp32": 4}
    assert ratios["multiply_adds_per_second"] == {"fp32": 1}
    assert not ratios["same_machine"]


def test_what_is_no_measurement_is_refused(found):
    with pytest.raises(UserError, match="mine is not what `lowres bench --json` prints"):
        compare(found, {"machine": {}}, "mine")
    with pytest.raises(UserError, match="seconds is 0"):
        bench([], seconds=0)
    with pytest.raises(UserError, match="seconds is inf"):
        bench([], seconds=float("inf"))
    with pytest.raises(UserError, match="unknown precision 'fp23'"):
        measure_ceilings(torch.device("cpu"), ("fp23",))


def test_the_first_call_is_not_counted():
    calls = []
    best_time(lambda: calls.append(1), torch.device("cpu"), 0.0)
    assert len(calls) == 2


def run_of(recipe, seed, accuracy, seconds, **result):
    manifest = {"hardware": "here", "precision": "fp32"}
    if accuracy is not None:
        manifest["result"] = {"accuracy": accuracy, "seconds": seconds, **result}
    return Run(None, dataclasses.replace(recipe, seed=seed), manifest)


def test_seeds_of_a_recipe_count_together_and_none_is_left_out():
    quick, speed = load_recipe("resnet20-quick"), load_recipe("speed94")
    runs = [
        run_of(quick, 0, 91.0, 100.0),
        run_of(speed, 0, 94.2, 60.0, evaluation_seconds=3.0, tta="mirror+shift"),
        run_of(speed, 1, 93.9, 61.0, evaluation_seconds=2.0, tta="mirror+shift"),
        run_of(speed, 2, None, None),
    ]
    first, second = times_to_accuracy(runs)
    assert (first.recipe, first.accuracies, first.seconds) == ("speed94", (94.2, 93.9), (63.0, 63.0))
    assert first.reached == (94.0,)
    assert (first.tta, second.tta) == ("mirror+shift", "none")
    assert (second.reached, second.mean_seconds) == ((), 100.0)
