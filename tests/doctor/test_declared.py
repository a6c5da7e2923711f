"""What a declared hyper-parameter is called where the optimizer is made."""

import pytest

from lowres.doctor.declared import Unused, named
from lowres.doctor.remedies.places import Made
from lowres.doctor.source import Source

PROGRAM = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--data")
parser.add_argument("--lr", type=float)
parser.add_argument("--weight-decay", type=float, default=5e-4)


class Trainer:
    def __init__(self, {given}):
        {first}
        self.optimizer = SGD(self.model.parameters(), lr={given}.lr)

    def fit(self):
        for batch in self.data:
            pass
"""


@pytest.mark.parametrize(
    ("given", "first", "name"),
    [
        ("args", "self.data = load(args.data)", "args.weight_decay"),
        ("args", "self.data, self.lr = load(args.data), args.lr", "args.weight_decay"),  # self has them, too
        ("config", "self.data = load(config.data)", "config.weight_decay"),
    ],
)
def test_an_argument_is_read_from_where_the_others_are(given, first, name):
    source = Source("train.py", PROGRAM.format(given=given, first=first))
    (call,) = source.calls("SGD")
    assert named(Made(source, call, None), Unused(source, 6, "weight_decay", 5e-4)) == name
