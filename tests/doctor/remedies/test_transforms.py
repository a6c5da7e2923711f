"""Fixes of transforms: the mended code is run, and its check then stays silent."""

import ast

import pytest

from lowres.doctor.checks.data import no_augmentation, scale, strong
from lowres.doctor.checks.splits import different, of_the_weights
from lowres.doctor.remedies.transform_lists import spelled
from lowres.doctor.source import Source

PLAIN = """\
import torch
from torchvision import transforms
from torch.utils.data import DataLoader, Subset

train_transform = transforms.Compose([
    transforms.RandomCrop(32, padding=4),
    transforms.RandomHorizontalFlip(),
    transforms.ToTensor(),
    transforms.Normalize((0.5, 0.5, 0.5), (0.3, 0.3, 0.3)),
])
test_transform = transforms.Compose([
    transforms.ToTensor(),
    transforms.Normalize((0.5, 0.5, 0.5), (0.3, 0.3, 0.3)),
])
train_full = CIFAR10("data", train=True, transform=train_transform)
val_full = CIFAR10("data", train=True, transform=test_transform)
test_set = CIFAR10("data", train=False, transform=test_transform)
indices = list(range(400))
train_set = Subset(train_full, indices[:300])
val_set = Subset(val_full, indices[300:])
train_loader = DataLoader(train_set, batch_size=50, shuffle=True)
val_loader = DataLoader(val_set, batch_size=50)
test_loader = DataLoader(test_set, batch_size=50)
"""
CLASS = """\
import torchvision.transforms as T
from torch.utils import data as d


class Data:
    def __init__(self, root="data"):
        augment = T.Compose([
            T.RandomCrop(32, padding=4), T.RandomHorizontalFlip(), T.ToTensor(), T.Normalize((0.5,) * 3, (0.3,) * 3)
        ])
        plain = T.Compose([T.ToTensor(), T.Normalize((0.5,) * 3, (0.3,) * 3)])
        self.train_loader = d.DataLoader(CIFAR10(root, transform=augment), 50, shuffle=True)
        self.test_loader = d.DataLoader(CIFAR10(root, train=False, transform=plain), 50)


data = Data()
"""
CROP = "    transforms.RandomCrop(32, padding=4),\n    transforms.RandomHorizontalFlip(),\n"
NORMALIZE = "    transforms.Normalize((0.5, 0.5, 0.5), (0.3, 0.3, 0.3)),\n"


def code_of(text):
    """Code without its layout."""
    return ast.unparse(ast.parse(text))


def test_the_code_as_it_stands_is_sound(made):
    for code in (PLAIN, CLASS):
        setup = made(code)
        assert [check(setup) for check in (no_augmentation, scale, strong, different)] == [None] * 4


def test_augmentation_goes_before_to_tensor_of_training_alone(mended):
    assert code_of(mended(no_augmentation, PLAIN.replace(CROP, ""))) == code_of(PLAIN)
    bare = CLASS.replace("T.RandomCrop(32, padding=4), T.RandomHorizontalFlip(), ", "")
    assert code_of(mended(no_augmentation, bare)) == code_of(CLASS)


def test_a_list_that_lies_unused_is_given_to_training(mended):
    code = PLAIN.replace("transform=train_transform", "transform=test_transform")
    assert code_of(mended(no_augmentation, code)) == code_of(PLAIN)
    assert code_of(mended(no_augmentation, CLASS.replace("transform=augment", "transform=plain"))) == code_of(CLASS)


def test_a_list_that_both_use_is_extended_for_training(mended):
    code = PLAIN.replace("transform=train_transform", "transform=test_transform").replace(CROP, "")
    text = mended(no_augmentation, code)
    new = (
        "transforms.Compose([transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), test_transform])"
    )
    assert f'train_full = CIFAR10("data", train=True, transform={new})' in text
    assert 'val_full = CIFAR10("data", train=True, transform=test_transform)' in text


def test_a_bare_transform_becomes_part_of_a_list(mended):
    code = CLASS.replace("transform=augment", "transform=T.ToTensor()")
    code = code[: code.index("        augment")] + code[code.index("        plain") :]
    text = mended(no_augmentation, code)
    assert "T.Compose([T.RandomCrop(32, padding=4), T.RandomHorizontalFlip(), T.ToTensor()])" in text


BARE = """\
from torch.utils.data import DataLoader
{}

both = {}
train_loader = DataLoader(CIFAR10("data", transform=both), batch_size=50, shuffle=True)
test_loader = DataLoader(CIFAR10("data", train=False, transform=both), batch_size=50)
"""


@pytest.mark.parametrize("check", [no_augmentation, scale])
@pytest.mark.parametrize(
    ("line", "transform"),
    [
        ("from torchvision.transforms import ToTensor", "ToTensor()"),
        ("from torchvision.transforms import Compose, ToTensor", "Compose([ToTensor()])"),
        ("import torchvision.transforms as T", "T.ToTensor()"),
        ("import torchvision", "torchvision.transforms.ToTensor()"),
        ("from torchvision.transforms.functional import to_tensor", "to_tensor"),
    ],
)
def test_what_a_fix_names_is_imported(mended, check, line, transform):
    mended(check, BARE.format(line, transform))


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("import torchvision", "torchvision.transforms."),
        ("from torchvision.transforms import v2", "v2."),
        ("import torchvision.transforms.v2 as T", "T."),
        ("from torchvision import transforms", "transforms."),
        ("from torchvision.transforms import ToTensor", ""),
    ],
)
def test_code_is_spelled_as_the_file_does_it(line, name):
    code = "torchvision.transforms.Normalize(0, 1), {}ToTensor()"
    assert spelled(Source("x.py", f"{line}\n"), code.format("transforms.")) == code.format(name)


def test_crops_before_a_late_resize_suit_the_stored_images(mended):
    code = PLAIN.replace(CROP, "").replace(
        "    transforms.ToTensor(),\n", "    transforms.ToTensor(), transforms.Resize(64),\n"
    )
    assert "RandomCrop(32, padding=4)" in mended(no_augmentation, code)


def test_where_validation_shares_the_data_set_training_gets_a_copy(mended):
    code = PLAIN.replace(CROP, "").replace("Subset(val_full, ", "Subset(train_full, ")
    text = mended(no_augmentation, code)
    assert "train_set.dataset = copy.copy(train_set.dataset)" in text
    assert "import copy\n" in text


def test_a_normalisation_that_one_side_lacks_is_added(mended):
    at = PLAIN.rindex(NORMALIZE)
    assert code_of(mended(different, PLAIN[:at] + PLAIN[at + len(NORMALIZE) :])) == code_of(PLAIN)
    assert code_of(mended(different, PLAIN.replace(NORMALIZE, "", 1))) == code_of(PLAIN)
    one_line = CLASS.replace("plain = T.Compose([T.ToTensor(), T.Normalize((0.5,) * 3, (0.3,) * 3)])", "{}")
    assert mended(different, one_line.replace("{}", "plain = T.Compose([T.ToTensor()])")) == CLASS


def test_evaluation_gets_the_constants_of_training(mended):
    head, _, tail = PLAIN.rpartition(NORMALIZE)
    assert code_of(mended(different, head + NORMALIZE.replace("0.3", "0.9") + tail)) == code_of(PLAIN)


def test_evaluation_gets_the_size_of_training(mended):
    code = PLAIN.replace("transforms.RandomCrop(32, padding=4)", "transforms.Resize(64)")
    text = mended(different, code)
    assert text.count("transforms.Resize(64)") == 2


def test_statistics_of_the_data_go_into_all_lists_behind_the_tensors(mended):
    code = PLAIN.replace(NORMALIZE, "")
    text = mended(scale, code)
    assert text.count("    transforms.Normalize((0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)),\n") == 2
    erased = code.replace("    transforms.ToTensor(),\n", "    transforms.ToTensor(), transforms.RandomErasing(),\n", 1)
    first = mended(scale, erased).partition("test_transform")[0]
    assert first.index("Normalize") < first.index("RandomErasing")


def test_pixels_to_255_are_normalised_as_such(made, mended):
    lists = "transforms.PILToTensor(), transforms.Lambda(lambda image: image.float())"
    code = PLAIN.replace(NORMALIZE, "").replace("transforms.ToTensor()", lists)
    assert mended(scale, code).count("transforms.Normalize((125.3, 123.0, 113.9), (63.0, 62.1, 66.7))") == 2


def test_weights_get_their_own_statistics(mended):
    text = mended(of_the_weights, PLAIN.replace(NORMALIZE, ""), pretrained="ResNet18_Weights.IMAGENET1K_V1")
    assert text.count("transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),") == 2
    other = PLAIN.replace("0.3, 0.3, 0.3", "0.5, 0.5, 0.5")
    text = mended(of_the_weights, other, pretrained="ResNet18_Weights.IMAGENET1K_V1")
    assert text.count("transforms.Normalize(") == 2


def test_strong_augmentation_is_taken_out(mended):
    code = PLAIN.replace("transforms.RandomCrop(32, padding=4)", "transforms.RandomResizedCrop(32)")
    assert code_of(mended(strong, code)) == code_of(PLAIN)
    heavy = "transforms.RandomRotation(90), transforms.ColorJitter(brightness=1.0, hue=0.5),"
    text = mended(strong, PLAIN.replace("    transforms.ToTensor(),", f"    {heavy}\n    transforms.ToTensor(),", 1))
    assert "Rotation" not in text
    assert "Jitter" not in text
    deep = "    transforms.RandomResizedCrop(32),  # deep\n    transforms.RandomRotation(90),  # far\n"
    text = mended(strong, PLAIN.replace("    transforms.RandomCrop(32, padding=4),\n", deep))
    assert "    transforms.RandomCrop(32, padding=4),  # deep\n    transforms.RandomHorizontalFlip(),\n" in text


@pytest.mark.parametrize("check", [no_augmentation, scale])
def test_what_a_function_makes_for_both_is_left_to_the_reader(made, check):
    code = """\
from torch.utils.data import DataLoader
from torchvision.transforms import Compose, ToTensor


def images(train):
    return CIFAR10("data", train, Compose([ToTensor()]))


train_loader = DataLoader(images(True), batch_size=50, shuffle=True)
test_loader = DataLoader(images(False), batch_size=50)
"""
    fix = check(made(code)).fix
    assert check is scale or not fix.edits
    assert fix.edits or fix.code
