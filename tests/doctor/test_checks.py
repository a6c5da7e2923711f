"""Each fault of objects is named by its code, and what merely looks like one is not."""

import copy
import itertools
import types

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Subset

import lowres


def loud(report):
    return {one.code for one in report.findings if one.grade != "note"}


def codes(report):
    return {one.code for one in report.findings}


def sgd(model, **options):
    return torch.optim.SGD(model.parameters(), **({"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4} | options))


def small_network():
    return nn.Sequential(
        *(nn.Conv2d(3, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()),
        *(nn.Conv2d(64, 128, 3, padding=1), nn.BatchNorm2d(128), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10)),
    )


class Classifier(nn.Module):
    """A network whose forward is a function of its parts."""

    def __init__(self, forward, **parts):
        super().__init__()
        self.body, self.head = small_network()[:-1], nn.Linear(128, 10)
        for name, part in parts.items():
            setattr(self, name, part)
        self.forward = types.MethodType(forward, self)

    def __deepcopy__(self, memo):
        copied = Classifier(self.__dict__["forward"].__func__)
        for name, value in self.__dict__.items():
            copied.__dict__[name] = value if name == "forward" else copy.deepcopy(value, memo)
        copied.__dict__["forward"] = types.MethodType(self.__dict__["forward"].__func__, copied)
        return copied


def test_a_sound_setup_has_no_findings(objects):
    assert loud(lowres.diagnose(**objects)) == set()


def changed_model(objects, model):
    objects["model"] = model
    objects["optimizer"] = sgd(model)
    objects["scheduler"] = torch.optim.lr_scheduler.CosineAnnealingLR(objects["optimizer"], T_max=30)


def in_forward(self, x):
    return nn.Linear(128, 10)(self.body(x))


def list_held(self, x):
    x = self.body(x)
    for layer in self.layers:
        x = x + layer(x)
    return self.head(x)


def always_dropping(self, x):
    return self.head(F.dropout(self.body(x), 0.5))


def over_the_batch(self, x):
    x = self.body(x)
    return self.head((x - x.mean(0)) / (x.std(0) + 1e-5))


NETWORKS = {
    "TR513": lambda: Classifier(in_forward),
    "TR512": lambda: Classifier(list_held, layers=[nn.Linear(128, 128)]),
    "AR104": lambda: Classifier(always_dropping),
    "AR105": lambda: Classifier(over_the_batch),
    "AR103": lambda: nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.Conv2d(32, 128, 3), nn.BatchNorm2d(128), nn.Conv2d(128, 128, 3),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10),
    ),
    "AR106": lambda: (lambda norm: nn.Sequential(
        nn.Conv2d(3, 64, 3), norm, nn.ReLU(), nn.Conv2d(64, 64, 3), norm, nn.ReLU(), nn.Conv2d(64, 64, 3),
        nn.BatchNorm2d(64), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    ))(nn.BatchNorm2d(64)),
    "AR107": lambda: nn.Sequential(nn.Conv2d(3, 128, 3), nn.BatchNorm2d(128, momentum=0.99), *small_network()[5:]),
    "AR108": lambda: nn.Sequential(
        nn.Conv2d(3, 128, 3), nn.BatchNorm2d(128, track_running_stats=False), *small_network()[5:]
    ),
    "AR112": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10),
    ),
    "AR101": lambda: nn.Sequential(
        nn.Conv2d(3, 64, 7, 2, 3), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(64, 64, 3, 2, 1), nn.BatchNorm2d(64), nn.ReLU(),
        nn.Conv2d(64, 64, 3, 1, 1), nn.ReLU(), nn.Conv2d(64, 64, 3, 1, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    ),
}  # fmt: skip


@pytest.mark.parametrize("code", NETWORKS)
def test_a_network_s_fault_is_named(objects, code):
    changed_model(objects, NETWORKS[code]())
    assert code in loud(lowres.diagnose(**objects))


OPTIMIZERS = {
    "LR101": lambda m: sgd(m, lr=10.0),
    "LR102": lambda m: sgd(m, lr=1e-4),
    "TR501": lambda m: sgd(m, weight_decay=0),
    "TR502": lambda m: sgd(m, momentum=0),
    "TR503": lambda m: torch.optim.Adam(m.parameters(), 1e-3, weight_decay=1e-2),
    "TR511": lambda m: torch.optim.SGD(m[:4].parameters(), 0.1, momentum=0.9, weight_decay=5e-4),
}


@pytest.mark.parametrize("code", OPTIMIZERS)
def test_an_optimizer_s_fault_is_named(objects, code):
    objects["optimizer"] = OPTIMIZERS[code](objects["model"])
    objects["scheduler"] = torch.optim.lr_scheduler.CosineAnnealingLR(objects["optimizer"], T_max=30)
    assert loud(lowres.diagnose(**objects)) == {code}


SCHEDULES = {
    "LR103": lambda o: None,
    "LR105": lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [60, 90]),
    "LR106": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=18),
    "LR107": lambda o: torch.optim.lr_scheduler.StepLR(o, 1, 0.3),
    "LR108": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=20),
}


@pytest.mark.parametrize("code", SCHEDULES)
def test_a_schedule_s_fault_is_named(objects, code):
    objects["scheduler"] = SCHEDULES[code](objects["optimizer"])
    assert code in loud(lowres.diagnose(**objects, step_scheduler="epoch"))


def test_warm_restarts_are_left_alone(objects):
    objects["scheduler"] = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(objects["optimizer"], 10)
    assert loud(lowres.diagnose(**objects)) == set()


LOSSES = {
    "LO301": lambda scores, y: F.cross_entropy(F.softmax(scores, 1), y),
    "LO302": lambda scores, y: F.cross_entropy(torch.sigmoid(scores), y),
    "LO303": F.nll_loss,
}


@pytest.mark.parametrize("code", LOSSES)
def test_a_loss_s_fault_is_named(objects, code):
    objects["loss_fn"] = LOSSES[code]
    assert loud(lowres.diagnose(**objects)) == {code}


def test_log_softmax_before_cross_entropy_is_a_note(objects):
    objects["loss_fn"] = lambda scores, y: F.cross_entropy(F.log_softmax(scores, 1), y)
    report = lowres.diagnose(**objects)
    assert loud(report) == set()
    assert "LO304" in codes(report)


def test_label_smoothing_is_no_floor(objects):
    objects["loss_fn"] = nn.CrossEntropyLoss(label_smoothing=0.2)
    assert loud(lowres.diagnose(**objects)) == set()


def test_images_that_never_vary_are_named(objects, photographs):
    objects["train_loader"] = DataLoader(photographs(varies=False), batch_size=32, shuffle=True)
    assert loud(lowres.diagnose(**objects)) == {"DA201"}


def test_sorted_images_are_an_error_and_mixed_ones_in_fixed_order_are_not(objects, photographs):
    grades = {}
    for sort in (True, False):
        objects["train_loader"] = DataLoader(photographs(sort=sort), batch_size=32)
        found = [one for one in lowres.diagnose(**objects).findings if one.code == "DA206"]
        grades[sort] = (found[0].grade, found[0].cost)
    assert grades[True] == ("error", 50)
    assert grades[False] == ("note", 0.5)


def test_validation_images_that_vary_are_named(objects, photographs):
    objects["val_loader"] = DataLoader(photographs(130, varies=True), batch_size=65)
    assert loud(lowres.diagnose(**objects)) == {"DA202"}


def test_validation_drawn_from_training_is_named(objects):
    data = torch.utils.data.TensorDataset(torch.randn(300, 3, 8, 8), torch.arange(300) % 10)
    objects["train_loader"] = DataLoader(data, batch_size=32, shuffle=True)
    objects["val_loader"] = DataLoader(Subset(data, range(100)), batch_size=50)
    assert "DA213" in loud(lowres.diagnose(**objects))
    objects["train_loader"] = DataLoader(Subset(data, range(100, 300)), batch_size=32, shuffle=True)
    assert "DA213" not in loud(lowres.diagnose(**objects))


@pytest.mark.parametrize(("twice", "grade"), [(1, "note"), (6, "warning")])
def test_images_under_several_labels_are_counted(objects, twice, grade):
    images, labels = torch.randn(300, 3, 8, 8), torch.arange(300) % 10
    images[11 : 11 + twice] = images[:twice]  # each with the label after its own
    objects["train_loader"] = DataLoader(torch.utils.data.TensorDataset(images, labels), batch_size=32, shuffle=True)
    found = next(one for one in lowres.diagnose(**objects).findings if one.code == "DA217")
    assert (found.evidence["images"], found.grade) == (2 * twice, grade)
    assert found.evidence["the_first"] == sorted([*range(twice), *range(11, 11 + twice)])


def test_images_that_are_equal_under_one_label_are_no_finding(objects):
    images, labels = torch.randn(300, 3, 8, 8), torch.arange(300) % 10
    images[10:20] = images[:10]
    objects["train_loader"] = DataLoader(torch.utils.data.TensorDataset(images, labels), batch_size=32, shuffle=True)
    assert "DA217" not in codes(lowres.diagnose(**objects))


def test_a_head_that_is_too_narrow_and_one_that_is_wide(objects, photographs):
    objects["train_loader"] = DataLoader(photographs(classes=11), batch_size=32, shuffle=True)
    assert "DA207" in loud(lowres.diagnose(**objects))
    objects["train_loader"] = DataLoader(photographs(classes=5), batch_size=32, shuffle=True)
    objects["val_loader"] = DataLoader(photographs(130, varies=False, classes=5), batch_size=65)
    report = lowres.diagnose(**objects)
    assert loud(report) == set()
    assert "DA207" in codes(report)


def test_dropped_test_images_are_named(objects, photographs):
    objects["val_loader"] = DataLoader(photographs(130, varies=False), batch_size=64, drop_last=True)
    report = lowres.diagnose(**objects)
    assert [one.evidence["evaluated"] for one in report.findings if one.code == "EV405"] == [128]


def test_small_batches_matter_only_to_batch_norm(objects, photographs):
    objects["train_loader"] = DataLoader(photographs(), batch_size=4, shuffle=True)
    assert "AR109" in loud(lowres.diagnose(**objects))
    changed_model(objects, nn.Sequential(nn.Conv2d(3, 128, 3), nn.GroupNorm(8, 128), *small_network()[5:]))
    assert "AR109" not in loud(lowres.diagnose(**objects))


def test_freezing_is_a_choice_with_weights_and_a_fault_without(objects):
    for parameter in itertools.chain(objects["model"][0].parameters(), objects["model"][3].parameters()):
        parameter.requires_grad = False
    assert "TR514" in loud(lowres.diagnose(**objects))
    report = lowres.diagnose(**objects, pretrained=True)
    assert "TR514" not in loud(report)
    assert "TR514" in codes(report)


def test_findings_come_costliest_first_and_notes_last(objects):
    objects["optimizer"] = sgd(objects["model"], lr=10.0, weight_decay=0)
    objects["scheduler"] = None
    report = lowres.diagnose(**objects)
    costs = [one.cost for one in report.findings if one.grade != "note"]
    assert costs == sorted(costs, reverse=True)
    assert report.findings[0].code == "LR101"
    assert report.code == 1
