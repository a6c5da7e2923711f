import re

import pytest

IMAGES = [
    ("colour.png", "RGB", (20, 13)),
    ("tall.jpg", "RGB", (30, 400)),
    ("one.png", "1", (1, 1)),
    ("grey.png", "L", (16, 16)),
    ("palette.gif", "P", (50, 20)),
    ("transparent.webp", "RGBA", (33, 31)),
    ("print.jpg", "CMYK", (64, 64)),
]


def test_classes_of_images_of_every_size_and_kind(lowres, finished, picture):
    paths = [picture(*image) for image in IMAGES]
    done = lowres("predict", finished, *paths, "--device", "cpu", "--json")
    assert (done.code, done.err) == (0, "")
    assert [row["image"] for row in done.json] == [name for name, _, _ in IMAGES]
    for row in done.json:
        shares = row["probabilities"]
        assert set(shares) == set("0123456789")
        assert sum(shares.values()) == pytest.approx(1)
        assert row["label"] == max(shares, key=shares.get) == next(iter(shares))
    shown = lowres("predict", finished, *paths, "--device", "cpu")
    assert (shown.code, shown.err) == (0, "")
    for line, row in zip(shown.out.splitlines(), done.json, strict=True):
        name, *classes = re.split(r"  +", line)
        assert name == row["image"]
        ranked = list(row["probabilities"].items())[:3]
        assert classes == [f"{label} {100 * share:.1f} %" for label, share in ranked]


@pytest.mark.parametrize(("top", "shown"), [(1, 1), (2, 2), (10, 10), (99, 10)])
def test_as_many_classes_as_asked_for(lowres, finished, picture, top, shown):
    done = lowres("predict", finished / "model.safetensors", picture("x.png"), "--top", top)
    assert done.out.count("%") == shown


@pytest.mark.parametrize("top", ["0", "-1"])
def test_fewer_than_one_class_are_none(refused, finished, picture, top):
    assert "--top" in refused("predict", finished, picture("x.png"), "--top", top)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "PATH"),
        (("{run}",), "no image to predict"),
        (("{run}", "nowhere.png"), "nowhere.png: cannot be read as an image"),
        (("{run}", "x.png", "broken.png"), "broken.png: cannot be read as an image"),
        (("{run}", "{run}"), "cannot be read as an image"),
        (("{run}", "x.png", "--device", "cuda:99"), "device 'cuda:99' cannot be used here"),
        (("{run}", "x.png", "--topp", "3"), "unknown option '--topp': did you mean '--top'?"),
        (("nowhere", "x.png"), "nowhere"),
        (("x.png", "x.png"), "x.png is not a readable safetensors file"),
        (("empty", "x.png"), "empty is not a run folder: it holds no recipe.json"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input(refused, finished, picture, tmp_path, words, says):
    picture("x.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nand no more")
    (tmp_path / "empty").mkdir()
    message = refused("predict", *(word.format(run=finished) for word in words))
    assert says in message
    assert "Errno" not in message


def test_an_unfinished_run(refused, unfinished, picture):
    assert f"`lowres train --resume {unfinished}` finishes it" in refused("predict", unfinished, picture("x.png"))
