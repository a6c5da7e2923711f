import pytest
import torch
import torch.nn.functional as F

from lowres.errors import UserError
from lowres.models import Whitening, create_model, whiten
from lowres.models.whitening import whitening_kernel


@pytest.fixture(scope="module")
def images():
    """Smooth random pictures: neighbouring pixels, and channels, are alike, as in photographs."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(200, 3, 16, 16, generator=generator)
    mixed = noise + noise.mean(1, keepdim=True)
    return F.avg_pool2d(mixed, 3, 1, 1) + 0.1 * noise


def test_outputs_over_the_patches_are_uncorrelated_and_of_one_variance(images):
    out = F.conv2d(images, whitening_kernel(images, offset=0.0)[:12])
    covariance = out.transpose(0, 1).flatten(1).double().cov()
    torch.testing.assert_close(covariance, torch.eye(12, dtype=torch.float64), atol=2e-3, rtol=0)


def test_each_direction_comes_with_both_signs_the_widest_first(images):
    kernel = whitening_kernel(images)
    assert torch.equal(kernel[12:], -kernel[:12])
    widths = kernel[:12].flatten(1).norm(dim=1)
    assert (widths.diff() >= 0).all()  # the wider a direction, the smaller its factor
    assert (kernel[:12].flatten(1).gather(1, kernel[:12].flatten(1).abs().argmax(1, keepdim=True)) > 0).all()


def test_a_constant_channel_is_not_blown_up(images):
    flat = images.clone()
    flat[:, 1] = 0.5
    assert whitening_kernel(flat).abs().max() <= 1 / 5e-4**0.5


def test_a_networks_whitening_is_set_and_stays(images):
    model = create_model("speednet_s", seed=0, width=0.1)
    assert whiten(model, images)
    (layer,) = (layer for layer in model.modules() if isinstance(layer, Whitening))
    assert torch.equal(layer.weight, whitening_kernel(images))
    model(images).sum().backward()
    assert layer.weight.grad is None
    assert layer.bias.grad is not None
    assert not whiten(create_model("resnet20", seed=0), images)


def test_too_few_images_are_refused():
    with pytest.raises(UserError, match="too few to whiten"):
        whitening_kernel(torch.randn(1, 3, 3, 3))
