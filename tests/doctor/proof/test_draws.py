"""Weights that variants share are equal; everything else is as the program draws it."""

import torch
from torch import nn

from lowres.doctor.frames import Frames
from lowres.doctor.proof.draws import InitialDraws
from lowres.doctor.recorder import Recorder


class Only(Recorder):
    """A recorder with nothing but the draws."""

    def __init__(self, tmp_path, seed):
        super().__init__(Frames(tmp_path))
        self.draws = InitialDraws(seed)

    def __enter__(self):
        self.draws.patch(self)
        return self


def network(stem):
    return nn.Sequential(
        nn.Conv2d(3, 8, stem), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3), nn.LayerNorm(8), nn.Linear(8, 4)
    )


def test_another_stem_leaves_the_other_layers_as_they_were(tmp_path):
    with Only(tmp_path, 0):
        a = network(7)
    with Only(tmp_path, 0):
        torch.randn(100)
        b = network(3)
    with Only(tmp_path, 1):
        c = network(7)
    for name, value in list(a.state_dict().items())[2:]:
        assert torch.equal(value, b.state_dict()[name]), name
    assert not torch.equal(a[1].weight, a[2].weight)
    assert not torch.equal(a[1].weight, c[1].weight)


def test_the_scheme_stays_the_program_s(tmp_path):
    with Only(tmp_path, 0):
        wide, narrow = torch.empty(100, 100), torch.empty(100, 100)
        nn.init.normal_(wide, std=3.0)
        nn.init.normal_(narrow, std=0.1)
        constant = nn.init.constant_(torch.empty(3), 2.0)
    assert 2.9 < wide.std() < 3.1
    assert 0.09 < narrow.std() < 0.11
    assert constant.tolist() == [2, 2, 2]


def test_once_training_has_begun_the_generator_is_used(tmp_path):
    with Only(tmp_path, 0) as recorder:
        recorder.draws.finish()
        torch.manual_seed(5)
        a = torch.randn(3)
    torch.manual_seed(5)
    assert torch.equal(a, torch.randn(3))
    assert torch.Tensor.normal_ is torch._C.TensorBase.normal_  # and all is put back
