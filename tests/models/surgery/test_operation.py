"""The rules on torchvision's own networks, built without values: shapes and counts need none."""

import pytest
import torch
import torchvision
from torch import nn

import lowres
from lowres.errors import UserError
from lowres.models.surgery import adapt, adaptation, head_of, shrinks_a_pixel, with_head


def skeleton(name: str) -> nn.Module:
    """A network of torchvision with shapes and no values."""
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    # A RegNet computes its widths with tensors, which need values.
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        return getattr(torchvision.models, name)(**options)


@pytest.mark.parametrize(
    ("name", "parameters", "side"),
    [  # counts of the first three: the networks that papers and repositories have for CIFAR-10
        ("resnet18", 11_173_962, 4),
        ("resnet50", 23_520_842, 4),
        ("vgg16_bn", 14_728_266, 4),
        ("alexnet", 2_450_762, 7),
        ("squeezenet1_1", 727_626, 4),
        ("mobilenet_v3_small", 1_528_106, 4),
        ("shufflenet_v2_x0_5", 352_042, 4),
        ("googlenet", 5_602_474, 4),
        ("mnasnet0_5", 950_322, 4),
        ("convnext_tiny", 27_824_362, 4),
        ("regnet_y_400mf", 3_907_554, 4),
        pytest.param("inception_v3", 21_806_058, 6, marks=pytest.mark.slow),
        pytest.param("densenet121", 6_956_426, 4, marks=pytest.mark.slow),
        pytest.param("efficientnet_b0", 4_020_358, 4, marks=pytest.mark.slow),
    ],
)
def test_no_convolution_gives_less_than_4x4(name, parameters, side):
    report = adaptation(adapt(skeleton(name), gradients=0))
    assert report.after.parameters == parameters
    assert report.after.smallest_map == side
    assert (report.after.on_1x1, report.after.on_2x2, report.limit) == (0, 0, "")


def test_resnet18_as_measured_elsewhere():
    network = torchvision.models.resnet18()
    report = adaptation(adapt(network, gradients=8))
    assert (report.before.smallest_map, report.after.smallest_map) == (1, 4)
    assert report.before.on_1x1 == pytest.approx(0.75, abs=0.005)
    assert report.before.on_2x2 == pytest.approx(0.94, abs=0.005)
    # What a 3x3 kernel's eight outer weights on a 1x1 map come to, whatever the images: 62.2 %, and what ReLU adds.
    assert 0.622 <= report.before.zero_gradient < 0.64
    assert report.after.zero_gradient < 0.001
    assert report.before.multiply_adds == pytest.approx(37e6, rel=0.01)
    assert report.after.multiply_adds == pytest.approx(555e6, rel=0.01)
    assert [change.where for change in report.changes] == ["fc", "conv1", "maxpool"]
    assert (report.kept, list(report.changed), report.new) == (119, ["conv1.weight"], ("fc.weight", "fc.bias"))
    assert "62." in str(report) or "63." in str(report)
    assert "conv1" in "\n".join(report.table())


def test_the_given_network_stays_and_kept_weights_are_its_own():
    network = torchvision.models.squeezenet1_1()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    adapted = lowres.adapt(network, image_size=32, classes=7, gradients=2)
    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    same = [n for n, t in adapted.state_dict().items() if t.shape == before[n].shape and torch.equal(t, before[n])]
    assert len(same) == lowres.adaptation(adapted).kept == len(before) - 2
    assert all(parameter.grad is None for parameter in adapted.parameters())
    images = torch.randn(2, 3, 32, 32)
    logits = adapted(images)
    assert logits.shape == (2, 7)
    logits.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in adapted.parameters())


@pytest.mark.parametrize(("size", "changed"), [(8, 4), (64, 1), (224, 0)])
def test_as_many_strides_go_as_the_images_need(size, changed):
    report = adaptation(adapt(skeleton("resnet18"), size, 10, gradients=0))
    groups = {change.where.partition(".conv")[0].partition(".down")[0] for change in report.changes} - {"fc"}
    assert len(groups) == changed
    assert report.after.smallest_map >= 4


def test_auxiliary_heads_go_and_one_tensor_comes_out_in_training():
    adapted = adapt(torchvision.models.googlenet(init_weights=False), gradients=0)
    assert {"aux1", "aux2"} <= {change.where for change in adaptation(adapted).changes}
    assert adapted.train()(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_equal_seeds_give_equal_weights_and_leave_the_generator_alone():
    network = torchvision.models.shufflenet_v2_x0_5()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second, third = (adapt(network, seed=seed, stem="new", gradients=0).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["fc.weight"], third["fc.weight"])


def test_grey_images_see_the_sum_of_the_colours():
    network = torchvision.models.squeezenet1_1().eval()
    grey = torch.randn(1, 1, 64, 64)
    one = with_head(network, 5, channels=1, seed=0).eval()
    three = with_head(network, 5, channels=3, seed=0).eval()
    torch.testing.assert_close(one(grey), three(grey.expand(-1, 3, -1, -1)))


def test_other_channels_stand_in_the_report():
    report = adaptation(adapt(torchvision.models.squeezenet1_1(), 32, 5, channels=1, seed=0, gradients=0))
    assert str(report.changes[0]) == "features.0: 3 -> 1 input channels (mean over channels, scaled)"
    assert "features.0.weight" in report.changed
    assert "features.0.weight" not in report.new


@pytest.mark.parametrize("name", ["squeezenet1_1", "vit_b_32"])
def test_a_frozen_network_is_adapted_and_stays_frozen_but_for_its_head(name):
    network = getattr(torchvision.models, name)() if name == "squeezenet1_1" else skeleton(name)
    adapted = adapt(network.requires_grad_(False), seed=0, gradients=2 if name == "squeezenet1_1" else 0)
    learning = {name.rpartition(".")[0] for name, p in adapted.named_parameters() if p.requires_grad}
    assert learning <= {"classifier.1", "heads.head"}


def test_a_stride_on_one_pixel_is_seen():
    network = skeleton("resnet18")
    assert not shrinks_a_pixel(network, 32)  # 1x1 is the last stage's output; its stride met 2x2
    assert shrinks_a_pixel(network, 16)
    assert not shrinks_a_pixel(adapt(network, 16, gradients=0), 16)
    assert head_of(network) == "fc"


class Odd(nn.Module):
    """A network whose logits come from no layer with weights."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.wide = nn.Linear(8, 12)

    def forward(self, x):
        return self.wide(self.conv(x).mean((2, 3)))[:, :5]


@pytest.mark.parametrize(
    ("network", "arguments", "words"),
    [
        (Odd(), {}, ["no head found", "conv (Conv2d), wide (Linear)", "`head`"]),
        (nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10)), {}, ["neither convolutions nor patches", "Linear"]),
        (nn.Conv2d(3, 4, 3), {}, ["no classifier", "(1, 4, "]),
        (Odd(), {"image_size": 7}, ["image_size is 7", "at least 8"]),
        (Odd(), {"classes": 1}, ["classes is 1", "at least 2"]),
    ],
)
def test_what_cannot_be_adapted_is_refused_with_the_reason(network, arguments, words):
    with pytest.raises(UserError) as error:
        adapt(network, **arguments)
    assert all(word in str(error.value) for word in words), str(error.value)
