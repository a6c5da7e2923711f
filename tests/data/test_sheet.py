import numpy as np
import pytest
import torch
from PIL import Image

from lowres.data import contact_sheet, denormalise
from lowres.errors import UserError


def test_a_sheet_shows_every_pixel_of_every_image(tmp_path):
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    grey = torch.randint(0, 256, (2, 1, 8, 6), dtype=torch.uint8)
    path = tmp_path / "sheets" / "sheet.png"
    contact_sheet(path, [("as stored", images), ("grey", grey)], scale=2)
    with Image.open(path) as sheet:
        pixels = np.asarray(sheet)
    for image in (*images, *grey.expand(-1, 3, -1, -1)):
        tile = image.permute(1, 2, 0).numpy().repeat(2, 0).repeat(2, 1)
        windows = np.lib.stride_tricks.sliding_window_view(pixels, tile.shape)[:, :, 0]
        starts = np.argwhere((windows[:, :, 0, 0] == tile[0, 0]).all(-1))
        assert any((windows[y, x] == tile).all() for y, x in starts)


def test_titles_are_written(tmp_path):
    images = torch.full((1, 3, 4, 4), 255, dtype=torch.uint8)
    contact_sheet(tmp_path / "sheet.png", [("a long title above one small image", images)])
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.convert("L").getextrema()[0] < 100
        assert sheet.width > 150


@pytest.mark.parametrize(
    ("rows", "scale"),
    [
        ([], 3),
        ([("a", torch.zeros(1, 3, 4, 4))], 3),
        ([("a", torch.zeros(1, 2, 4, 4, dtype=torch.uint8))], 3),
        ([("a", torch.zeros(1, 3, 4, 4, dtype=torch.uint8))], 0),
    ],
)
def test_what_is_no_row_of_images_is_refused(tmp_path, rows, scale):
    with pytest.raises(UserError):
        contact_sheet(tmp_path / "sheet.png", rows, scale)
    assert not list(tmp_path.iterdir())


def test_denormalise_inverts_the_normalisation_of_the_loader():
    images = torch.randint(0, 256, (5, 3, 6, 6), dtype=torch.uint8)
    mean, std = (0.49, 0.48, 0.45), (0.247, 0.243, 0.262)
    normalised = (images / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    assert torch.equal(denormalise(normalised, mean, std), images)
    assert torch.equal(denormalise(normalised.to(memory_format=torch.channels_last), mean, std), images)
    assert denormalise(torch.full((1, 3, 2, 2), 99.0), mean, std).unique().tolist() == [255]
