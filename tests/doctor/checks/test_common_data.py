"""Data, losses and networks that many programs have: digits, grey images, constants given once, labels left out."""

import functools

import pytest
import torch
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler, TensorDataset, default_collate
from torchvision.ops import StochasticDepth

from lowres.doctor.checks.data import no_augmentation, scale, unshuffled
from lowres.doctor.checks.loss import nll
from lowres.doctor.checks.optimizer import dead
from lowres.doctor.checks.splits import different, missing_classes, of_the_weights
from lowres.doctor.findings import Place, apply
from lowres.doctor.pipeline import Pipeline
from lowres.doctor.remedies.statistics import IMAGENET, fitting
from lowres.doctor.setup import Setup
from lowres.doctor.source import Source
from lowres.doctor.trace import Event

SETS = """\
import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms


class {name}(Dataset):
    def __init__(self, train, transform):
        draw = np.random.default_rng(int(train))
        self.data = draw.integers(0, 256, (300, 28, 28{depth}), dtype=np.uint8)
        self.targets = [i * 7 % 10 for i in range(300)]
        self.train, self.transform = train, transform

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, i):
        return self.transform(Image.fromarray(self.data[i])), self.targets[i]


train_transform = transforms.Compose([{listed}])
test_transform = transforms.Compose([{listed}])
train_loader = DataLoader({name}(True, transform=train_transform), batch_size=50, shuffle=True)
test_loader = DataLoader({name}(False, transform=test_transform), batch_size=50)
"""


def sets(name, listed="transforms.ToTensor()", depth=""):
    """Code of two loaders over a data set of a name."""
    return SETS.format(name=name, listed=listed, depth=depth)


@pytest.mark.parametrize(
    ("name", "depth", "grade", "flips"),
    [
        ("MNIST", "", "note", False),
        ("EMNIST", "", "note", False),
        ("MnistFromCsv", "", "note", False),
        ("SVHN", ", 3", "note", False),
        ("FashionMNIST", "", "note", True),
        ("Scans", "", "note", False),  # of what is not known
        ("PathMNIST", ", 3", None, True),
        ("Photographs", ", 3", None, True),
    ],
)
def test_digits_are_not_mirrored_and_gain_little(made, mended, name, depth, grade, flips):
    found = no_augmentation(made(sets(name, depth=depth)))
    assert (found.grade, found.cost) == (grade, 0.5 if grade else 10.0)
    text = mended(no_augmentation, sets(name, depth=depth))
    assert text.count("transforms.RandomCrop(28, padding=3)") == 1
    assert text.count("RandomHorizontalFlip") == flips
    assert ("flip" in found.fix.title) == flips


def test_data_sets_of_digits_are_known_by_those_that_they_are_made_of(made):
    code = sets("MNIST").replace("train_transform =", "class Mine(MNIST):\n    pass\n\n\ntrain_transform =")
    found = no_augmentation(made(code.replace("DataLoader(MNIST(True", "DataLoader(Mine(True")))
    assert "Flip" not in found.fix.code + found.fix.diff


def test_grey_photographs_gain_as_much_and_stay_grey(made, mended):
    grey = sets("CIFAR10", "transforms.Grayscale(), transforms.ToTensor()", ", 3")
    coloured = "transforms.Compose([transforms.RandomHorizontalFlip(), transforms.ToTensor()])\ntrain_transform ="
    code = grey.replace("train_transform =", f"coloured = {coloured}", 1)
    code = code.replace("(True, transform=train_transform)", "(True, transform=test_transform)")
    assert no_augmentation(made(code)).cost == 10
    text = mended(no_augmentation, code)
    assert "transform=coloured" not in text
    assert made(text).train.samples[0].shape[1] == 1


@pytest.mark.parametrize("given", ["(0.5), (0.5)", "(0.5,), (0.5,)", "[0.5], torch.tensor([0.5])"])
@pytest.mark.parametrize("depth", ["", ", 3"])
def test_one_figure_normalises_all_channels(made, given, depth):
    setup = made(sets("Photographs", f"transforms.ToTensor(), transforms.Normalize({given})", depth))
    assert setup.train.constants == ((0.5,), (0.5,))
    assert [check(setup) for check in (different, scale)] == [None, None]


def test_one_figure_is_compared_with_the_weights(made):
    listed = "transforms.ToTensor(), transforms.Normalize({})"
    wrong, near = (made(sets("Photographs", listed.format(one), ", 3")) for one in ("0.5, 0.5", "0.45, 0.225"))
    for setup in (wrong, near):
        setup.pretrained = "ResNet18_Weights"
    assert "(0.5, 0.5, 0.5)" in of_the_weights(wrong).title
    assert of_the_weights(near) is None


def test_weights_of_three_channels_give_grey_images_statistics_of_one(made, mended):
    code = sets("FashionMNIST")
    text = mended(of_the_weights, code, pretrained="ResNet18_Weights")
    assert text.count("transforms.Normalize((0.459,), (0.2256,))") == 2
    assert made(text).train.samples[0].shape[1] == 1
    found = of_the_weights(made(code, pretrained="ResNet18_Weights"))
    assert (found.grade, found.cost) == ("note", 1.0)
    scaled = sets("FashionMNIST", "transforms.ToTensor(), transforms.Normalize((0.286,), (0.353,))")
    assert of_the_weights(made(scaled, pretrained="ResNet18_Weights")) is None


MODEL = "model = nn.Sequential({layers}nn.Conv2d({channels}, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))\n"


@pytest.mark.parametrize("weights", ["", "ResNet18_Weights"])
def test_photographs_made_grey_are_normalised_as_such(made, mended, weights):
    code = sets("CIFAR10", "transforms.Grayscale(), transforms.ToTensor()", ", 3")
    text = mended(scale, code, pretrained=weights)
    assert text.count("transforms.Normalize((0.459,), (0.2256,))" if weights else "Normalize((0.4809,), (0.2") == 2
    assert made(text).train.samples[0].shape[1] == 1


def test_statistics_that_do_not_fit_are_left_to_the_reader(made):
    assert fitting(IMAGENET, 3) == fitting(IMAGENET, None) == IMAGENET
    assert fitting(IMAGENET, 4) is None
    assert fitting(((0.2,), (0.3,)), 4) == ((0.2,), (0.3,))
    listed = "transforms.ToTensor(), transforms.Lambda(lambda x: x[[0, 1, 2, 0]])"
    fix = scale(made(sets("CIFAR10", listed, ", 3"))).fix
    assert not fix.edits
    assert fix.code


PREPARED = """\

class Prepared(nn.Module):
    def forward(self, x):
        return {}


"""


@pytest.mark.parametrize(
    ("listed", "inside", "speaks"),
    [
        ("transforms.ToTensor()", "(x - 0.45) / 0.25", False),
        ("transforms.ToTensor()", "x", True),
        ("transforms.PILToTensor(), transforms.Lambda(lambda x: x.float())", "x / 255", False),
        ("transforms.PILToTensor(), transforms.Lambda(lambda x: x.float())", "(x - 115) / 64", False),
        ("transforms.PILToTensor(), transforms.Lambda(lambda x: x.float())", "x", True),
        ("transforms.PILToTensor(), transforms.Lambda(lambda x: x.float())", "x / 2", True),
        ("transforms.PILToTensor(), transforms.Lambda(lambda x: x.float() - 115)", "x", True),
    ],
)
def test_a_network_may_prepare_images_itself(made, listed, inside, speaks):
    model = "model = nn.Sequential(Prepared(), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2704, 10))\n"
    assert (scale(made(sets("Photographs", listed, ", 3") + PREPARED.format(inside) + model)) is not None) == speaks


# Losses.

NET = """\
import torch
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(8, 10)
        {layer}

    def forward(self, x):
        return {scores}


model = Net()
criterion = nn.NLLLoss()
loss = criterion(model(x), y)
"""


class Net(nn.Module):
    """What is written in `NET`, by name."""


def given(text, scores, made_by="SoftmaxBackward0"):
    """A setup whose loss is given some scores in the last line of its source."""
    known = {"name": "nll_loss", "shape": tuple(scores.shape), "made_by": made_by}
    known |= {"low": float(scores.min()), "high": float(scores.max())}
    known["row_sum"] = float((scores.sum(1) - 1).abs().max())
    known["log_sum"] = float(scores.logsumexp(1).abs().max())
    setup = Setup("train.py", source=Source("train.py", text), model=Net())
    setup.trace.events.append(Event("loss", Place("train.py", text.count("\n")), True, known))
    return setup


@pytest.mark.parametrize(
    ("layer", "scores", "after"),
    [
        ("pass", "F.softmax(self.head(x), dim=1)", "return F.log_softmax(self.head(x), dim=1)"),
        ("pass", "self.head(x).softmax(1)", "return self.head(x).log_softmax(1)"),
        ("pass", "nn.Softmax(dim=1)(self.head(x))", "return F.log_softmax(self.head(x), dim=1)"),
        ("self.soft = nn.Softmax(dim=1)", "self.soft(self.head(x))", "return F.log_softmax(self.head(x), dim=1)"),
        ("self.softmax = nn.Softmax(dim=1)", "self.softmax(self.head(x))", "return F.log_softmax(self.head(x), dim=1)"),
        ("self.all = nn.Sequential(self.head, nn.Softmax(dim=1))", "self.all(x)", "self.head, nn.LogSoftmax(dim=1))"),
    ],
)
def test_probabilities_are_no_scores(layer, scores, after):
    text = NET.format(layer=layer, scores=scores)
    found = nll(given(text, torch.randn(4, 10).softmax(1)))
    assert "probabilities" in found.title
    assert found.cost == 10
    assert after in apply(text, found.fix.edits)


def test_a_softmax_that_was_imported_by_itself_becomes_another():
    text = NET.replace("import torch.nn.functional as F", "from torch.nn.functional import softmax")
    text = text.format(layer="pass", scores="softmax(self.head(x), dim=1)")
    after = apply(text, nll(given(text, torch.randn(4, 10).softmax(1))).fix.edits)
    assert "return log_softmax(self.head(x), dim=1)" in after
    assert "from torch.nn.functional import log_softmax" in after


def test_scores_have_no_lower_bound_and_logarithms_are_right():
    text = NET.format(layer="pass", scores="self.head(x)")
    found = nll(given(text, torch.randn(4, 10)))
    assert "no lower bound" in found.title
    assert found.cost == 80
    assert nll(given(text, torch.randn(4, 10).log_softmax(1))) is None


def test_a_program_with_a_softmax_gets_its_logarithm(faulty, fixed):
    text = faulty(
        "plain",
        ("nn.CrossEntropyLoss()", "nn.NLLLoss()"),
        ("return self.head(x)", "return F.softmax(self.head(x), dim=1)"),
    )
    after = fixed(text, "LO303")
    assert "return F.log_softmax(self.head(x), dim=1)" in after


# Hyper-parameters.


@pytest.mark.parametrize(
    ("line", "speaks"),
    [
        ("lr = 0.1", True),
        ("lr = 0.1 * 128 / 256", True),
        ("lr = float(args.learning_rate)", True),
        ("lr = self.config.optimizer.rate", True),
        ('batch_size = config["batch"]', True),
        ("BASE = 0.1\nlr = 2 * BASE", True),
        ("lr: float = 0.1", True),
        ("lr: float", True),
        ("lr = scheduler.get_last_lr()[0]", False),
        ('lr = optimizer.param_groups[0]["lr"]', False),
        ("batch_size = x.size(0)", False),
        ("batch_size = x.shape[0]", False),
        ("now = scheduler.get_last_lr()[0]\nlr = now", False),
    ],
)
def test_what_is_read_off_is_not_declared(line, speaks):
    setup = Setup("train.py", source=Source("train.py", f"{line}\nprint(lr, batch_size)\n"))
    assert (dead(setup) is not None) == speaks


# Modes.


class Shared(nn.Module):
    """A network whose forward asks for its mode, or does not."""

    def __init__(self, function):
        super().__init__()
        self.head, self.function = nn.Linear(12, 10), function

    def forward(self, x):
        return self.function(self.head(x.flatten(1)), self.training)


class DropPath(nn.Module):
    """timm's, by name."""

    def __init__(self, drop_prob):
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x):
        return x


@pytest.mark.parametrize(
    ("model", "matters"),
    [
        (Shared(lambda x, training: nn.functional.dropout(x, 0.5, training)), True),
        (Shared(lambda x, training: nn.functional.dropout(x, 0.5)), False),  # always: AR104
        (Shared(lambda x, training: x), False),
        (Shared(lambda x, training: (x, x) if training else x), False),
        (nn.Sequential(nn.Flatten(), nn.Linear(12, 10), nn.RReLU()), True),
        (nn.Sequential(nn.Flatten(), StochasticDepth(0.5, "row")), True),
        (nn.Sequential(nn.Flatten(), StochasticDepth(0.0, "row"), nn.Linear(12, 10)), False),
        (nn.Sequential(nn.Flatten(), DropPath(0.1), nn.Linear(12, 10)), True),
        (nn.Sequential(nn.Flatten(), DropPath(None), nn.Linear(12, 10)), False),
        (nn.Sequential(nn.Dropout(0.1), nn.Flatten()), True),
        (nn.Sequential(nn.Dropout(0.0), nn.Flatten(), nn.Linear(12, 10)), False),
    ],
)
def test_modes_differ_where_scores_do(model, matters):
    setup = Setup("train.py", model=model, pristine=model, image=torch.randn(8, 3, 2, 2))
    assert setup.mode_matters == matters


# Labels.


class Stored(TensorDataset):
    """Images with named classes."""

    def __init__(self, targets, classes):
        super().__init__(torch.rand(len(targets), 3, 4, 4), torch.tensor(targets))
        self.targets, self.classes = targets, classes


@pytest.mark.parametrize(
    ("classes", "loop", "speaks"),
    [
        (["unknown"], "for x, y in submit: f(x, y)", False),
        (["cat"], "for x, y in submit: f(x, y)", True),
        (["pictures"], "for x, y in submit: f(x, y)", True),  # a folder too high up
        (["pictures"], "for x, _ in submit: f(x)", False),
        (["pictures"], "for x, y in submit: f(x)", False),
        (["pictures"], "for i, (x, y) in enumerate(submit): f(x)", False),
        (["pictures"], "for x, y, i in submit: f(x, y)", True),
        (["pictures"], "for batch in submit: f(batch)", True),
    ],
)
def test_images_without_labels_are_no_split_of_one_class(classes, loop, speaks):
    train = Pipeline(DataLoader(Stored([0, 1] * 20, ["cat", "dog"]), 10))
    submit = Pipeline(DataLoader(Stored([0] * 40, classes), 10))
    setup = Setup("train.py", source=Source("train.py", f"{loop}\n"), train=train, evals=[submit])
    setup.trace.events.append(Event("iterate", Place("train.py", 1), True, {"loader": id(submit.loader)}))
    assert (missing_classes(setup) is not None) == speaks


# Loaders.


class Batches:
    """A batch sampler that has no sampler."""

    def __init__(self, size):
        self.size = size

    def __iter__(self):
        return iter(torch.randperm(self.size).view(-1, 10).tolist())

    def __len__(self):
        return self.size // 10


def over(count, batches, **options):
    """A setup that trains on a data set of so many images."""
    data = TensorDataset(torch.rand(count, 3, 4, 4), torch.arange(count) * 7 % 10)
    return Setup("train.py", train=Pipeline(DataLoader(data, batch_sampler=batches(data), **options)))


@pytest.mark.parametrize(
    ("batches", "speaks"),
    [
        (lambda data: BatchSampler(RandomSampler(data), 10, True), False),
        (lambda data: Batches(len(data)), False),
        (lambda data: BatchSampler(SequentialSampler(data), 10, True), True),
    ],
)
def test_a_batch_sampler_tells_the_order(batches, speaks):
    found = unshuffled(over(200, batches))
    assert (found is not None) == speaks
    assert found is None or found.evidence["sampler"] == "SequentialSampler"


def test_a_batch_sampler_of_some_images_gives_those():
    data = TensorDataset(torch.rand(200, 3, 4, 4), torch.arange(200) * 7 % 10)
    sampler = torch.utils.data.SubsetRandomSampler(range(50))
    one = Pipeline(DataLoader(data, batch_sampler=BatchSampler(sampler, 10, False)))
    assert sorted(one.indices) == list(range(50))
    assert len(one.labels) == len(one.prints) == 50


class Mixing:
    """A collate function that is an object."""

    def __call__(self, items):
        return default_collate(items)


def mixing(items, alpha):
    """A collate function that is told how much."""
    return default_collate(items)


@pytest.mark.parametrize(
    ("collate", "speaks"),
    [(None, True), (default_collate, True), (Mixing(), False), (functools.partial(mixing, alpha=1.0), False)],
)
def test_a_collate_function_of_any_kind_may_mix(collate, speaks):
    setup = over(200, lambda data: BatchSampler(RandomSampler(data), 10, True), collate_fn=collate)
    assert (no_augmentation(setup) is not None) == speaks
