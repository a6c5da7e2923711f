import dataclasses

import pytest
import torch

from lowres.errors import UserError
from lowres.models import create_model
from lowres.recipes import fingerprint, load_recipe
from lowres.runs.weights import Facts, Weights, read_weights, write_weights


def test_weights_come_back_with_all_that_is_needed_to_use_them(tmp_path):
    recipe = dataclasses.replace(load_recipe("resnet20-cosine"), data="digits")
    model = create_model("resnet20", shortcut="B", classes=4, seed=1).eval()
    path = tmp_path / "model.safetensors"
    facts = Facts(recipe, fingerprint(recipe), ("a", "b", "c", "d"), (0.5,) * 3, (0.25,) * 3, "fp32", False, 7)
    write_weights(path, model, facts)
    found = read_weights(path)
    assert found == Weights(**vars(facts), path=path)
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(found.build()(x), model(x))


def test_weights_of_another_program_say_what_to_do(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "theirs.safetensors")
    with pytest.raises(UserError, match="takes weights of another program with --model"):
        read_weights(tmp_path / "theirs.safetensors")


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff" * 100])
def test_a_file_that_is_no_safetensors(tmp_path, content):
    (tmp_path / "broken.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="not a readable safetensors file"):
        read_weights(tmp_path / "broken.safetensors")
