"""Programs on smaller images."""

import ast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision import transforms

from lowres.doctor.proof.shrinking import divisors, shrink

FORUM = "tf = Compose([Resize((64, 64), InterpolationMode.BICUBIC), ToTensor()])\n"
LARGE = """
IMAGE_SIZE = 224
train = T.Compose([T.Resize(256), T.RandomResizedCrop(IMAGE_SIZE, scale=(0.5, 1)), T.RandomCrop(size=224, padding=28)])
test = T.Compose([T.Resize(256), T.CenterCrop((IMAGE_SIZE, IMAGE_SIZE)), T.ToTensor()])
net = Net(IMAGE_SIZE, 256)
"""


def test_numbers_and_names_of_sizes_are_divided_with_the_borders_of_crops():
    assert divisors(FORUM) == [2]
    assert shrink(FORUM, 2) == FORUM.replace("64, 64", "32, 32")
    assert divisors(LARGE) == [2, 4]
    short = shrink(LARGE, 4)
    assert "IMAGE_SIZE = 56" in short
    assert "size=56, padding=7" in short
    assert short.count("Resize(64)") == 2
    assert "Net(IMAGE_SIZE, 256)" in short
    assert "scale=(0.5, 1)" in short


@pytest.mark.parametrize(
    "text",
    [
        "tf = T.Compose([T.RandomCrop(32, padding=4), T.ToTensor()])\n",
        "tf = T.Compose([T.Resize(71), T.RandomCrop(64)])\n",
        "tf = T.Compose([T.Resize(size_of(args)), T.ToTensor()])\n",
        "optimizer = SGD(lr=0.1)\n",
    ],
)
def test_small_and_unknown_sizes_stay(text):
    assert divisors(text) == []


def test_what_is_small_in_a_variant_stays_as_it_is():
    text = "tf = T.Compose([T.RandomCrop(32, padding=4)])\nother = T.Compose([T.Resize(128), T.RandomCrop(128, 16)])\n"
    assert shrink(text, 2) == text.replace("128), T.RandomCrop(128, 16", "64), T.RandomCrop(64, 8")
    assert shrink(text, 1) is text


@given(st.integers(32, 400), st.sampled_from([2, 4]), st.booleans())
def test_a_divided_program_gives_images_of_the_divided_size(size, by, pads):
    crop = f"RandomCrop({by * size}, padding={by * 3})" if pads else f"CenterCrop({by * size})"
    text = f"tf = Compose([Resize(({by * size}, {by * size})), {crop}, ToTensor()])"
    assert by in divisors(text)
    short = shrink(text, by)
    space = {name: getattr(transforms, name) for name in ("Compose", "Resize", "RandomCrop", "CenterCrop", "ToTensor")}
    exec(compile(ast.parse(short), "program", "exec"), space)
    assert space["tf"](Image.new("RGB", (32, 32))).shape == torch.Size([3, size, size])
