"""What looks like a fault and is none stays silent, or is a note; beside each, the fault that it looks like."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchvision.models import ResNet18_Weights

import lowres
from lowres.doctor.checks.architecture import linear
from lowres.doctor.checks.honesty import arithmetic
from lowres.doctor.checks.horizon import plateau
from lowres.doctor.checks.loop import no_scaler
from lowres.doctor.checks.norms import unnormed
from lowres.doctor.checks.optimizer import dead
from lowres.doctor.checks.parameters import outside
from lowres.doctor.checks.rate import too_high
from lowres.doctor.checks.splits import channels, of_the_weights
from lowres.doctor.declared import declared_unused
from lowres.doctor.findings import Place
from lowres.doctor.pipeline import Pipeline
from lowres.doctor.setup import Setup
from lowres.doctor.source import Source
from lowres.doctor.trace import Event


def written(text, *others, **known):
    """A setup of source alone."""
    files = {f"{i}.py": Source(f"{i}.py", other) for i, other in enumerate(others)}
    return Setup("train.py", source=Source("train.py", text), files=files, **known)


def loader(images, batch_size=16, **options):
    return DataLoader(TensorDataset(images, torch.arange(len(images)) % 10), batch_size, **options)


def pretrained(images, transform=None, model=None):
    made = loader(images)
    made.dataset.transform = transform
    return Setup("train.py", train=Pipeline(made), pristine=model, model=model, pretrained="ResNet18_Weights")


class Centred(nn.Sequential):
    """A network that normalises by itself."""

    def forward(self, x):
        return super().forward((x - 0.45) / 0.25)


def test_normalisation_is_known_wherever_it_happens():
    pixels = torch.rand(32, 3, 8, 8)
    layers = (nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
    assert of_the_weights(pretrained(pixels)) is not None
    assert of_the_weights(pretrained(pixels, model=nn.Sequential(*layers))) is not None
    assert of_the_weights(pretrained(pixels, ResNet18_Weights.DEFAULT.transforms())) is None
    assert of_the_weights(pretrained((pixels - 0.45) / 0.25)) is None
    assert of_the_weights(pretrained(pixels, model=Centred(*layers))) is None


class Stored(Dataset):
    """Images of two classes, one red, one blue, as arrays."""

    def __init__(self, targets, turned=False):
        self.targets, self.data = list(targets), np.full((len(targets), 8, 8, 3), 100, np.uint8)
        noise = np.random.default_rng(0).integers(0, 20, len(targets)).astype(np.uint8)
        for image, label, extra in zip(self.data, self.targets, noise, strict=True):
            image[..., 2 * (bool(label) != turned)] += (20 if label else 120) + extra

    def __len__(self):
        return len(self.data)

    def __getitem__(self, i):
        return torch.from_numpy(self.data[i]).permute(2, 0, 1) / 255, self.targets[i]


@pytest.mark.parametrize(
    ("targets", "turned", "found"), [([0, 1] * 50, True, True), ([0, 1] * 50, False, False), ([1] * 100, False, False)]
)
def test_a_class_has_a_colour_of_its_own(targets, turned, found):
    train, val = (Pipeline(DataLoader(one, 10)) for one in (Stored([0, 1] * 100), Stored(targets, turned)))
    setup = Setup("train.py", train=train, evals=[val])
    assert (channels(setup) is not None) == found


COUNT = """
correct = 0
for {loop}:
    correct += (model(x).argmax(1) == y).sum().item()
accuracy = correct / {divisor}
"""


@pytest.mark.parametrize(
    ("loop", "divisor", "batch", "speaks"),
    [
        ("x, y in test_loader", "len(test_loader)", 16, True),
        ("x, y in test_loader", "len(test_loader)", 1, False),
        ("x, y in tqdm(test_loader, total=len(test_loader))", "len(test_loader)", 16, True),
        ("i in range(0, len(x_test), 256)", "len(x_test)", 16, False),
        ("x, y in test_loader", "(len(test_loader) * 16)", 16, False),
        ("x, y in test_loader", "(len(test_loader) * batch_size)", 16, False),
        ("x, y in test_loader", "(len(test_loader) * 32)", 16, True),
        ("x, y in test_loader", "(len(test_loader) * 15)", 15, True),
    ],
)
def test_hits_are_divided_by_something_else_than_the_images(loop, divisor, batch, speaks):
    test = Pipeline(loader(torch.rand(32, 3, 4, 4), batch), role="test")
    setup = written(COUNT.format(loop=loop, divisor=divisor), evals=[test])
    assert (arithmetic(setup) is not None) == speaks


def test_a_product_over_the_training_loader_is_judged_by_that():
    even, odd = (Pipeline(loader(torch.rand(32, 3, 4, 4), size)) for size in (16, 15))
    text = COUNT.format(loop="x, y in train_loader", divisor="(len(train_loader) * batch_size)")
    assert arithmetic(written(text, train=odd, evals=[even])) is not None
    assert arithmetic(written(text, train=even, evals=[odd])) is None


HALF = 'with torch.autocast("cuda"{dtype}):\n    loss = step(x)\n'


@pytest.mark.parametrize(
    ("dtype", "others", "speaks"),
    [
        ("", (), True),
        (", dtype=torch.float16", (), True),
        (", torch.half", (), True),
        (", dtype=torch.bfloat16", (), False),
        (", dtype=amp", ("amp = torch.bfloat16\n",), False),
        (", dtype=torch.float16", ("scaler = GradScaler()\n",), False),
        (", dtype=torch.float16", ("scaler = timm.utils.NativeScaler()\n",), False),
        (", dtype=torch.float16", ("def step(scaler, loss):\n    scaler.scale(loss).backward()\n",), False),
    ],
)
def test_a_scaler_is_looked_for_in_every_file(dtype, others, speaks):
    assert (no_scaler(written(HALF.format(dtype=dtype), *others)) is not None) == speaks


PARSER = "p = ArgumentParser()\np.add_argument({names}, type=int, default=4)\na = p.parse_args()\nf({read})\n"


@pytest.mark.parametrize(
    ("names", "read", "name"),
    [
        ("'-bs', '--batch_size'", "a.batch_size", None),
        ("'-bs', '--batch-size'", "3", "batch_size"),
        ("'--learning-rate', dest='lr'", "a.lr", None),
        ("'--learning-rate', dest='lr'", "3", "lr"),
        ("'-e', '--epochs', dest='rounds'", "a.rounds", None),
        ("'epochs'", "3", None),  # its own name is a text that may be read by
        ("'-lr'", "a.lr", None),
    ],
)
def test_an_option_is_read_by_the_name_that_argparse_gives_it(names, read, name):
    setup = written(PARSER.format(names=names, read=read))
    assert [found.evidence["name"] for found in [dead(setup)] if found is not None] == ([name] if name else [])
    if name is not None:
        assert declared_unused(setup, name)[1] == 2


@pytest.mark.parametrize(
    ("handed", "speaks"),
    [("val_acc", True), ("1 - val_acc", False), ("-val_acc", False), ("val_loss", False), ("100 * val_acc", True)],
)
def test_an_accuracy_turned_round_is_an_error_to_the_plateau(handed, speaks):
    setup = written(f"scheduler.step({handed})\n")
    optimizer = torch.optim.SGD(nn.Linear(2, 2).parameters(), 0.1)
    setup.scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="min")
    setup.trace.events.append(Event("schedule", Place("train.py", 1), True, {"scheduler": 0}))
    assert (plateau(setup) is not None) == speaks


class Swish(torch.autograd.Function):
    """Swish with a gradient of its own."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x.sigmoid()

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * x.sigmoid() * (1 + x * (1 - x.sigmoid()))


class Applied(nn.Module):
    """A function as a layer."""

    def forward(self, x):
        return Swish.apply(x)


def seen(model, images=None):
    return Setup("train.py", model=model, pristine=model, image=torch.randn(4, 3, 8, 8) if images is None else images)


@pytest.mark.parametrize(("activation", "speaks"), [(Applied, False), (nn.Identity, True)])
def test_an_activation_of_the_program_s_own_is_one(activation, speaks):
    convs = [layer for _ in range(4) for layer in (nn.Conv2d(3, 3, 3, padding=1), activation())]
    setup = seen(nn.Sequential(*convs, nn.Flatten(), nn.Linear(192, 10)))
    assert (linear(setup) is not None) == speaks


def test_a_linear_probe_is_a_choice_with_weights_and_a_fault_without():
    model = nn.Sequential(nn.Linear(50, 50), nn.Linear(50, 2))
    setup = Setup("train.py", model=model, optimizer=torch.optim.SGD(model[1].parameters(), 0.1))
    assert (outside(setup).grade, outside(setup).cost) == ("error", 40)
    setup.pretrained = "ResNet18_Weights"
    found = outside(setup)
    assert (found.grade, found.cost) == ("note", 3)
    assert "as they were loaded" in found.title
    setup.optimizer = torch.optim.SGD(model[0].parameters(), 0.1)  # the new head, of all
    assert outside(setup).grade == "error"
    setup.optimizer = torch.optim.SGD(nn.Linear(50, 2).parameters(), 0.1)  # of a head that was exchanged
    assert outside(setup).grade == "error"


class Branches(nn.Module):
    """Skips without norms, whose branches are scaled by a figure that is learned, or are not."""

    def __init__(self, scaled):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, 3, 3, padding=1) for _ in range(8))
        self.act = nn.PReLU()
        self.scales = nn.ParameterList(nn.Parameter(torch.ones(1)) for _ in range(8 if scaled else 0))
        self.head = nn.Linear(3, 10)

    def forward(self, x):
        for conv, scale in zip(self.convs, self.scales or [1.0] * 8, strict=True):
            x = x + scale * conv(self.act(x))
        return self.head(x.mean((2, 3)))


def test_networks_made_to_do_without_norms_are_left_alone():
    torch.manual_seed(0)
    found = {}
    for scaled in (True, False):
        setup = seen(Branches(scaled))
        setup.optimizer = torch.optim.SGD(setup.model.parameters(), 0.1)
        found[scaled] = unnormed(setup)
    assert found[True] is None
    assert found[False].evidence["rate"] == 0.1
    setup = seen(Branches(False))
    setup.optimizer = torch.optim.SGD(setup.model.parameters(), 0.1)
    for conv in setup.model.convs[::2]:
        nn.init.zeros_(conv.weight)
    assert unnormed(setup) is None


@pytest.mark.parametrize(("squeeze", "floor"), [(torch.tanh, 0.797), (torch.sigmoid, 1.461)])
def test_squeezed_scores_have_the_floor_of_their_range(objects, squeeze, floor):
    objects["loss_fn"] = lambda scores, y: F.cross_entropy(squeeze(scores), y)
    found = next(one for one in lowres.diagnose(**objects).findings if one.code == "LO302")
    assert found.evidence["loss_floor"] == pytest.approx(floor, abs=1e-3)
    best = F.cross_entropy(2 * F.one_hot(torch.arange(10)).float() - 1, torch.arange(10))  # right, and sure of it
    assert squeeze is torch.sigmoid or float(best) == pytest.approx(floor, abs=1e-3)


def test_a_loss_that_bursts_proves_a_rate_that_is_too_high(objects):
    setup = Setup("train.py", train=Pipeline(objects["train_loader"]))
    setup.optimizer = torch.optim.SGD(objects["model"].parameters(), 0.5, momentum=0.9)
    assert (too_high(setup).grade, too_high(setup).cost) == ("warning", 15)
    setup.trace.events += [Event("backward", None, True, {"value": value}) for value in (2.3, math.inf)]
    assert (too_high(setup).grade, too_high(setup).cost) == ("error", 80)
