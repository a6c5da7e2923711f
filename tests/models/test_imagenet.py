import json
import urllib.error

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from lowres.errors import UserError
from lowres.models import imagenet


def test_names():
    assert imagenet.imagenet_name("resnet50") == "torchvision:resnet50"
    assert imagenet.imagenet_name("torchvision:vit_b_16") == "torchvision:vit_b_16"
    assert imagenet.imagenet_name("resnet20") is None  # ours
    assert imagenet.imagenet_name("nothing") is None
    for wrong, hint in (("torchvision:resnet5", "resnet50"), ("keras:resnet50", "timm, torchvision")):
        with pytest.raises(UserError, match=hint):
            imagenet.imagenet_name(wrong)


def test_weights_by_name_with_another_head(tmp_path):
    network = imagenet.build("torchvision:squeezenet1_1", seed=0)
    other = imagenet.build("torchvision:squeezenet1_1", seed=1, classes=5)
    file = tmp_path / "five.pth"
    torch.save({"state_dict": other.state_dict()}, file)
    head = network.classifier[1].weight.clone()
    imagenet.load_file(network, file, "classifier.1")
    assert torch.equal(network.features[0].weight, other.features[0].weight)
    assert torch.equal(network.classifier[1].weight, head)


def test_weights_of_another_architecture_are_refused_and_change_nothing(tmp_path):
    network = imagenet.build("torchvision:squeezenet1_1", seed=0)
    before = network.features[0].weight.clone()
    file = tmp_path / "other.safetensors"
    save_file(imagenet.build("torchvision:squeezenet1_0", seed=0).state_dict(), file)
    with pytest.raises(UserError, match=r"other\.safetensors holds weights of another architecture.*name the model"):
        imagenet.load_file(network, file, "classifier.1")
    assert torch.equal(network.features[0].weight, before)


def test_layers_that_want_their_version_get_it(tmp_path):
    network = imagenet.build("torchvision:mnasnet0_5", seed=0)
    save_file(network.state_dict(), tmp_path / "mnasnet.safetensors")  # keeps no versions
    anew = imagenet.build("torchvision:mnasnet0_5", seed=1)
    imagenet.load_file(anew, tmp_path / "mnasnet.safetensors", "classifier.1")
    assert all(torch.equal(t, network.state_dict()[n]) for n, t in anew.state_dict().items())


def test_older_names_of_torchvisions_files(tmp_path):
    network = imagenet.build("torchvision:densenet121", seed=0)
    old = {n.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): t for n, t in network.state_dict().items()}
    assert old.keys() != network.state_dict().keys()
    torch.save(old, tmp_path / "old.pth")
    anew = imagenet.build("torchvision:densenet121", seed=1)
    imagenet.load_file(anew, tmp_path / "old.pth", "classifier")
    assert all(torch.equal(t, network.state_dict()[n]) for n, t in anew.state_dict().items())


def test_offline_the_error_names_the_file_and_its_place(tmp_path, monkeypatch):
    def offline(*args, **options):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UserError) as error:
        imagenet.build("torchvision:squeezenet1_1", pretrained=True)
    own = imagenet.published("torchvision:squeezenet1_1")
    assert own.file.parent == tmp_path / "hub" / "checkpoints"
    assert not own.here
    for word in ("no route to host", str(own.file), own.source, "--weights FILE"):
        assert word in str(error.value)


def test_constants_come_from_the_weights_own_metadata(tmp_path):
    mean, std = imagenet.constants_of("torchvision:resnet18", None)
    preset = torchvision.models.ResNet18_Weights.DEFAULT.transforms()
    assert (list(mean), list(std)) == (preset.mean, preset.std)
    assert imagenet.constants_of("torchvision:googlenet", None) == ((0.5,) * 3, (0.5,) * 3)
    name = imagenet.published("torchvision:resnet18").file.name
    assert imagenet.constants_of("torchvision:resnet18", tmp_path / name) == (mean, std)
    with pytest.raises(UserError, match=r"no weights file .*mine\.pth"):
        imagenet.constants_of("torchvision:resnet18", tmp_path / "mine.pth")
    (tmp_path / "mine.pth").touch()
    with pytest.raises(UserError, match="--mean and --std"):
        imagenet.constants_of("torchvision:resnet18", tmp_path / "mine.pth")


def test_a_file_of_ours_says_its_constants_whatever_it_is_called(tmp_path):
    facts = json.dumps({"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]})
    for name in ("model.safetensors", "other.safetensors"):
        save_file({"x": torch.zeros(1)}, tmp_path / name, metadata={"lowres": facts})
        for model in ("resnet20", "torchvision:resnet18", "timm:resnet10t"):
            assert imagenet.constants_of(model, tmp_path / name) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
