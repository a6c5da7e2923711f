import pytest
import torch
import torch.nn.functional as F

from lowres.models.surgery.kernels import other_channels, resize_matrix, resize_table, shrink


def test_a_crop_is_the_centre():
    kernel = torch.arange(49.0).view(1, 1, 7, 7)
    assert shrink(kernel, 3, "crop").tolist() == [[[[16, 17, 18], [23, 24, 25], [30, 31, 32]]]]
    assert torch.equal(shrink(kernel[..., :4, :4], 2, "crop"), kernel[..., 1:3, 1:3])


@pytest.mark.parametrize(("old", "new"), [(7, 3), (4, 2), (16, 4)])
def test_no_small_kernel_answers_the_small_image_nearer_to_what_the_large_one_says(old, new):
    generator = torch.Generator().manual_seed(0)
    kernel = torch.randn(2, 3, old, old, generator=generator, dtype=torch.float64)
    small = shrink(kernel, new, "resize")
    spread = resize_matrix(old, new).T.double()

    def distance(candidate):
        return float((candidate.reshape(6, -1) @ spread.T - kernel.reshape(6, -1)).square().sum())

    for _ in range(20):
        other = small + 0.01 * torch.randn(small.shape, generator=generator)
        assert distance(small) < distance(other)


def test_a_kernel_that_is_an_enlarged_one_is_found_again():
    small = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(1))
    large = (small.reshape(12, 9) @ resize_matrix(7, 3)).view(4, 3, 7, 7)
    torch.testing.assert_close(shrink(large, 3, "resize"), small, rtol=1e-4, atol=1e-5)
    images = torch.randn(5, 3, 7, 7)
    shrunk = F.interpolate(images, size=(3, 3), mode="bilinear", antialias=True)
    answers = F.conv2d(images, large), F.conv2d(shrunk, small)
    torch.testing.assert_close(*answers, rtol=1e-4, atol=1e-4)


def test_a_new_kernel_keeps_the_deviation_of_its_sums():
    kernel = torch.randn(64, 3, 7, 7, generator=torch.Generator().manual_seed(0)) * 0.1
    new = shrink(kernel, 3, "new", torch.Generator().manual_seed(1))
    assert float(new.std()) == pytest.approx(0.1 * 7 / 3, rel=0.05)
    assert torch.equal(new, shrink(kernel, 3, "new", torch.Generator().manual_seed(1)))


def test_tables_of_positions_keep_what_is_constant_and_the_order():
    assert torch.allclose(resize_table(torch.full((49, 5), 3.0), 4), torch.tensor(3.0), atol=1e-5)
    ramp = torch.arange(13.0).repeat_interleave(13)[:, None]  # grows from row to row
    rows = resize_table(ramp, 7).view(7, 7)
    assert (rows.diff(dim=0) > 0).all()
    assert torch.allclose(rows, rows[:, :1].expand(-1, 7), atol=1e-4)
    assert torch.equal(resize_table(ramp, 13), ramp)


def test_grey_images_get_the_sum():
    kernel = torch.randn(4, 3, 3, 3)
    grey = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(
        F.conv2d(grey, other_channels(kernel, 1)), F.conv2d(grey.expand(-1, 3, -1, -1), kernel), rtol=1e-4, atol=1e-5
    )
    assert other_channels(kernel, 3) is kernel
