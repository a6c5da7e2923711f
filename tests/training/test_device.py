import pytest
import torch

from lowres.errors import UserError
from lowres.recipes import Recipe
from lowres.training.device import place, undisturbed


def test_what_was_picked_is_said():
    found = place(Recipe(), "cpu")
    assert found.device == torch.device("cpu")
    assert found.precision in ("bf16", "fp32")
    assert [note.partition(" ")[0] for note in found.notes] == ["device", "precision", "layout"]


def test_what_the_recipe_says_is_taken_and_not_noted():
    found = place(Recipe(precision="fp32", channels_last=True), "cpu")
    assert (found.precision, found.channels_last) == ("fp32", True)
    assert len(found.notes) == 1


def test_autocast_computes_in_the_precision():
    layer = torch.nn.Linear(4, 4)
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with place(Recipe(precision=precision), "cpu").autocast():
            assert layer(torch.ones(2, 4)).dtype == dtype


def test_cudnn_and_the_generator_are_as_they_were_afterwards():
    cudnn = torch.backends.cudnn
    before = cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32
    state = torch.get_rng_state()
    for deterministic in (True, False):
        with undisturbed(torch.device("cpu"), deterministic=deterministic):
            assert (cudnn.enabled, cudnn.allow_tf32) == (before[0], before[3])
            assert (cudnn.benchmark, cudnn.deterministic) == (not deterministic, deterministic)
            torch.rand(1)
        assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32) == before
        assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "abacus"])
def test_a_device_that_is_not_there(name):
    with pytest.raises(UserError, match=f"device '{name}' cannot be used here.*--device auto"):
        place(Recipe(), name)


def test_fp16_on_a_cpu_is_refused():
    with pytest.raises(UserError, match="fp16 is slow and unsafe on a CPU"):
        place(Recipe(precision="fp16"), "cpu")
