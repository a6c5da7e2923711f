import dataclasses
import json

import pytest
import torch

from lowres.errors import UserError
from lowres.models import create_model
from lowres.recipes import Recipe, load_recipe
from lowres.runs import folder

FACTS = {"mean": [0.5] * 3, "std": [0.25] * 3, "precision": "fp32", "channels_last": False}


def test_folders_are_named_for_recipe_data_and_seed_and_numbered(tmp_path):
    recipe = dataclasses.replace(load_recipe("resnet20"), seed=7)
    names = [folder.create(tmp_path, recipe).name for _ in range(3)]
    assert names == ["resnet20-cifar10-s7", "resnet20-cifar10-s7-2", "resnet20-cifar10-s7-3"]


def test_an_image_folder_gives_its_last_name(tmp_path):
    made = folder.create(tmp_path, Recipe(name="my cats", data="folder:/home/me/cats and dogs"))
    assert made.name == "my-cats-cats-and-dogs-s0"


def test_the_recipe_in_it_reads_back(tmp_path):
    recipe = load_recipe("semxresnet20-mixup-image-only")
    assert folder.load_run(folder.create(tmp_path, recipe)).recipe == recipe


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(UserError, match="cannot make the run folder"):
        folder.create(tmp_path / "runs", load_recipe("digits"))


def test_two_processes_do_not_train_in_one_folder(tmp_path):
    with folder.lock(tmp_path), pytest.raises(UserError, match="another process is training"):
        folder.lock(tmp_path)
    with folder.lock(tmp_path):
        pass


def test_weights_come_back_with_all_that_is_needed_to_use_them(tmp_path):
    recipe = dataclasses.replace(load_recipe("resnet20-cosine"), data="digits")
    model = create_model("resnet20", shortcut="B", classes=4, seed=1).eval()
    path = tmp_path / "model.safetensors"
    folder.write_weights(path, model, recipe, FACTS, classes=("a", "b", "c", "d"))
    found = folder.read_weights(path)
    assert (found.recipe, found.classes, found.mean) == (recipe, ("a", "b", "c", "d"), (0.5, 0.5, 0.5))
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(found.build()(x), model(x))


def test_weights_of_another_program_say_what_to_do(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "theirs.safetensors")
    with pytest.raises(UserError, match="for weights of another program give --model"):
        folder.read_weights(tmp_path / "theirs.safetensors")


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff" * 100])
def test_a_file_that_is_no_safetensors(tmp_path, content):
    (tmp_path / "broken.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="not a readable safetensors file"):
        folder.read_weights(tmp_path / "broken.safetensors")


def test_a_damaged_manifest_is_named(tmp_path):
    made = folder.create(tmp_path, load_recipe("digits"))
    (made / "manifest.json").write_text('{"outcome": ')
    with pytest.raises(UserError, match="manifest.json is damaged"):
        folder.load_run(made)


def test_an_unfinished_run_says_how_to_finish_it(tmp_path):
    made = folder.create(tmp_path, load_recipe("digits"))
    (made / "manifest.json").write_text(json.dumps({"outcome": "interrupted"}))
    with pytest.raises(UserError, match="'interrupted'; `lowres train --resume"):
        folder.load_run(made).weights()
