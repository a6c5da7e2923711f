import weakref

import pytest
import torch
from torch import nn

from lowres.errors import UserError
from lowres.evaluation import VIEWS, compute_averaged_logits
from lowres.evaluation.views import filled, see
from lowres.recipes import Recipe
from lowres.training.device import place

PLACEMENT = place(Recipe(precision="fp32", channels_last=False), "cpu")


class Linear(nn.Module):
    """Logits that depend on where things are; counts the images it was shown."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3 * 6 * 6, 4)
        self.shown = 0

    def forward(self, x):
        self.shown += len(x)
        return self.layer(x.flatten(1))


@pytest.fixture
def batches():
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(n, 3, 6, 6, generator=generator), torch.arange(n) % 4) for n in (5, 3)]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Linear()


@pytest.mark.parametrize("name", VIEWS)
def test_weights_sum_to_one_and_the_image_itself_comes_first(name):
    assert sum(weight for _, weight in VIEWS[name]) == 1
    assert VIEWS[name][0][0] == (False, 0, 0)
    assert len({view for view, _ in VIEWS[name]}) == len(VIEWS[name])


def test_views_show_what_they_say():
    image = torch.arange(16.0).view(1, 1, 4, 4)
    assert torch.equal(see(image, (True, 0, 0)), image.flip(3))
    down = see(image, (False, 1, 1))
    assert torch.equal(down[..., 1:, 1:], image[..., :-1, :-1])
    up = see(image, (False, -1, -1))
    assert torch.equal(up[..., :-1, :-1], image[..., 1:, 1:])
    assert torch.equal(down[0, 0, 0, 1:], image[0, 0, 1, :-1])  # the border is mirrored, as in training


@pytest.mark.parametrize("count", [1, 4, 5, 8])
def test_batches_are_filled_behind_the_images(count):
    images = torch.ones(count, 1, 2, 2)
    whole = filled(images, 4)
    assert len(whole) % 4 == 0
    assert len(whole) - count < 4
    assert torch.equal(whole[:count], images)
    assert not whole[count:].any()


@pytest.mark.parametrize("name", VIEWS)
def test_logits_are_the_weighted_mean(name, model, batches):
    plain, averaged, labels = compute_averaged_logits(model, batches, PLACEMENT, VIEWS[name])
    images = torch.cat([x for x, _ in batches])
    with torch.no_grad():
        expected = sum(model(see(images, view)) * weight for view, weight in VIEWS[name])
        torch.testing.assert_close(averaged, expected)
        torch.testing.assert_close(plain, model(images))
    assert torch.equal(labels, torch.cat([y for _, y in batches]))


@pytest.mark.parametrize("below", [1.0, 0.5])
def test_images_are_seen_a_batch_at_a_time(model, below):
    alive, most = weakref.WeakSet(), 0

    def batches():
        nonlocal most
        for n in (4, 4, 4, 2):
            x = torch.zeros(n, 3, 6, 6)  # of which the network is unsure
            alive.add(x)
            most = max(most, len(alive))
            yield x, torch.zeros(n, dtype=torch.int64)
            del x

    plain, averaged, _ = compute_averaged_logits(model, batches(), PLACEMENT, VIEWS["mirror"], below)
    assert most <= 2
    assert model.shown == 28
    assert plain.shape == averaged.shape == (14, 4)


def test_no_batch_is_no_result(model):
    with pytest.raises(UserError, match="no images"):
        compute_averaged_logits(model, [], PLACEMENT, VIEWS["mirror"])


def test_a_sure_image_keeps_its_one_view(model, batches):
    images = torch.cat([x for x, _ in batches])
    with torch.no_grad():
        sure = model(images).softmax(1).amax(1)
    below = sure.median().item() + 1e-6
    model.shown = 0
    plain, averaged, _ = compute_averaged_logits(model, batches, PLACEMENT, VIEWS["mirror"], below)
    changed = (plain != averaged).any(1)
    assert torch.equal(changed, sure < below)
    assert model.shown == 8 + int(changed.sum())
    assert 0 < changed.sum() < 8


def test_all_sure_costs_nothing_more(model, batches):
    plain, averaged, _ = compute_averaged_logits(model, batches, PLACEMENT, VIEWS["mirror+shift"], 1e-9)
    assert torch.equal(plain, averaged)
    assert model.shown == 8
