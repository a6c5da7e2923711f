"""Which names are known where, and what stands behind them."""

import ast

import pytest

from lowres.doctor.findings import apply
from lowres.doctor.remedies.places import declaration, given
from lowres.doctor.remedies.scopes import known, same, spell, unused
from lowres.doctor.source import Source

CODE = """\
import torch.optim as optim
from torch import nn
import argparse

RATE = 0.1
config = {"lr": 0.2}
parser = argparse.ArgumentParser()
parser.add_argument("--weight-decay", default=5e-4)
args = parser.parse_args()


class Trainer:
    def __init__(self, args):
        self.args = args
        first = RATE
        self.optimizer = make(first)

    def fit(self, n):
        for epoch in range(n):
            self.step(epoch)


def make(rate):
    return rate


late = 3
n = 4
"""


@pytest.fixture
def source():
    return Source("x.py", CODE)


def at(source, text):
    """The statement that holds a text."""
    line = next(i for i, one in enumerate(source.lines, 1) if text in one)
    return source.statement_at(line)


@pytest.mark.parametrize(
    ("name", "place", "answer"),
    [
        ("RATE", "config =", True),
        ("late", "config =", False),
        ("late", "first =", True),  # a function runs later
        ("self.args.epochs", "first =", True),
        ("self.optimizer", "first =", False),
        ("self.optimizer", "self.step(", True),
        ("self.scheduler", "self.step(", False),
        ("first", "self.step(", False),
        ("len(config)", "args =", True),
        ("missing", "args =", False),
    ],
)
def test_names_are_known_where_they_are_bound(source, name, place, answer):
    assert known(source, name, at(source, place)) is answer


def test_a_name_local_to_a_function_means_nothing_elsewhere(source):
    loop = next(source.nodes(ast.For))
    assert known(source, "n", at(source, "self.optimizer ="))
    assert not same(source, "n", loop, at(source, "self.optimizer ="))
    assert same(source, "n", loop, at(source, "self.step("))
    assert same(source, "self.args.epochs", loop, at(source, "self.optimizer ="))


@pytest.mark.parametrize(
    ("dotted", "name"),
    [
        ("torch.optim.lr_scheduler.StepLR", "optim.lr_scheduler.StepLR"),
        ("torch.nn.ModuleList", "nn.ModuleList"),
        ("torch.bfloat16", None),
    ],
)
def test_pytorch_s_names_are_spelled_as_the_file_imports_them(source, dotted, name):
    assert spell(source, dotted) == name


def test_a_new_name_is_one_that_is_not_taken(source):
    assert unused(source, "late", "epoch", "scheduler") == "scheduler"


@pytest.mark.parametrize(
    ("use", "line"),
    [
        ("RATE", "RATE = 0.3"),
        ('config["lr"]', 'config = {"lr": 0.3}'),
        ("args.weight_decay", 'parser.add_argument("--weight-decay", default=0.3)'),
        ("RATE * 2", "use(0.3)"),
        ("args.epochs", "use(0.3)"),
    ],
)
def test_a_value_is_set_where_it_is_declared(use, line):
    source = Source("x.py", CODE + f"use({use})\n")
    value = source.calls("use")[0].args[0]
    behind = declaration(source, value)
    edit = given(source, value, None if behind is None else behind.value, "0.3")
    assert line in apply(source.text, [edit])


def test_a_value_that_the_command_line_changed_is_set_where_it_is_used():
    source = Source("x.py", CODE + "use(RATE)\n")
    edit = given(source, source.calls("use")[0].args[0], 0.5, "0.3")
    after = apply(source.text, [edit])
    assert "RATE = 0.1\n" in after
    assert after.endswith("use(0.3)\n")
