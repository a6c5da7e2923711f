import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lowres.training.averaging import ema


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def test_no_decay_is_no_average(model):
    assert ema(model, 0) is None


def test_the_average_is_pytorchs(model):
    ours = ema(model, 0.9)
    theirs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    for _ in range(4):
        model(torch.randn(2, 3, 8, 8))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        ours.update_parameters(model)
        theirs.update_parameters(model)
    expected, found = theirs.state_dict(), ours.state_dict()
    assert found.keys() == expected.keys()
    counter = "module.1.num_batches_tracked"
    assert found[counter] == 4  # theirs averages the counter, too, and cuts it off to a whole number
    assert all(torch.equal(found[name], expected[name]) for name in expected if name != counter)
