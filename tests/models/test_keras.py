import re

import numpy as np
import pytest
import torch
from torch import nn

from lowres.models import create_model, load_weights
from lowres.models.keras import from_keras, is_keras
from lowres.models.names import role


def keras_name(name: str) -> str:
    """The name that Anand's code gives a layer."""
    name = re.sub(r"stages\.(\d)\.(\d)\.", lambda m: f"stage{int(m[1]) + 1}_res_block{int(m[2]) + 1}_", name)
    name = name.replace("branch.", "").replace("se.", "se_block_").replace("stem.conv", "stem_conv")
    name = name.replace("shortcut.conv", "red").replace("shortcut.norm", "red_bn")
    return name.replace("head.norm", "final_bn").replace("head.linear", "classifier").replace("norm", "bn")


def to_keras(model: nn.Module) -> dict[str, np.ndarray]:
    """A pre-activation network's weights as Keras keeps them."""
    arrays = {}
    for name, layer in model.named_modules():
        path = keras_name(name)
        match layer:
            case nn.Conv2d():
                arrays[f"{path}/kernel"] = layer.weight.detach().permute(2, 3, 1, 0).numpy()
            case nn.Linear():
                arrays[f"{path}/kernel"] = layer.weight.detach().T.numpy()
                if layer.bias is not None:
                    arrays[f"{path}/bias"] = layer.bias.detach().numpy()
            case nn.BatchNorm2d():
                arrays[f"{path}/gamma"] = layer.weight.detach().numpy()
                arrays[f"{path}/beta"] = layer.bias.detach().numpy()
                arrays[f"{path}/moving_mean"] = layer.running_mean.numpy()
                arrays[f"{path}/moving_variance"] = layer.running_var.numpy()
    return arrays


@pytest.mark.parametrize("name", ["xresnet20", "semxresnet56", "xresnet29", "semxresnext29_16x2d"])
def test_a_network_comes_back_from_keras_names(name, stirred, tmp_path):
    trained, model = stirred(create_model(name)), create_model(name).eval()
    np.savez_compressed(tmp_path / "weights.npz", **to_keras(trained))
    report = load_weights(model, tmp_path / "weights.npz")
    assert report.how == "structure"
    state = trained.state_dict()
    assert all(torch.equal(t, state[n]) for n, t in model.state_dict().items() if t.is_floating_point())


def test_layouts():
    kernel, dense = np.arange(24.0).reshape(2, 3, 4, 1), np.arange(6.0).reshape(2, 3)
    arrays = {"a/conv/kernel:0": kernel, "fc/kernel": dense, "fc/bias": np.zeros(3), "expected/x": np.zeros(1)}
    tensors, others = from_keras(arrays)
    assert others == ("expected/x",)
    assert tensors["a.conv.weight"].shape == (1, 4, 2, 3)
    assert tensors["a.conv.weight"][0, 3, 1, 2] == kernel[1, 2, 3, 0]
    assert torch.equal(tensors["fc.weight"], torch.from_numpy(dense.T.copy()))


def test_what_is_keras():
    assert is_keras({"stem_conv/kernel": None})
    assert not is_keras({"conv1.weight": None, "expected/x": None})


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("layer2.0.shortcut.1", "shortcut"),
        ("layer2.0.downsample.0", "shortcut"),
        ("block1.layer.0.convShortcut", "shortcut"),
        ("stage2_res_block1_red", "shortcut"),
        ("stage2_res_block1_se_block_squeeze", "squeeze-excite"),
        ("features.stage1.unit1.body.conv1.conv", "block"),
        ("layer1.0.bn1", "block"),
        ("conv1", "stem or head"),
        ("stem.conv", "stem or head"),
        ("final_bn", "stem or head"),
        ("head.norm", "stem or head"),
        ("classifier.1", "stem or head"),
    ],
)
def test_roles(path, expected):
    assert role(path) == expected
