import copy

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock as TorchvisionBlock

from lowres.models import create_model, list_models, resnet
from lowres.models.blocks import SamePool2d, SqueezeExcite, ZeroPadShortcut, convolution

# Trainable parameters for ten classes, as the papers' and the repositories' networks have them.
PARAMETERS = {
    "resnet20": 269_722,
    "resnet32": 464_154,
    "resnet44": 658_586,
    "resnet56": 853_018,
    "resnet110": 1_727_962,
    "resnet1202": 19_421_274,
    "xresnet20": 273_114,
    "xresnet32": 467_546,
    "xresnet44": 661_978,
    "xresnet56": 856_410,
    "mxresnet20": 273_114,
    "mxresnet32": 467_546,
    "mxresnet44": 661_978,
    "mxresnet56": 856_410,
    "semxresnet20": 275_130,
    "semxresnet32": 470_906,
    "semxresnet44": 666_682,
    "semxresnet56": 862_458,
    "xresnet29": 320_906,
    "xresnext29_16x2d": 332_170,
    "xresnext47_16x2d": 531_978,
    "xresnext65_16x2d": 731_786,
    "xresnext83_16x2d": 931_594,
    "semxresnext29_16x2d": 364_426,
    "semxresnext47_16x2d": 585_738,
    "semxresnext65_16x2d": 807_050,
    "semxresnext83_16x2d": 1_028_362,
    "speednet_s": 1_971_352,
    "speednet_m": 4_604_440,
    "speednet_l": 12_717_464,
}
SMALL = ["resnet20", "xresnet20", "semxresnet20", "xresnet29", "semxresnext29_16x2d"]


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def test_every_network_is_pinned():
    assert sorted(PARAMETERS) == sorted(list_models())


@pytest.mark.parametrize(("name", "expected"), PARAMETERS.items())
def test_parameters(name, expected):
    with torch.device("meta"):
        assert parameters(create_model(name)) == expected


def test_parameters_of_variants():
    assert parameters(create_model("resnet20", shortcut="B")) == 272_474
    assert parameters(create_model("semxresnet20", projection="stage", shortcut_norm=False)) == 275_194


@given(
    name=st.sampled_from(SMALL),
    size=st.integers(24, 64),
    classes=st.integers(2, 20),
    channels=st.integers(1, 4),
    padding=st.sampled_from(["symmetric", "same"]),
)
@settings(max_examples=12, deadline=None)
def test_any_image_size_number_of_classes_and_channels(name, size, classes, channels, padding):
    options = {} if name == "resnet20" else {"padding": padding}
    model = create_model(name, classes=classes, channels=channels, seed=0, **options).eval()
    with torch.inference_mode():
        assert model(torch.zeros(2, channels, size, size + 1)).shape == (2, classes)


@pytest.mark.parametrize("name", SMALL)
def test_training_in_bf16_and_channels_last(name):
    model = create_model(name, seed=0).to(memory_format=torch.channels_last)
    images = torch.randn(4, 3, 32, 32).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        loss = F.cross_entropy(model(images), torch.tensor([0, 1, 2, 3]))
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any() or ".se." in name, name  # a ReLU of one unit may be off for all images


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet20", "semxresnet20", "semxresnext29_16x2d"])
def test_compiles_into_one_graph(name):
    model = create_model(name, seed=0).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        compiled = torch.compile(model, backend="eager", fullgraph=True)(images)
        torch.testing.assert_close(compiled, model(images), rtol=1e-4, atol=1e-4)  # compiled, Mish is PyTorch's own


@pytest.mark.parametrize("name", SMALL)
def test_copies_and_goes_through_safetensors(name):
    model = create_model(name, seed=0).eval()
    other = copy.deepcopy(create_model(name, seed=1)).eval()
    other.load_state_dict(safetensors.torch.load(safetensors.torch.save(model.state_dict())))
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(model(images), other(images))


def test_shortcut_b_is_torchvisions_block():
    ours = resnet.BasicBlock(16, 32, 2, "B").eval()
    projection = torch.nn.Sequential(torch.nn.Conv2d(16, 32, 1, 2, bias=False), torch.nn.BatchNorm2d(32))
    theirs = TorchvisionBlock(16, 32, 2, projection).eval()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    x = torch.randn(2, 16, 9, 9)
    assert torch.allclose(ours(x), theirs(x), atol=1e-6)


def test_projecting_shortcuts_see_the_activated_input_and_others_the_raw_one():
    block, following = create_model("xresnet20", seed=0).eval().stages[1][:2]
    x = torch.randn(2, 16, 8, 8)
    activated = F.relu(block.norm1(x))
    assert torch.allclose(block(x), block.branch(activated) + block.shortcut(activated))
    y = torch.randn(2, 32, 8, 8)
    assert following.shortcut is None
    assert torch.allclose(following(y), y + following.branch(F.relu(following.norm1(y))))


def test_where_networks_project():
    def projecting(name, **options):
        model = create_model(name, **options)
        return [[block.shortcut is not None for block in stage] for stage in model.stages]

    first = [True, False, False]
    assert projecting("resnet20") == projecting("xresnet20") == [[False] * 3, first, first]
    assert projecting("xresnet20", projection="stage") == projecting("xresnet29") == [first] * 3


def test_norms_have_the_published_constants():
    block = create_model("semxresnet20").stages[1][0]
    assert {(n.eps, n.momentum) for n in (block.norm1, block.branch.norm2)} == {(2e-5, 0.1)}
    assert (block.shortcut.norm.eps, block.shortcut.norm.momentum) == (1e-3, 0.01)


@given(size=st.integers(3, 20), stride=st.integers(1, 3), kernel=st.sampled_from([1, 3, 5]))
@settings(max_examples=30, deadline=None)
def test_same_padding_follows_tensorflows_rule(size, stride, kernel):
    conv = convolution(2, 3, kernel, stride=stride, padding="same")
    x = torch.randn(1, 2, size, size)
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + kernel - size, 0)
    wide = x.new_zeros(1, 2, size + total, size + total)
    wide[:, :, total // 2 : total // 2 + size, total // 2 : total // 2 + size] = x
    assert torch.allclose(conv(x), F.conv2d(wide, conv.weight, stride=stride)[:, :, :outputs, :outputs], atol=1e-6)


@given(height=st.integers(2, 9), width=st.integers(2, 9), stride=st.sampled_from([1, 2]))
@settings(max_examples=30, deadline=None)
def test_same_pooling_averages_the_pixels_that_exist(height, width, stride):
    x = torch.randn(1, 2, height, width)
    rows = [
        torch.stack([x[:, :, i : i + 2, j : j + 2].mean((2, 3)) for j in range(0, width, stride)], dim=-1)
        for i in range(0, height, stride)
    ]
    assert torch.allclose(SamePool2d(stride)(x), torch.stack(rows, dim=2), atol=1e-6)


def test_shortcut_a_subsamples_and_pads_both_ends():
    x = torch.randn(2, 4, 5, 5)
    y = ZeroPadShortcut(4, 8, 2)(x)
    assert torch.equal(y[:, 2:6], x[:, :, ::2, ::2])
    assert not y[:, :2].any()
    assert not y[:, 6:].any()


@pytest.mark.parametrize(("channels", "units"), [(8, 1), (16, 1), (64, 4)])
def test_squeeze_excite_weighs_each_channel_by_a_number_of_its_own(channels, units):
    layer = SqueezeExcite(channels)
    x = torch.rand(2, channels, 3, 3) + 0.5
    ratio = layer(x) / x
    assert layer.squeeze.weight.shape == (units, channels)
    assert torch.allclose(ratio, ratio[:, :, :1, :1].expand_as(ratio))
    assert ((ratio > 0) & (ratio < 1)).all()
