"""Loops as many programs have them: what is sound in them stays silent, and fixes fit what stands around them."""

import math

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, SubsetRandomSampler, TensorDataset
from torchvision import models

from lowres.doctor.checks.budget import pretrained_flag
from lowres.doctor.checks.honesty import arithmetic
from lowres.doctor.checks.loop import no_scaler
from lowres.doctor.checks.rate import batch, sensible
from lowres.doctor.findings import Place, apply
from lowres.doctor.network import look
from lowres.doctor.pipeline import Pipeline
from lowres.doctor.rates import Rates, figures, rates
from lowres.doctor.remedies.optimizers import in_sgd_s_place
from lowres.doctor.remedies.sizes import stem
from lowres.doctor.setup import Setup
from lowres.doctor.source import Source
from lowres.doctor.trace import Event, Seen

SGD = "optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)\n"
COSINE = "scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS)\n"
EACH_EPOCH = "    scheduler.step()\n"
STEP = "        optimizer.step()\n"
SHOWN = '    print("epoch", epoch, "accuracy", correct / len(val_loader.dataset))\n'
ORDER = "        optimizer.zero_grad()\n        loss = criterion(model(x), y)\n        loss.backward()\n"


def codes(report):
    assert not report.problem, report.problem
    return {one.code for one in report.findings}


def written(text, **known):
    return Setup("train.py", source=Source("train.py", text), **known)


# Schedules.

OWN = """
import math
best, wait = 0, 0


def adjust_learning_rate(epoch):
    for group in optimizer.param_groups:
        group["lr"] = {rate}


"""
PATIENT = """    if correct > best:
        best, wait = correct, 0
    else:
        wait += 1
        if wait >= {patience}:
            break
"""
RATES = {
    "steps": "0.1 * 0.1 ** (epoch // 30)",
    "cosine": "0.05 * (1 + math.cos(math.pi * epoch / EPOCHS))",
    "constant": "0.1",
}


@pytest.mark.parametrize(
    ("rate", "patience", "speaks"),
    [("steps", 15, set()), ("cosine", 15, set()), ("steps", 500, set()), ("constant", 500, {"LR104"})],
)
def test_the_loop_s_own_schedule_is_judged_where_the_loop_was_seen_to_its_end(observe, program, rate, patience, speaks):
    text = program(
        ("EPOCHS = 12", "EPOCHS = 100"),
        (COSINE, ""),
        (EACH_EPOCH, ""),
        ("for epoch in range(EPOCHS):\n", OWN.format(rate=RATES[rate]) + "for epoch in range(EPOCHS):\n"),
        ("    model.train()\n", "    adjust_learning_rate(epoch)\n    model.train()\n"),
        (SHOWN, SHOWN + PATIENT.format(patience=patience)),
    )
    assert codes(observe(text)) & {"LR104", "LR105"} == speaks


OF_THE_PROGRAM = """
import math


class Warm(torch.optim.lr_scheduler.LRScheduler):
    def __init__(self, optimizer, last_epoch=-1):
        self.at = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        at = max(self.at, 0)
        rate = (at + 1) / 3 if at < 3 else 0.5 * (1 + math.cos(math.pi * (at - 3) / (EPOCHS - 3)))
        return [0.1 * rate for _ in self.optimizer.param_groups]

    def step(self, epoch=None):
        self.at += 1
        self.last_epoch = self.at
        for group, rate in zip(self.optimizer.param_groups, self.get_lr()):
            group["lr"] = rate


scheduler = Warm(optimizer)
"""


@pytest.mark.parametrize(("step", "speaks"), [(EACH_EPOCH, set()), ("", {"LR104"})])
def test_a_schedule_that_steps_in_a_manner_of_its_own(observe, program, step, speaks):
    before = torch.optim.lr_scheduler.LRScheduler.step
    report = observe(program((COSINE, OF_THE_PROGRAM), (EACH_EPOCH, step)))
    assert codes(report) & {"LR103", "LR104", "LR105", "LR106"} == speaks
    assert torch.optim.lr_scheduler.LRScheduler.step is before


ACCUMULATED = """        (criterion(model(x), y) / 4).backward()
        if (i + 1) % 4 == 0:
            optimizer.step()
            optimizer.zero_grad()
{indent}scheduler.step()
"""
ONE_CYCLE = "scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps={steps})\n"


@pytest.mark.parametrize(
    ("indent", "steps", "speaks"),
    [
        (8, "EPOCHS * len(train_loader)", False),
        (8, "2 * EPOCHS * len(train_loader)", True),
        (12, "EPOCHS * (len(train_loader) // 4)", False),
        (12, "EPOCHS * len(train_loader)", True),
    ],
)
def test_a_schedule_stepped_by_the_batch_beside_accumulated_gradients(observe, program, indent, steps, speaks):
    text = program(
        (COSINE, ONE_CYCLE.format(steps=steps)),
        (EACH_EPOCH, ""),
        ("    for x, y in train_loader:\n", "    for i, (x, y) in enumerate(train_loader):\n"),
        (ORDER + STEP, ACCUMULATED.format(indent=" " * indent)),
    )
    report = observe(text)
    found = [one for one in report.findings if one.code == "LR105"]
    assert bool(found) is speaks, codes(report)
    assert "LR108" not in codes(report)
    if found:
        assert found[0].evidence["steps"] == 12 * (10 if indent == 8 else 2)
        length = "len(train_loader)" if indent == 8 else "(len(train_loader) // 4)"
        assert f"total_steps=EPOCHS * {length})" in apply(text, found[0].fix.edits)


@pytest.mark.parametrize(
    ("schedule", "codes"),
    [
        ("OneCycleLR(optimizer, 0.1, total_steps=EPOCHS * len(train_loader)", {"TR505"}),
        ("OneCycleLR(optimizer, 0.1, total_steps=EPOCHS * len(train_loader), cycle_momentum=False", {"TR502"}),
    ],
)
def test_momentum_that_the_schedule_cycles_needs_none_from_the_optimizer(observe, program, schedule, codes):
    text = program(
        (SGD, SGD.replace(", momentum=0.9", "")),
        ("EPOCHS = 12", "EPOCHS = 12\nMOMENTUM = 0.9"),
        (COSINE, f"scheduler = torch.optim.lr_scheduler.{schedule})\n"),
        (EACH_EPOCH, ""),
        (STEP, STEP + "        scheduler.step()\n"),
    )
    report = observe(text)
    found = {one.code: one for one in report.findings if one.code in ("TR502", "TR505")}
    assert set(found) == codes
    if "TR505" in found:
        assert (found["TR505"].grade, found["TR505"].cost) == ("note", 0)
        assert report.seen["optimizer"]["momentum"] == 0.9


RESTARTS = "scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0={period})\n"


@pytest.mark.parametrize(("period", "speaks"), [("EPOCHS", False), ("8", True)])
def test_warm_restarts_that_are_handed_how_far_the_training_is(observe, program, period, speaks):
    text = program(
        (COSINE, RESTARTS.format(period=period)),
        (EACH_EPOCH, ""),
        ("    for x, y in train_loader:\n", "    for i, (x, y) in enumerate(train_loader):\n"),
        (STEP, STEP + "        scheduler.step(epoch + i / len(train_loader))\n"),
    )
    assert ("LR106" in codes(observe(text))) is speaks


def test_what_does_not_grow_tells_nothing_of_the_pace(objects):
    trace = Setup("train.py").trace
    key = id(objects["train_loader"])
    trace.loaders[key] = Seen(objects["train_loader"], None)
    trace.events.append(Event("backward", None, True, {"loader": key}))
    for given in (0.0, 0.0):
        trace.events += [Event("iterate", None, True, {"loader": key})]
        trace.events += [Event("schedule", None, True, {"given": [given], "loader": key, "scheduler": 0})]
    assert figures(trace) is None
    trace.events[-1].data["given"] = [1.0]
    assert figures(trace) == (0.0, 1.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(objects["optimizer"], T_0=10)
    curve = rates(trace, schedule, epochs=10, steps_per_epoch=10, how="batch").curve
    assert len(curve) == 100
    assert curve[50] == pytest.approx(0.05 * (1 + math.cos(math.pi * 0.49)))
    assert curve[-1] < 1e-4


SEVERAL = """
LR = torch.optim.lr_scheduler
warmup = LR.LinearLR(optimizer, start_factor=0.01, total_iters=WARM)
cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=300)
scheduler = LR.SequentialLR(optimizer, [warmup, cosine], milestones=[{milestone}])
"""


@pytest.mark.parametrize(("milestone", "horizon"), [("WARM", "EPOCHS - WARM"), ("1 + 1", "EPOCHS - 2")])
def test_the_cosine_behind_a_warm_up_gets_what_is_left_of_the_training(observe, program, milestone, horizon):
    text = program(("EPOCHS = 12", "EPOCHS = 12\nWARM = 2"), (COSINE, SEVERAL.format(milestone=milestone)))
    found = next(one for one in observe(text).findings if one.code == "LR105")
    after = apply(text, found.fix.edits)
    assert f"cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max={horizon})\n" in after
    assert "scheduler = LR.SequentialLR(optimizer, [warmup, cosine]" in after


def test_several_schedules_of_which_the_last_is_no_cosine_are_left_to_the_hand(observe, program):
    last = "torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=300)"
    text = program(("EPOCHS = 12", "EPOCHS = 12\nWARM = 2"), (COSINE, SEVERAL.format(milestone="WARM")))
    text = text.replace(last, "LR.MultiStepLR(optimizer, [500])")
    found = next(one for one in observe(text).findings if one.code == "LR105")
    assert not found.fix.edits
    assert "SequentialLR" in found.fix.code


# Optimizers and rates.

GROUPS = """
flat = [p for p in model.parameters() if p.ndim == 1]
deep = [p for p in model.parameters() if p.ndim > 1]
optimizer = torch.optim.SGD(flat, lr=0.1, momentum=0.9, nesterov=True)
optimizer.add_param_group({"params": deep{decay}})
"""


@pytest.mark.parametrize(("decay", "speaks"), [(', "weight_decay": 5e-4', False), ("", True)])
def test_groups_that_are_added_to_an_optimizer_are_seen(observe, program, decay, speaks):
    assert ("TR501" in codes(observe(program((SGD, GROUPS.replace("{decay}", decay)))))) is speaks


def residual(text, optimizer, scheduler=None):
    """The setup of an optimizer on the first line and a schedule on the second, for a small residual network."""
    setup = written(text, model=models.resnet18(num_classes=10), optimizer=optimizer, scheduler=scheduler)
    setup.trace.optimizers[id(optimizer)] = Seen(optimizer, Place("train.py", 2), {})
    if scheduler is not None:
        setup.trace.schedulers[0] = Seen(scheduler, Place("train.py", 3), {})
    peak = 0.003 if scheduler is not None else optimizer.param_groups[0]["lr"]
    vars(setup)["rates"] = Rates((peak, peak), "simulated")
    vars(setup)["kind"] = type("Kind", (), {"name": "a residual network"})()
    return setup


def test_sgd_in_adam_s_place_gets_the_highest_rate_of_the_cycle():
    weights = [nn.Parameter(torch.zeros(1))]
    adam = torch.optim.Adam(weights, 1e-3)
    cycle = torch.optim.lr_scheduler.OneCycleLR(adam, max_lr=3e-3, total_steps=10)
    text = "import torch\nopt = torch.optim.Adam(params, lr=1e-3)\n{}\n"
    own = text.format("sched = torch.optim.lr_scheduler.OneCycleLR(opt, max_lr=3e-3, total_steps=10)")
    after = apply(own, in_sgd_s_place(residual(own, adam, cycle), always=True).edits)
    assert "SGD(params, lr=0.1, momentum=0.9, weight_decay=5e-4)" in after
    assert "OneCycleLR(opt, max_lr=0.1, total_steps=10)" in after
    hidden = text.format("sched = made(opt)")
    assert in_sgd_s_place(residual(hidden, adam, cycle), always=True) is None


def test_momentum_that_stands_there_is_set_and_not_removed():
    text = "import torch\nopt = torch.optim.RMSprop(params, lr=0.1, alpha=0.9, momentum=0.8, eps=1e-3)\n"
    rms = torch.optim.RMSprop([nn.Parameter(torch.zeros(1))], 0.1, momentum=0.8)
    after = apply(text, in_sgd_s_place(residual(text, rms), always=True).edits)
    assert after.splitlines()[1] == "opt = torch.optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=5e-4)"


SUMMED = (
    ("criterion = nn.CrossEntropyLoss()", 'criterion = nn.CrossEntropyLoss(reduction="{reduction}")'),
    ("loss = criterion(model(x), y)", "loss = criterion(model(x), y){taken}"),
)


@pytest.mark.parametrize(
    ("reduction", "taken", "rate", "speaks"),
    [
        ("none", ".sum()", "0.0005", set()),
        ("sum", "", "0.0005", set()),
        ("none", ".mean()", "0.0005", {"LR102"}),
        ("sum", " / len(y)", "0.0005", {"LR102"}),
        ("sum", "", "1e-5", {"LR102"}),
        ("none", ".sum()", "0.5", {"LR101"}),
        ("mean", "", "0.1", set()),
    ],
)
def test_rates_suit_the_scale_of_the_loss(observe, program, reduction, taken, rate, speaks):
    pairs = [(old, new.format(reduction=reduction, taken=taken)) for old, new in SUMMED]
    report = observe(program(*pairs, ("lr=0.1", f"lr={rate}")))
    assert codes(report) & {"LR101", "LR102"} == speaks


def test_summed_losses_are_told_from_the_value_that_goes_back(objects):
    setup = Setup("train.py", optimizer=objects["optimizer"])
    loss = {"shape": (16, 10), "total": 32.0}
    setup.trace.events += [Event("loss", None, True, loss), Event("backward", None, True, {"value": 32.0})]
    assert sensible(setup) is None  # the loader's batch is not known
    low, high = sensible(setup, 512)
    assert (low * 512, high * 512) == pytest.approx((0.02, 1.6))
    setup.train = Pipeline(DataLoader(TensorDataset(torch.zeros(20_000, 1)), 1024))
    for group in objects["optimizer"].param_groups:
        group["lr"] = 0.8 / 1024
    assert batch(setup) is None
    setup.trace.events.clear()
    assert batch(setup) is not None


# Adversarial training.

FAST = """
        delta = torch.zeros_like(x).uniform_(-0.03, 0.03).requires_grad_()
        criterion(model(x + delta), y).backward()
        x = (x + (delta + 0.03 * delta.grad.sign()).clamp(-0.03, 0.03)).detach()
        loss = criterion(model(x), y)
        {zero}
        loss.backward()
"""


@pytest.mark.parametrize(("zero", "speaks"), [("optimizer.zero_grad()", False), ("pass", True)])
def test_gradients_of_an_attack_are_cleared_with_those_of_the_step(observe, program, zero, speaks):
    report = observe(program((ORDER, FAST.format(zero=zero))))
    assert ("TR521" in codes(report)) is speaks


TRADES = """
        model.eval()
        shifted = x + 0.001 * torch.randn_like(x)
        for _ in range(2):
            shifted.requires_grad_()
            distance = criterion(model(shifted), y)
            {gradient}
            shifted = (shifted + 0.007 * gradient.sign()).detach()
        {train}
        optimizer.zero_grad()
        loss = criterion(model(shifted), y)
        loss.backward()
"""
ASKED = "gradient = torch.autograd.grad(distance, [shifted])[0]"
WALKED = "distance.backward(); gradient = shifted.grad"


@pytest.mark.parametrize(
    ("gradient", "train", "speaks"),
    [(ASKED, "model.train()", False), (WALKED, "model.train()", False), (ASKED, "pass", True)],
)
def test_an_attack_in_evaluation_mode_is_no_training_in_it(observe, program, gradient, train, speaks):
    report = observe(program((ORDER, TRADES.format(gradient=gradient, train=train))))
    assert ("EV402" in codes(report)) is speaks


# What the source says.

HITS = "for x, y in valid_loader:\n    correct += (model(x).argmax(1) == y).sum().item()\nprint({})\n"


@pytest.mark.parametrize(
    ("quotient", "fixed"),
    [
        ("correct / len(valid_loader)", "correct / len(valid_loader.{})"),
        ("100 * correct / len(valid_loader)", "100 * correct / len(valid_loader.{})"),
        ("correct / len(valid_loader) * 100", "correct / len(valid_loader.{}) * 100"),
        ("correct / len(valid_loader) / batch_size", ""),
        ("correct / batch_size / len(valid_loader)", ""),
        ("100 * (correct / len(valid_loader)) / batch_size", ""),
    ],
)
@pytest.mark.parametrize("sampled", [True, False])
def test_hits_are_divided_by_the_images_that_are_drawn(quotient, fixed, sampled):
    images = TensorDataset(torch.rand(40, 3, 4, 4), torch.arange(40) % 10)
    drawn = DataLoader(images, 16, sampler=SubsetRandomSampler(range(20)) if sampled else None)
    text = HITS.format(quotient)
    found = arithmetic(written(text, evals=[Pipeline(drawn, role="val")]))
    assert (found is not None) is bool(fixed)
    if found is not None:
        assert f"print({fixed.format('sampler' if sampled else 'dataset')})\n" in apply(text, found.fix.edits)


BUILT = """import torch
from torch import nn
from torchvision import models

model = models.resnet18(num_classes=10)
{lines}opt = torch.optim.SGD(model.parameters(), lr=0.1)
"""
GRAY = "model.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)\n"
STEM = "model.conv1 = nn.Conv2d(1, 64, kernel_size=3, stride=1, padding=1, bias=False)\nmodel.maxpool = nn.Identity()\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        (GRAY, ""),
        (GRAY + "model.fc = nn.Linear(512, 10)\n", ""),
        ("if gray:\n    " + GRAY, ""),
        (GRAY, "model.to(device)\n"),
        (GRAY, "model = model.to(device)\n"),
    ],
)
def test_a_stem_stands_behind_the_layers_that_the_program_exchanges(before, after):
    model = models.resnet18(num_classes=10)
    model.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    text = BUILT.format(lines=before + after)
    fix = _stem(text, model)
    assert before + STEM + after + "opt" in apply(text, fix.edits)


def test_a_layer_that_is_exchanged_on_the_device_leaves_the_stem_to_the_hand():
    model = models.resnet18(num_classes=10)
    fix = _stem(BUILT.format(lines="model = model.cuda()\n" + GRAY.replace("(1", "(3")), model)
    assert not fix.edits


def _stem(text, model):
    setup = written(text, model=model, pristine=model, image=torch.randn(4, model.conv1.in_channels, 28, 28))
    setup.optimizer = torch.optim.SGD(model.parameters(), 0.1)
    setup.trace.optimizers[id(setup.optimizer)] = Seen(setup.optimizer, Place("train.py", len(text.splitlines())), {})
    vars(setup)["network"] = look(model, setup.image)
    return stem(setup, Place("train.py", 5))


@pytest.mark.parametrize("given", ['"cuda", torch.float16', '"cuda", dtype=torch.float16'])
def test_the_type_of_autocast_is_exchanged_where_it_stands(given):
    text = f"import torch\nwith torch.autocast({given}):\n    loss = step(x)\n"
    after = apply(text, no_scaler(written(text)).fix.edits)
    assert f"torch.autocast({given.replace('float16', 'bfloat16')})" in after


@pytest.mark.parametrize(
    ("head", "call", "speaks"),
    [
        ("from torchvision.models import resnet18", "resnet18", True),
        ("from torchvision.models import resnet18 as r18\nfrom torchvision import models", "models.resnet18", True),
        ("import torchvision.models as zoo", "zoo.resnet18", True),
        ("import torchvision", "torchvision.models.resnet18", True),
        ("from torchvision.models import *", "resnet18", True),
        ("from cifar10_models.resnet import resnet18", "resnet18", False),
        ("from timm.models import resnet18", "resnet18", False),
        ("from .models import resnet18", "resnet18", False),
        ("import torchvision\nfrom . import models", "models.resnet18", False),
        ("import torchvision\ndef resnet18(pretrained): ...", "resnet18", False),
    ],
)
def test_weights_of_the_old_release_are_torchvision_s(head, call, speaks):
    assert (pretrained_flag(written(f"{head}\nmodel = {call}(pretrained=True)\n")) is not None) is speaks
