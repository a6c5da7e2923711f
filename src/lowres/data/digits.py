"""The data set that needs no download: scikit-learn's handwritten digits, scaled to the size of CIFAR."""

import hashlib

import numpy as np
import torch

from lowres.data.images import Dataset, Images, resize, stratified_split

HELD_OUT = 360
"""Test images: a fifth of the 1,797."""
SPLIT_SEED = 0
"""Decides which images are the test set, which is the same for everybody."""


def load_digits(image_size: int = 32) -> Dataset:
    """Loads the 1,797 handwritten digits of scikit-learn (8 x 8 pixels, 17 grey levels) as colour images.

    Grey levels 0 to 16 become 0 to 255, the image is scaled bilinearly and repeated in three channels. 1,437
    images are for training and 360 for testing, stratified and always the same. They are the test part of the
    UCI set "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak 1998).

    Args:
        image_size: Height and width of the result in pixels.

    Returns:
        The data set, classes "0" to "9".
    """
    from sklearn.datasets import load_digits as load

    bunch = load()
    grey = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    images = resize(torch.from_numpy(grey)[:, None], image_size).expand(-1, 3, -1, -1).contiguous()
    whole = Images(images, labels, tuple(map(str, range(10))))
    kept, held = stratified_split(labels, HELD_OUT, SPLIT_SEED)
    digest = hashlib.sha256(grey.tobytes() + labels.numpy().astype("<i8").tobytes()).hexdigest()
    return Dataset("digits", whole.subset(kept), whole.subset(held), {"sklearn digits": f"sha256:{digest}"})
