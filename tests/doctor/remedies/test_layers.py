"""Fixes of networks: the mended code is run, and its check then stays silent."""

import pytest
import torch

from lowres.doctor.checks.architecture import chance, linear, mixed, patches, resolution
from lowres.doctor.checks.norms import momentum, shared, tiny_batches, untracked, vanishing
from lowres.doctor.findings import Place, apply
from lowres.doctor.remedies.layers import layers_prefix, norms
from lowres.doctor.remedies.sizes import moves
from lowres.doctor.source import Source
from lowres.doctor.trace import Seen

RESNET = """\
import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, planes, momentum=0.1):
        super().__init__()
        self.conv1 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(Block(16), Block(16))
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        x = self.blocks(self.stem(x)).mean(dim=(2, 3))
        return self.head(x)


model = Net()
"""
VGG = """\
import torch
from torch import nn


class VGG(nn.Module):
    def __init__(self):
        super().__init__()
        layers = []
        channels = 3
        for width in (8, 8, 8, 8, 8, 8, 8, 8, 8):
            layers.append(nn.Conv2d(channels, width, 3, padding=1))
            layers.append(nn.ReLU(inplace=True))
            channels = width
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        return self.head(self.features(x).mean(dim=(2, 3)))


model = VGG()
"""


def changed(code, *pairs):
    for old, new in pairs:
        assert old in code, old
        code = code.replace(old, new)
    return code


def test_the_code_as_it_stands_is_sound(made):
    setup = made(RESNET)
    checks = (chance, linear, mixed, momentum, shared, untracked)
    assert [check(setup) for check in checks] == [None] * len(checks)


def test_a_norm_that_serves_twice_gets_company(mended):
    code = changed(RESNET, ("        self.bn2 = nn.BatchNorm2d(planes)\n", ""), ("self.bn2(", "self.bn1("))
    text = mended(shared, code)
    assert "        self.bn2 = nn.BatchNorm2d(planes)\n" in text
    assert "self.bn2(self.conv2(out))" in text


@pytest.mark.parametrize("value", ["0.99", "0"])
def test_the_momentum_of_norms_is_pytorch_s(mended, value):
    code = changed(RESNET, ("BatchNorm2d(planes)", f"BatchNorm2d(planes, momentum={value})"))
    assert mended(momentum, code).count("BatchNorm2d(planes, momentum=0.1)") == 2


def test_norms_keep_running_statistics(mended):
    code = changed(RESNET, ("BatchNorm2d(planes)", "BatchNorm2d(planes, track_running_stats=False)"))
    assert mended(untracked, code).count("track_running_stats=True") == 2


def test_dropout_is_told_the_mode(mended):
    code = changed(
        RESNET, ("        return self.head(x)", "        x = F.dropout(x, 0.5)\n        return self.head(x)")
    )
    assert "x = F.dropout(x, 0.5, training=self.training)" in mended(chance, code)


def test_statistics_over_the_batch_go(mended):
    line = "        x = (x - x.mean(dim=0)) / (x.std(dim=0) + 1e-5)\n"
    assert (
        mended(mixed, changed(RESNET, ("        return self.head(x)", line + "        return self.head(x)"))) == RESNET
    )


def test_attention_takes_the_batch_first(mended):
    code = """\
import torch
from torch import nn


class Attends(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 8, 8)
        self.attention = nn.MultiheadAttention(16, 2)
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = x + self.attention(x, x, x, need_weights=False)[0]
        return self.head(x.mean(dim=1))


model = Attends()
"""
    assert "nn.MultiheadAttention(16, 2, batch_first=True)" in mended(mixed, code)


def test_activations_come_behind_norms(mended):
    code = changed(
        VGG,
        ("            layers.append(nn.ReLU(inplace=True))\n", "            layers.append(nn.BatchNorm2d(width))\n"),
    )
    text = mended(linear, code)
    assert "layers.append(nn.BatchNorm2d(width))\n            layers.append(nn.ReLU(inplace=True))\n" in text
    listed = changed(
        VGG,
        ("            layers.append(nn.Conv2d(channels, width, 3, padding=1))\n", ""),
        ("layers.append(nn.ReLU(inplace=True))", "layers += [nn.Conv2d(channels, width, 3), nn.BatchNorm2d(width)]"),
    )
    assert "nn.BatchNorm2d(width), nn.ReLU(inplace=True)]" in mended(linear, listed)
    parts = "nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.Flatten()"
    whole = f"from torch import nn\nmodel = nn.Sequential({parts}, nn.Linear(6272, 10))\n"
    assert mended(linear, whole).count("nn.BatchNorm2d(8), nn.ReLU(inplace=True),") == 2


def with_norms(made, code):
    """Code after norms are put behind its convolutions."""
    text = apply(code, norms(made(code), "norms", activations=False).edits)
    after = made(text).network
    assert after.norms == len(after.convolutions)
    return text


def test_norms_come_behind_convolutions(made):
    text = with_norms(made, VGG)
    assert (
        "3, padding=1))\n            layers.append(nn.BatchNorm2d(width))\n            layers.append(nn.ReLU(" in text
    )
    single = changed(VGG, ("        self.head", "        self.last = nn.Conv2d(8, 8, 1)\n        self.head"))
    text = with_norms(made, changed(single, ("self.features(x).mean", "self.last(self.features(x)).mean")))
    assert "self.last = nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8))" in text


def test_sigmoids_become_rectifiers_behind_norms(mended):
    text = mended(vanishing, changed(VGG, ("nn.ReLU(inplace=True)", "nn.Sigmoid()")))
    assert "layers.append(nn.BatchNorm2d(width))\n            layers.append(nn.ReLU(inplace=True))\n" in text
    assert "Sigmoid" not in text


DEEP = """\
import torch
from torch import nn


def conv(i, o, s):
    return nn.Sequential(nn.Conv2d(i, o, 3, s, 1), nn.BatchNorm2d(o), nn.ReLU())


class Net(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, kernel_size=7, stride=2, padding=3, bias=False)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.body = nn.Sequential(conv(8, 16, 2), conv(16, 32, 2), conv(32, 64, 2))
        self.head = nn.Linear(64, classes)

    def forward(self, x):
        return self.head(self.body(self.maxpool(self.conv1(x))).mean(dim=(2, 3)))


device = "cpu"
model = Net(classes=10).to(device)
"""


def test_a_stem_for_large_images_is_exchanged(mended):
    text = mended(resolution, DEEP)
    assert "model.conv1 = nn.Conv2d(3, 8, kernel_size=3, stride=1, padding=1, bias=False).to(device)\n" in text
    assert "model.maxpool = nn.Identity()\n" in text


@pytest.mark.parametrize(
    ("value", "moved"),
    [
        ("Net()", ""),
        ("Net().cuda()", ".cuda()"),
        ("Net().to(args.device)", ".to(args.device)"),
        (
            "torch.compile(Net().to(DEVICE).to(memory_format=torch.channels_last))",
            ".to(DEVICE).to(memory_format=torch.channels_last)",
        ),
    ],
)
def test_a_new_layer_moves_as_the_network_does(value, moved):
    source = Source("x.py", f"model = {value}\n")
    assert moves(source, source.tree.body[0]) == moved


@pytest.mark.parametrize(
    ("code", "prefix", "imports"),
    [
        ("import torch.nn as nn\n", "nn.", []),
        ("import torch\n", "torch.nn.", []),
        ("from torchvision.models import resnet18\n", "nn.", ["from torch import nn"]),
        ("from torch.nn import Linear\nx = Linear(1, 1)\n", "", ["from torch.nn import Conv2d"]),
    ],
)
def test_layers_are_called_by_what_is_imported(code, prefix, imports):
    found, edits = layers_prefix(Source("x.py", code), "Conv2d")
    assert (found, [one.code for one in edits]) == (prefix, imports)


def test_strides_become_one_where_no_stem_stands_out(mended):
    code = changed(DEEP, ("kernel_size=7, stride=2, padding=3", "kernel_size=3, stride=2, padding=1"))
    code = changed(code, ("self.maxpool = nn.MaxPool2d(3, 2, 1)", "self.maxpool = conv(8, 8, 2)"))
    text = mended(resolution, code)
    assert "model.conv1.stride = (1, 1)\nmodel.maxpool[0].stride = (1, 1)\n" in text


def test_a_head_that_counts_on_the_size_is_left_to_the_reader(made):
    code = changed(DEEP, (".mean(dim=(2, 3))", ".flatten(1)"))
    fix = resolution(made(code)).fix
    assert not fix.edits
    assert "stride 1" in fix.code


def test_patches_shrink_where_their_size_is_declared(mended):
    code = """\
from torch import nn


class Attends(nn.Module):
    def __init__(self, patch_size=16, dim=16):
        super().__init__()
        self.patch = nn.Conv2d(3, dim, patch_size, patch_size)
        self.attention = nn.MultiheadAttention(dim, 2, batch_first=True)
        self.head = nn.Linear(dim, 10)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = x + self.attention(x, x, x, need_weights=False)[0]
        return self.head(x.mean(dim=1))


model = Attends()
"""
    assert "def __init__(self, patch_size=4, dim=16):" in mended(patches, code)
    assert "model = Attends(patch_size=4)" in mended(patches, changed(code, ("Attends()", "Attends(patch_size=16)")))


def test_small_batches_grow_with_the_rate(made):
    code = """\
import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision.transforms import ToTensor

BATCH_SIZE = 4
RATE = 0.003125
data = CIFAR10("data", transform=ToTensor())
train_loader = DataLoader(data, batch_size=BATCH_SIZE, shuffle=True)
model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9)
"""
    setup = made(code)
    setup.optimizer = torch.optim.SGD(setup.model.parameters(), lr=0.003125)
    setup.trace.optimizers[id(setup.optimizer)] = Seen(setup.optimizer, Place("train.py", 11))
    text = apply(code, tiny_batches(setup).fix.edits)
    assert "BATCH_SIZE = 128\nRATE = 0.1\n" in text
