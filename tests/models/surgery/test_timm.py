"""Networks of timm, where it is installed: adapted by the same rules, or refused with the reason."""

from pathlib import Path

import pytest
import torch

from lowres.errors import UserError
from lowres.models import imagenet
from lowres.models.surgery import adapt, adaptation

pytest.importorskip("timm")


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv3_small_050", "repvgg_a0", "tf_efficientnet_b0"])
def test_convolutional_networks_keep_4x4(name):
    adapted = adapt(imagenet.build(f"timm:{name}", seed=0), gradients=0, seed=0)
    report = adaptation(adapted)
    assert (report.before.smallest_map, report.after.smallest_map, report.limit) == (1, 4, "")
    assert adapted.train()(torch.randn(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("vgg11", "cut for 7x7 maps, written as a convolution"), ("vit_tiny_patch16_224", "cannot be adapted to 32")],
)
def test_others_are_refused_with_the_reason(name, reason):
    with torch.device("meta"):
        network = imagenet.build(f"timm:{name}")
    with pytest.raises(UserError, match=reason):
        adapt(network, gradients=0)


def test_names_and_constants():
    assert imagenet.imagenet_name("timm:resnet10t") == "timm:resnet10t"
    with pytest.raises(UserError, match=r"timm has no model 'resnet10u'.*resnet10t"):
        imagenet.imagenet_name("timm:resnet10u")
    own = imagenet.published("timm:resnet10t")
    assert own.source.endswith("model.safetensors")
    assert imagenet.constants_of("timm:resnet10t", None) == (own.mean, own.std)


def test_offline_the_error_of_a_hubs_weights_names_no_place_of_its_cache(monkeypatch, tmp_path):
    def offline(*args, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(imagenet, "_hub_file", lambda repository: Path("model.safetensors"))
    monkeypatch.setattr(imagenet._timm(), "create_model", offline)
    assert not imagenet.published("timm:resnet10t").here
    with pytest.raises(
        UserError, match=r"get timm/resnet10t.*model.safetensors on another machine and name it: --weights"
    ):
        imagenet.build("timm:resnet10t", pretrained=True)
