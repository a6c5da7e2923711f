"""Which dropouts go and which stay."""

import pytest

from lowres.doctor.checks.capacity import dropout

LISTED = """\
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.drop = nn.Dropout2d(0.5)
        self.body = nn.Sequential(
            *(nn.Conv2d(8, 8, 3), nn.Dropout(0.5), nn.Conv2d(8, 8, 3), nn.Dropout(p=0.5)),
            *(nn.Conv2d(8, 8, 3), nn.Dropout(0.5)),
        )
        self.fc_drop = nn.Dropout(0.5)
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        return self.head(self.fc_drop(self.body(self.drop(self.stem(x))).mean((2, 3))))


model = Net()
"""
BLOCKS = """\
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(self.conv(x))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        layers = []
        for _ in range(4):
            layers.append(Block())
            layers.append(nn.Dropout(0.5))
        self.body = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(1728, 10))

    def forward(self, x):
        return self.classifier(self.body(x))


model = Net()
"""


def test_dropout_before_the_classifier_stays(mended):
    text = mended(dropout, LISTED)
    assert "self.drop = nn.Dropout2d(0.0)" in text
    assert "nn.Dropout(0.0), nn.Conv2d(8, 8, 3), nn.Dropout(p=0.0))" in text
    assert "*(nn.Conv2d(8, 8, 3), nn.Dropout(0.5))," in text
    assert "self.fc_drop = nn.Dropout(0.5)" in text


def test_what_blocks_and_loops_make_goes_as_one(mended):
    text = mended(dropout, BLOCKS)
    assert "self.drop = nn.Dropout(0.0)" in text
    assert "layers.append(nn.Dropout" not in text
    assert "nn.Flatten(), nn.Dropout(0.5)" in text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("        self.body = ", "        layers.append(nn.Dropout(0.5))\n        self.body = "),
        ("layers.append(nn.Dropout(0.5))", "layers.append(getattr(nn, 'Dropout')(0.5))"),
    ],
)
def test_what_cannot_be_told_apart_is_left_to_the_reader(made, old, new):
    fix = dropout(made(BLOCKS.replace(old, new))).fix
    assert not fix.edits
    assert fix.code == "nn.Dropout(0.0)"
