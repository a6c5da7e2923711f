import os
import pickle

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lowres.errors import UserError
from lowres.models import create_model, load_weights
from lowres.models.resnet import resnet

IMAGES = torch.linspace(-2, 2, 2 * 3 * 32 * 32).sin().view(2, 3, 32, 32)


def agree(ours: nn.Module, theirs: nn.Module) -> bool:
    with torch.inference_mode():
        return torch.allclose(ours.eval()(IMAGES), theirs.eval()(IMAGES), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_another_repositorys_names(shortcut, elsewhere, stirred):
    theirs = stirred(elsewhere(3, shortcut))
    ours = create_model("resnet20", shortcut=shortcut)
    report = load_weights(ours, theirs.state_dict())
    assert report.how == "structure"
    assert ("stem.conv.weight", "conv1.weight") in report.pairs
    assert ("stages.1.0.branch.norm2.running_var", "layer2.0.bn2.running_var") in report.pairs
    assert str(report).startswith(f"{len(report.pairs)} tensors matched by structure (stem.conv.weight <- conv1.weight")
    assert agree(ours, theirs)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "best_prec1": 91.7},
        lambda state: {"net": state, "acc": 92.0, "epoch": 199},
        lambda state: {"model_state_dict": state, "optimizer": {"state": {}}},
        lambda state: {"model": {"state_dict": state}},
        lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
        lambda state: {f"module._orig_mod.module.{name}": tensor for name, tensor in state.items()},
        lambda state: {n: t for n, t in state.items() if "num_batches_tracked" not in n},
    ],
)
def test_containers_and_prefixes_in_a_file(tmp_path, elsewhere, stirred, wrap):
    theirs = stirred(elsewhere(3, "B"))
    torch.save(wrap(theirs.state_dict()), tmp_path / "model.th")
    ours = create_model("resnet20", shortcut="B")
    load_weights(ours, tmp_path / "model.th")
    assert agree(ours, theirs)


def test_wrapped_networks_of_torch_itself(elsewhere, stirred):
    theirs = stirred(elsewhere(3, "A"))
    for wrapped in (nn.DataParallel(theirs), torch.compile(theirs, backend="eager")):
        ours = create_model("resnet20")
        load_weights(ours, wrapped.state_dict())
        assert agree(ours, theirs)
    compiled = torch.compile(create_model("resnet20"), backend="eager")
    load_weights(compiled, theirs.state_dict())
    assert agree(compiled._orig_mod, theirs)


def test_numbers_in_names_count_where_a_file_keeps_no_order(tmp_path, elsewhere, stirred):
    theirs = stirred(elsewhere(12, "B"))  # block 10 comes before block 2 in alphabetical order
    safetensors.torch.save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    np.savez(tmp_path / "model.npz", **{name: tensor.numpy() for name, tensor in theirs.state_dict().items()})
    alphabetical = dict(sorted(theirs.state_dict().items()))
    for source in (str(tmp_path / "model.safetensors"), tmp_path / "model.npz", alphabetical):
        ours = resnet(74, shortcut="B")
        load_weights(ours, source)
        assert agree(ours, theirs)


def test_equal_names_decide_and_counters_come_along():
    trained = create_model("semxresnet20", seed=1)
    trained(IMAGES)
    model = create_model("semxresnet20", seed=2)
    shuffled = dict(sorted(trained.state_dict().items(), reverse=True))
    report = load_weights(model, shuffled | {"epoch": 3})
    assert report.how == "name"
    assert report.ignored == ("epoch",)
    assert str(report) == f"{len(report.pairs)} tensors matched by name; ignored epoch"
    assert all(torch.equal(t, trained.state_dict()[name]) for name, t in model.state_dict().items())


def test_half_precision_is_converted():
    trained = create_model("xresnet20", seed=1)
    model = create_model("xresnet20", seed=2)
    load_weights(model, {name: tensor.half() for name, tensor in trained.state_dict().items()})
    assert model.stem.conv.weight.dtype == torch.float32
    assert torch.equal(model.stem.conv.weight, trained.stem.conv.weight.half().float())


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_whatever_is_missing_or_too_many_is_an_error_and_changes_nothing(elsewhere, data):
    foreign = data.draw(st.booleans())
    source = (elsewhere(3, "B") if foreign else create_model("resnet20", shortcut="B")).state_dict()
    names = [name for name in source if "num_batches" not in name]
    name = data.draw(st.sampled_from(names))
    match data.draw(st.sampled_from(["missing", "renamed role", "another shape", "too many", "integers"])):
        case "missing":
            del source[name]
        case "renamed role":
            source[f"shortcut.{name}" if "shortcut" not in name else name.replace("shortcut", "main")] = source.pop(
                name
            )
        case "another shape":
            source[name] = torch.zeros(3, *source[name].shape)
        case "too many":
            source["extra.weight"] = torch.zeros(16, 3, 3, 3)
        case "integers":
            source[name] = source[name].long()
    model = create_model("resnet20", shortcut="B", seed=0)
    with pytest.raises(UserError):
        load_weights(model, source)
    fresh = create_model("resnet20", shortcut="B", seed=0).state_dict()
    assert all(torch.equal(tensor, fresh[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (lambda _: create_model("resnet20", classes=100), r"head.linear.weight .* float32 \(100, 64\)"),
        (lambda net: net(3, "B"), r"0 tensors .* 10 of the source have no place \(layer2.0.shortcut"),
        (lambda net: net(5, "A"), r"check the model's name and options"),
    ],
)
def test_errors_name_the_tensors(source, message, elsewhere):
    with pytest.raises(UserError, match=message) as error:
        load_weights(create_model("resnet20"), source(elsewhere).state_dict())
    assert "\n" not in str(error.value)


def test_mappings_without_use():
    model = create_model("resnet20")
    with pytest.raises(UserError, match="the same names twice"):
        load_weights(model, {"a.weight": torch.zeros(1), "module.a.weight": torch.zeros(1)})
    with pytest.raises(UserError, match="the source holds no tensors"):
        load_weights(model, {"epoch": 1})


class Trap:
    """Runs a command when somebody unpickles it carelessly."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize(
    ("save", "message"),
    [
        (torch.save, "holds Python objects, which are not executed"),
        (lambda value, path: path.write_bytes(pickle.dumps(value, protocol=2)), "holds Python objects"),
        (lambda value, path: path.write_bytes(pickle.dumps(value)), "is damaged or no checkpoint"),
    ],
)
def test_code_in_a_file_is_not_run(tmp_path, save, message):
    save({"state_dict": Trap(tmp_path / "trapped")}, tmp_path / "model.pt")
    with pytest.raises(UserError, match=f"model.pt {message}"):
        load_weights(create_model("resnet20"), tmp_path / "model.pt")
    assert not (tmp_path / "trapped").exists()


def test_object_arrays_are_not_unpickled(tmp_path):
    np.savez(tmp_path / "model.npz", weight=np.array([Trap(tmp_path / "trapped")], dtype=object))
    with pytest.raises(UserError, match=r"model.npz is damaged or no checkpoint"):
        load_weights(create_model("resnet20"), tmp_path / "model.npz")
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("suffix", [".pt", ".old.pt", ".safetensors", ".npz"])
@pytest.mark.parametrize("part", [0, 7, 0.3, 0.9, 0.9999])
def test_broken_downloads(tmp_path, suffix, part):
    state = create_model("resnet20").state_dict()
    path = tmp_path / f"model{suffix}"
    if suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    elif suffix == ".npz":
        np.savez(path, **{name: tensor.numpy() for name, tensor in state.items()})
    else:
        torch.save(state, path, _use_new_zipfile_serialization=suffix == ".pt")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part) if part < 1 else part])
    with pytest.raises(UserError, match=f"model{suffix} is damaged or no checkpoint"):
        load_weights(create_model("resnet20"), path)


def test_files_that_are_none(tmp_path):
    model = create_model("resnet20")
    (tmp_path / "model.h5").touch()
    with pytest.raises(UserError, match="there is no file"):
        load_weights(model, tmp_path / "model.pt")
    with pytest.raises(UserError, match=r"model.h5 is none of the files that can be read: .safetensors"):
        load_weights(model, tmp_path / "model.h5")
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    with pytest.raises(UserError, match=r"list.pt holds no tensors"):
        load_weights(model, tmp_path / "list.pt")
