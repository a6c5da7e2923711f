import dataclasses
import json

import pytest

from lowres.errors import UserError
from lowres.recipes import Recipe, load_recipe
from lowres.runs import folder


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


def test_a_damaged_manifest_is_named(tmp_path):
    made = folder.create(tmp_path, load_recipe("digits"))
    (made / "manifest.json").write_text('{"outcome": ')
    with pytest.raises(UserError, match=r"manifest\.json is damaged"):
        folder.load_run(made)


@pytest.mark.parametrize(
    "facts", [{"data": None}, {"data": []}, {"versions": None}, {"data": {"dir": 3}}, {"data": {"mean": None}}]
)
def test_a_manifest_of_somebody_else_is_named(tmp_path, facts):
    made = folder.create(tmp_path, load_recipe("digits"))
    (made / "manifest.json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match=r"manifest\.json is damaged: it is not what lowres writes"):
        folder.load_run(made)


def test_a_full_disk_leaves_no_empty_folder(tmp_path, monkeypatch):
    def full(path, value):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder, "write_json", full)
    with pytest.raises(UserError, match=r"cannot write .*recipe\.json: No space left on device"):
        folder.create(tmp_path, load_recipe("digits"))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_locked_is_named(tmp_path):
    (tmp_path / ".lock").mkdir()
    with pytest.raises(UserError, match="cannot train in"):
        folder.lock(tmp_path)


def test_an_unfinished_run_says_how_to_finish_it(tmp_path):
    made = folder.create(tmp_path, load_recipe("digits"))
    (made / "manifest.json").write_text(json.dumps({"outcome": "interrupted"}))
    with pytest.raises(UserError, match="'interrupted'; `lowres train --resume"):
        folder.load_run(made).weights()
