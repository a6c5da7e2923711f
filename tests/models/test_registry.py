import doctest
import importlib
import pkgutil

import pytest
import torch
from torch import nn

import lowres.models
from lowres.errors import UserError
from lowres.models import create_model, list_models, model_info, register, registry


@pytest.fixture
def own_registry(monkeypatch):
    """Lets a test register networks that are gone afterwards."""
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))


def test_names_can_be_filtered_and_come_in_families():
    assert list_models("resnet*") == ["resnet20", "resnet32", "resnet44", "resnet56", "resnet110", "resnet1202"]
    assert list_models("SE*29*") == ["semxresnext29_16x2d"]
    assert list_models("nothing*") == []
    assert len(list_models()) == 30


@pytest.mark.parametrize("name", list_models())
def test_every_network_says_what_it_is(name):
    info = model_info(name)
    assert info.name == name
    assert info.summary.endswith(".")
    assert info.options["channels"] == 3
    assert all(50 < claim.accuracy < 100 and claim.source for claim in info.published)


def test_published_figures_keep_their_owner():
    paper, reimplementation, kim = model_info("resnet20").published
    assert (paper.accuracy, paper.source) == (91.25, "He 2015, table 6")
    assert (reimplementation.accuracy, reimplementation.note) == (91.73, "best epoch")
    assert (kim.accuracy, kim.parameters) == (92.07, 272_474)
    assert [claim.accuracy for claim in model_info("semxresnet20").published] == [92.19, 92.47, 92.51, 92.97, 93.10]
    assert [claim.accuracy for claim in model_info("semxresnext29_16x2d").published] == [94.68]
    assert model_info("mxresnet56").published == ()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet21", {}, "unknown model 'resnet21': did you mean 'resnet"),
        ("resnet20", {"shortcutt": "B"}, "unknown option of resnet20 'shortcutt': did you mean 'shortcut'"),
        ("resnet20", {"shortcut": "C"}, "unknown shortcut 'C'"),
        ("resnet20", {"classes": 0}, "classes must be a whole number above zero, not 0"),
        ("resnet20", {"channels": 1.5}, "channels must be a whole number above zero, not 1.5"),
        ("xresnet20", {"padding": "valid"}, "unknown padding 'valid'"),
        ("xresnet20", {"projection": "all"}, "unknown projection 'all'"),
        (
            "xresnet20",
            {"shortcut_norm": "no"},
            "is 'no', but must be of the kind of its default, True",
        ),
        ("speednet_s", {"width": "wide"}, "width of speednet_s is 'wide'"),
        ("speednet_s", {"width": True}, "width of speednet_s is True"),
        ("mxresnet20", {"activation": "relu"}, "unknown option of mxresnet20 'activation'"),
    ],
)
def test_bad_input_is_answered_in_one_line(name, options, message):
    with pytest.raises(UserError) as error:
        create_model(name, **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("depth", [2, 21])
def test_a_depth_that_no_network_has(depth):
    with pytest.raises(UserError, match=f"6n \\+ 2 .* not {depth}"):
        lowres.models.resnet.resnet(depth)
    with pytest.raises(UserError, match=f"6n \\+ 2 .* not {depth}"):
        lowres.models.xresnet.xresnet(depth)
    with pytest.raises(UserError, match=f"9n \\+ 2 .* not {depth}"):
        lowres.models.xresnext.xresnext(depth, 16, 2)


def test_without_a_seed_torchs_global_generator_decides_and_gives_one_draw():
    torch.manual_seed(3)
    first = create_model("resnet20").stem.conv.weight
    after = torch.rand(2)
    torch.manual_seed(3)
    assert torch.equal(first, create_model("resnet20").stem.conv.weight)
    assert torch.equal(after, torch.rand(2))
    assert not torch.equal(first, create_model("resnet20").stem.conv.weight)


def test_with_a_seed_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    create_model("resnet20", seed=1)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.usefixtures("own_registry")
def test_a_network_of_ones_own():
    @register("Mine")
    def tiny(*, classes: int = 10, channels: int = 3, width: int = 4) -> nn.Module:
        """A tiny network."""
        return nn.Sequential(nn.Conv2d(channels, width, 1), nn.Flatten(), nn.LazyLinear(classes))

    assert dict(model_info("tiny").options) == {"channels": 3, "width": 4}
    assert model_info("tiny").summary == "A tiny network."
    with pytest.raises(UserError, match="a model 'tiny' already"):
        register("Mine")(tiny)


@pytest.mark.usefixtures("own_registry")
@pytest.mark.parametrize("module", [m.name for m in pkgutil.iter_modules(lowres.models.__path__)])
def test_examples_in_docstrings_run(module):
    assert doctest.testmod(importlib.import_module(f"lowres.models.{module}")).failed == 0
