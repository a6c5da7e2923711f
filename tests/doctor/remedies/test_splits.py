"""Fixes of splits, order, labels and pixels: the mended code is run, and its check then stays silent."""

import ast

import pytest

from lowres.doctor.checks.data import frozen, scrambled, unshuffled
from lowres.doctor.checks.honesty import counted
from lowres.doctor.checks.labels import head, meaningless
from lowres.doctor.checks.splits import channels, missing_classes, overlap, shared_dataset
from lowres.doctor.findings import apply
from lowres.doctor.remedies.pixels import labels_in_place, one_order
from lowres.doctor.remedies.splits import own_transform

PLAIN = """\
import copy
import random

import numpy as np
import torch
from torchvision import transforms
from torch.utils.data import DataLoader, Dataset, Subset, random_split

augment = transforms.Compose([transforms.RandomCrop(32, padding=4), transforms.ToTensor()])
plain = transforms.Compose([transforms.ToTensor()])
train_full = CIFAR10("data", train=True, transform=augment)
val_full = CIFAR10("data", train=True, transform=plain)
test_set = CIFAR10("data", train=False, transform=plain)
indices = torch.randperm(len(train_full)).tolist()
train_set = Subset(train_full, indices[:300])
val_set = Subset(val_full, indices[300:])
train_loader = DataLoader(train_set, batch_size=40, shuffle=True)
val_loader = DataLoader(val_set, batch_size=50)
test_loader = DataLoader(test_set, batch_size=60)
"""
CLASS = """\
import copy
import numpy as np
import torch
import torchvision.transforms as T
from torch.utils import data as d


class Data:
    def __init__(self, root="data"):
        augment, plain = T.Compose([T.RandomCrop(32, padding=4), T.ToTensor()]), T.Compose([T.ToTensor()])
        self.full = CIFAR10(root, train=True, transform=augment)
        bare = CIFAR10(root, train=True, transform=T.ToTensor())
        test = CIFAR10(root, train=False, transform=T.ToTensor())
        order = np.random.RandomState(0).permutation(len(self.full)).tolist()
        self.train_loader = d.DataLoader(d.Subset(self.full, order[100:]), 40, shuffle=True)
        self.val_loader = d.DataLoader(d.Subset(bare, order[:100]), 40)
        self.test_loader = d.DataLoader(test, 40)


data = Data()
"""


def code_of(text):
    """Code without its layout."""
    return ast.unparse(ast.parse(text))


def changed(code, *pairs):
    for old, new in pairs:
        assert old in code, old
        code = code.replace(old, new)
    return code


def test_the_code_as_it_stands_is_sound(made):
    checks = (shared_dataset, missing_classes, overlap, unshuffled, frozen, counted, scrambled)
    for code in (PLAIN, CLASS):
        setup = made(code)
        assert [check(setup) for check in checks] == [None] * len(checks)


SHUFFLED = {
    "by name": (PLAIN, ("batch_size=40, shuffle=True", "batch_size=40"), "batch_size=40, shuffle=True"),
    "set to no": (PLAIN, ("batch_size=40, shuffle=True", "batch_size=40, shuffle=False"), "=40, shuffle=True"),
    "in a class": (CLASS, ("[100:]), 40, shuffle=True", "[100:]), 40"), "[100:]), 40, shuffle=True"),
    "by position": (CLASS, ("[100:]), 40, shuffle=True", "[100:]), 40, False"), "[100:]), 40, True"),
}


@pytest.mark.parametrize("case", SHUFFLED)
def test_training_images_are_shuffled(mended, case):
    code, (right, wrong), after = SHUFFLED[case]
    assert after in mended(unshuffled, changed(code, (right, wrong)))


def test_a_sampler_is_left_alone(made):
    ordered = "batch_size=40, sampler=torch.utils.data.SequentialSampler(train_set)"
    found = unshuffled(made(changed(PLAIN, ("batch_size=40, shuffle=True", ordered))))
    assert not found.fix.edits


def test_evaluation_counts_every_image(mended):
    text = mended(counted, changed(PLAIN, ("batch_size=60", "batch_size=60, drop_last=True")))
    assert "test_loader = DataLoader(test_set, batch_size=60, drop_last=False)" in text


def evaluated(made, code, at=0):
    """Code whose evaluation images were given transforms that are not random, and then are alike at each fetch."""
    setup = made(code)
    assert setup.evals[at].varies
    text = apply(code, own_transform(setup, setup.evals[at]).edits)
    after = made(text)
    assert after.train.varies
    assert not after.evals[at].varies
    return text


def test_validation_comes_from_the_set_with_plain_transforms(made):
    assert evaluated(made, changed(PLAIN, ("Subset(val_full", "Subset(train_full"))) == PLAIN
    assert "d.Subset(bare, order[:100])" in evaluated(made, changed(CLASS, ("d.Subset(bare", "d.Subset(self.full")))


def test_a_test_set_gets_the_plain_transforms(made):
    wrong = changed(PLAIN, ("train=False, transform=plain", "train=False, transform=augment"))
    assert evaluated(made, wrong, 1) == PLAIN


def test_a_split_s_validation_gets_a_copy_with_plain_transforms(made):
    split = "train_set, val_set = random_split(train_full, [300, 100])\n"
    code = changed(PLAIN, ("train_set = Subset(train_full, indices[:300])\n", split))
    text = evaluated(made, changed(code, ("val_set = Subset(val_full, indices[300:])\n", "")))
    assert "val_set.dataset = copy.copy(val_set.dataset)" in text
    assert "val_set.dataset.transform = plain" in text


def test_a_transform_set_on_both_gets_a_copy_first(mended):
    split = "train_set, val_set = random_split(train_full, [300, 100])\n"
    code = changed(PLAIN, ("train_set = Subset(train_full, indices[:300])\n", split), ("import copy\n", ""))
    code = changed(code, ("val_set = Subset(val_full, indices[300:])\n", "val_set.dataset.transform = plain\n"))
    text = mended(shared_dataset, code)
    assert "\nval_set.dataset = copy.copy(val_set.dataset)  # training keeps its own transforms\nval_set.d" in text
    assert "import copy\n" in text


def test_training_leaves_out_what_is_validated_on(mended):
    text = mended(overlap, changed(PLAIN, ("train_set = Subset(train_full, indices[:300])", "train_set = train_full")))
    new = "Subset(train_set, sorted(set(range(len(train_set))) - set(val_set.indices)))"
    assert f"train_loader = DataLoader({new}, batch_size=40, shuffle=True)" in text
    text = mended(overlap, changed(CLASS, ("d.Subset(self.full, order[100:])", "self.full")))
    assert "d.DataLoader(d.Subset(self.full, sorted(set(range(len(self.full))) - set(order[:100]))), 40, sh" in text


def test_the_test_set_is_made_of_test_images(mended):
    assert mended(overlap, changed(PLAIN, ("train=False", "train=True"))) == PLAIN
    assert mended(overlap, changed(CLASS, ("train=False", "train=True"))) == CLASS


def test_a_split_after_sorting_becomes_one_at_random(mended):
    sort = "indices = np.argsort(train_full.targets, kind='stable').tolist()"
    text = mended(missing_classes, changed(PLAIN, ("indices = torch.randperm(len(train_full)).tolist()", sort)))
    assert "indices = np.random.default_rng(0).permutation(len(train_full)).tolist()" in text
    sort = "indices = sorted(range(len(train_full)), key=lambda i: train_full.targets[i])"
    text = mended(missing_classes, changed(PLAIN, ("indices = torch.randperm(len(train_full)).tolist()", sort)))
    assert "indices = torch.randperm(len(train_full), generator=torch.Generator().manual_seed(0)).tolist()" in text


NETWORK = """
model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 10))
"""


def test_labels_count_from_zero(mended):
    code = PLAIN + NETWORK
    beside = "train=True, transform=augment"
    new = f"{beside}, target_transform=lambda y: y + 1"
    shifted = changed(code, (beside, new), ("32, 10)", "32, 11)"))
    assert mended(head, shifted) == code


def test_a_head_gets_an_output_for_each_class(mended):
    assert mended(head, changed(PLAIN + NETWORK, ("32, 10)", "32, 9)"))) == PLAIN + NETWORK


CACHE = """
class Remembered(Dataset):
    def __init__(self, dataset):
        self.dataset, self.kept = dataset, {}

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        if index not in self.kept:
            self.kept[index] = self.dataset[index]
        return self.kept[index]


augment ="""


def test_a_cache_of_augmented_images_is_passed_by(mended):
    code = changed(PLAIN, ("\naugment =", CACHE), ("DataLoader(train_set", "DataLoader(Remembered(train_set)"))
    assert mended(frozen, code) == changed(PLAIN, ("\naugment =", CACHE))


def test_images_that_were_reshaped_are_left_as_they_are(made):
    loop = (
        "for part in (train_full, val_full):\n    part.data = part.data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)\n"
    )
    code = changed(PLAIN, ("indices = ", loop + "indices = "))
    fix = scrambled(made(code)).fix
    assert code_of(apply(code, fix.edits)) == code_of(PLAIN)


def test_channels_that_were_exchanged_are_left_as_they_are(made):
    code = changed(PLAIN, ("indices = ", "test_set.data = test_set.data[:, :, :, ::-1].copy()\nindices = "))
    assert code_of(apply(code, one_order(made(code)).edits)) == code_of(PLAIN)
    code = changed(PLAIN, ("indices = ", "random.shuffle(train_full.targets)\nindices = "))
    assert code_of(apply(code, labels_in_place(made(code)).edits)) == code_of(PLAIN)
    assert channels(made(PLAIN)) is None
    assert meaningless(made(PLAIN)) is None
