import io
import os
import struct

import numpy as np
import pytest
import torch
from PIL import Image

from lowres.data import folder as folder_module
from lowres.data import load_dataset
from lowres.data.folder import load_folder, read_image
from lowres.errors import UserError


@pytest.fixture
def tree(tmp_path):
    """Two classes, three training and two test images each: red for `1`, blue for `10`."""
    for split, count in (("train", 3), ("test", 2)):
        for name, colour in (("1", "red"), ("10", "blue")):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (40 + i, 50), colour).save(folder / f"{i}.png")
    return tmp_path


def test_a_tree_is_read_in_natural_order(tree):
    for split in ("train", "test"):
        (tree / split / "2").mkdir()
        Image.new("RGB", (32, 32), "lime").save(tree / split / "2" / "a.jpg", quality=100)
    dataset = load_dataset(f"folder:{tree}", image_size=24)
    assert dataset.name == f"folder:{tree}"
    assert dataset.classes == ("1", "2", "10")
    assert dataset.train.images.shape == (7, 3, 24, 24)
    assert dataset.train.counts() == (3, 1, 3)
    assert dataset.test.counts() == (2, 1, 2)
    assert dataset.train.images[0, :, 12, 12].tolist() == [255, 0, 0]
    assert dataset.train.images[6, :, 12, 12].tolist() == [0, 0, 255]
    assert set(dataset.files) == {"train", "test"}
    assert dataset.warnings == ()


def test_checksums_follow_content_and_names(tree):
    before = load_folder(str(tree)).files
    (tree / "train" / "1" / "0.png").rename(tree / "train" / "1" / "00.png")
    after = load_folder(str(tree)).files
    assert before["test"] == after["test"]
    assert before["train"] != after["train"]


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_the_test_folder_may_have_other_names(tree, name):
    (tree / "test").rename(tree / name)
    assert len(load_folder(str(tree)).test) == 4


def test_a_second_test_folder_is_left_out_with_a_warning(tree):
    (tree / "val").mkdir()
    assert load_folder(str(tree)).warnings == (f"{tree / 'val'}: left out, test is the test set",)


def test_relative_paths_start_from_the_data_folder(tree):
    assert len(load_dataset(f"folder:{tree.name}", tree.parent).train) == 6


@pytest.mark.parametrize("root", ["train", ""])
def test_without_a_test_folder_a_fifth_is_held_out_with_a_warning(tmp_path, root):
    for name, shade in (("a", 10), ("b", 200)):
        (tmp_path / root / name).mkdir(parents=True)
        for i in range(10):
            Image.new("L", (32, 32), shade + i).save(tmp_path / root / name / f"{i}.png")
    dataset = load_folder(str(tmp_path))
    assert dataset.train.counts() == (8, 8)
    assert dataset.test.counts() == (2, 2)
    assert "no test folder, so 4 of 20 images are held out" in dataset.warnings[0]
    assert torch.equal(dataset.test.images, load_folder(str(tmp_path)).test.images)
    shades = torch.cat([dataset.train.images, dataset.test.images])[:, 0, 0, 0]
    assert len(shades.unique()) == 20


@pytest.mark.parametrize("counts", [(2, 2), (1, 9), (20, 1)])
def test_no_class_is_without_test_images(tmp_path, counts):
    for name, count in zip("ab", counts, strict=True):
        (tmp_path / name).mkdir()
        for i in range(count):
            Image.new("L", (8, 8), i).save(tmp_path / name / f"{i}.png")
    with pytest.raises(UserError, match=r"leaves no test image of class '[ab]', of which there are [12]: add images"):
        load_folder(str(tmp_path))


def test_hidden_files_are_skipped_and_others_warned_of(tree):
    (tree / "train" / ".cache").mkdir()
    (tree / "train" / "1" / ".DS_Store").write_bytes(b"")
    (tree / "train" / "1" / "._0.png").write_bytes(b"")
    assert load_folder(str(tree)).warnings == ()
    (tree / "train" / "1" / "notes.txt").write_text("mine")
    assert load_folder(str(tree)).warnings == (f"{tree / 'train' / '1' / 'notes.txt'}: left out, not images",)


def test_an_unreadable_image_is_named(tree):
    path = tree / "test" / "10" / "1.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UserError, match=r"10.1\.png: cannot be read as an image"):
        load_folder(str(tree))
    path.write_bytes(b"not an image")
    with pytest.raises(UserError, match=r"10.1\.png: cannot be read as an image"):
        load_folder(str(tree))


@pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")
def test_links_are_followed_and_broken_ones_named(tree, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for i in range(2):
        Image.new("RGB", (32, 32), "red").save(elsewhere / f"{i}.png")
    (tree / "train" / "1" / "more").symlink_to(elsewhere)
    (tree / "train" / "1" / "again").symlink_to(tree / "train")  # what it lies in
    assert load_folder(str(tree)).train.counts() == (5, 3)
    (tree / "train" / "1" / "gone.png").symlink_to(elsewhere / "gone.png")
    with pytest.raises(UserError, match=r"1.gone\.png: cannot be read as an image \(No such file"):
        load_folder(str(tree))


@pytest.mark.skipif(os.name != "posix", reason="names are UTF-16 on Windows, UTF-8 on macOS")
def test_a_name_that_is_not_utf_8_is_read(tree):
    try:
        (tree / "train" / "1" / "0.png").rename(tree / "train" / "1" / os.fsdecode(b"caf\xe9.png"))
    except OSError:
        pytest.skip("this file system has UTF-8 names alone")
    assert load_folder(str(tree)).train.counts() == (3, 3)


def test_an_image_whose_notes_are_damaged_is_named(tmp_path, monkeypatch):
    Image.new("RGB", (8, 8)).save(tmp_path / "bad.jpg")

    def transpose(image):
        raise struct.error("required argument is not an integer")

    monkeypatch.setattr(folder_module.ImageOps, "exif_transpose", transpose)
    with pytest.raises(UserError, match=r"bad\.jpg: cannot be read as an image \(required argument"):
        read_image(tmp_path / "bad.jpg", 8)


def test_a_huge_image_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.new("L", (20, 20)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.png: cannot be read as an image.*exceeds limit"):
        read_image(tmp_path / "a.png", 32)


def test_wrong_trees_say_what_is_wanted(tree, tmp_path):
    with pytest.raises(UserError, match="is not a folder; expected PATH/train/CLASS"):
        load_dataset(f"folder:{tmp_path / 'nowhere'}")
    with pytest.raises(UserError, match="PATH is not a folder"):
        load_dataset("folder:")
    (tree / "test" / "zebra").mkdir()
    with pytest.raises(UserError, match="class 'zebra' is in test but not in train"):
        load_folder(str(tree))
    (tree / "train" / "zebra").mkdir()
    with pytest.raises(UserError, match="zebra: holds no image"):
        load_folder(str(tree))
    (tree / "train").rename(tree / "training")
    with pytest.raises(UserError, match="has test but no train"):
        load_folder(str(tree))
    with pytest.raises(UserError, match="holds 0 class folders"):
        load_folder(str(tree / "training" / "1"))


def test_every_mode_becomes_rgb(tmp_path):
    def centre(image, name="x.png", **options):
        image.save(tmp_path / name, **options)
        return read_image(tmp_path / name, 8)[:, 4, 4].tolist()

    assert centre(Image.new("L", (9, 9), 77)) == [77] * 3
    assert centre(Image.new("1", (9, 9), 1)) == [255] * 3
    assert centre(Image.new("CMYK", (9, 9), (0, 0, 0, 255)), "x.tif") == [0] * 3
    assert centre(Image.new("RGBA", (9, 9), (10, 20, 30, 255))) == [10, 20, 30]
    assert centre(Image.new("RGBA", (9, 9), (10, 20, 30, 0))) == [255] * 3
    assert centre(Image.new("LA", (9, 9), (10, 0))) == [255] * 3
    assert centre(Image.fromarray(np.full((9, 9), 0x8000, np.uint16))) == [128] * 3
    assert centre(Image.fromarray(np.full((9, 9), 200, np.int32)), "x.tif") == [200] * 3
    assert centre(Image.fromarray(np.full((9, 9), 0x8000, np.int32)), "x.tif") == [128] * 3
    with pytest.raises(UserError, match=r"x\.tif: cannot be read as an image \(its pixels are fractions"):
        centre(Image.fromarray(np.full((9, 9), 0.5, np.float32)), "x.tif")
    palette = Image.new("P", (9, 9), 1)
    palette.putpalette([0, 0, 0, 9, 8, 7])
    assert centre(palette) == [9, 8, 7]
    assert centre(palette, transparency=1) == [255] * 3


def test_the_shorter_side_is_scaled_and_the_centre_kept(tmp_path):
    wide = np.zeros((16, 48), np.uint8)
    wide[:, 16:32] = 255
    Image.fromarray(wide).save(tmp_path / "wide.png")
    middle = read_image(tmp_path / "wide.png", 8)
    assert middle.shape == (3, 8, 8)
    assert middle[:, :, 1:-1].min() == 255
    checker = (np.add.outer(np.arange(64), np.arange(64)) % 2 * 255).astype(np.uint8)
    Image.fromarray(checker).save(tmp_path / "checker.png")
    assert abs(read_image(tmp_path / "checker.png", 16).astype(int) - 127).max() < 16


def test_the_rotation_a_camera_noted_is_applied(tmp_path):
    image = Image.new("RGB", (8, 8), "black")
    image.paste("white", (0, 0, 8, 4))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    out = io.BytesIO()
    image.save(out, format="PNG", exif=exif)
    (tmp_path / "x.png").write_bytes(out.getvalue())
    pixels = read_image(tmp_path / "x.png", 8)
    assert pixels[:, 0].max() == 0
    assert pixels[:, 7].min() == 255
