"""The loader: images stay as uint8 on the training device, whole batches are cut and augmented there.

It takes the place of a `DataLoader` with workers where a data set fits into memory, and can be used alone in
anybody's training loop. What is random is drawn by `lowres.data.draws`.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from lowres.data import augment
from lowres.data.augment import NO_AUGMENTATION, Augmentation
from lowres.data.draws import Draws, Mix, draw
from lowres.data.images import mean_std
from lowres.errors import UserError


class Batches:
    """Batches of augmented, normalised images, on the training device.

    Everything random is a pure function of (seed, epoch), drawn on the CPU: the same on every device, at every
    thread count and whatever was iterated before, so setting `epoch` is all that a resumed run needs. On the CPU
    batches are equal to the bit, on other devices up to their rounding. Each kind of draw has its own random
    stream: the order and the crops are the same with and without, say, mixup.

    `epoch` advances when an iteration is exhausted; after a `break` it stays, and the next iteration
    begins the same epoch again. Iterators are independent of each other: each goes through the epoch that was
    current when it was made. Within an epoch nothing waits for the device.

    `augmentation=None, shuffle=False, drop_last=False` makes the loader for evaluation.

    Args:
        images: uint8, (N, C, H, W). Not copied where they are on `device` already.
        labels: int64, (N,), from 0 to classes - 1.
        batch_size: Images in a batch, at most N.
        augmentation: What is done to the images; None = nothing but normalisation.
        classes: Number of classes, for labels that are mixed; None = highest label + 1.
        mean: Per channel, of pixel / 255; None = computed from `images`. Validation and test images need the
            training images' mean and std.
        std: Likewise.
        seed: Decides the order of the images and their augmentation, 0 or more.
        device: Where images are kept and batches are made.
        shuffle: Whether each epoch has its own random order.
        drop_last: Whether an incomplete last batch is left out. Each image comes once an epoch otherwise.
        channels_last: Whether batches have the memory format `torch.channels_last`.

    Attributes:
        epoch: The epoch that the next iteration goes through, from 0.

    Yields:
        Pairs of images, float32, (B, C, H, W), and labels: int64, (B,), or float32, (B, classes), with rows
        that sum to 1, where the augmentation mixes labels. `torch.nn.functional.cross_entropy` takes either.

    Raises:
        UserError: if shapes, types or sizes do not fit together.

    Example:
        >>> import torch
        >>> from lowres.data.batches import Batches
        >>> from lowres.data.augment import Augmentation
        >>> images = torch.randint(0, 256, (500, 3, 32, 32), dtype=torch.uint8)
        >>> labels = torch.randint(0, 10, (500,))
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 10))
        >>> batches = Batches(images, labels, batch_size=100, augmentation=Augmentation(crop=4), seed=0)
        >>> for x, y in batches:
        ...     torch.nn.functional.cross_entropy(model(x), y).backward()
        >>> batches.epoch
        1
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        batch_size: int,
        *,
        augmentation: Augmentation | None = None,
        classes: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
        shuffle: bool = True,
        drop_last: bool = True,
        channels_last: bool = False,
    ) -> None:
        self.augmentation = augmentation or NO_AUGMENTATION
        _check(images, labels, batch_size, self.augmentation)
        self.classes = _classes(labels, classes)
        if mean is None or std is None:
            computed = mean_std(images)
            mean = computed[0] if mean is None else mean
            std = computed[1] if std is None else std
        self.mean, self.std = tuple(map(float, mean)), tuple(map(float, std))
        _check_statistics(self.mean, self.std, images.shape[1])
        self.device = torch.device(device)
        self.images = images.to(self.device).contiguous()
        self.labels = labels.to(self.device)
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        self.shuffle = shuffle
        self.drop_last = drop_last
        self._memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self._mean = torch.tensor(self.mean, dtype=torch.float32, device=self.device).view(1, -1, 1, 1)
        self._std = torch.tensor(self.std, dtype=torch.float32, device=self.device).view(1, -1, 1, 1)

    def __len__(self) -> int:
        whole, rest = divmod(len(self.images), self.batch_size)
        return whole if self.drop_last or not rest else whole + 1

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self._iterate(self.epoch)

    def _iterate(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        draws = draw(
            self.augmentation,
            images=len(self.images),
            batch_size=self.batch_size,
            size=(self.images.shape[2], self.images.shape[3]),
            seed=self.seed,
            epoch=epoch,
            shuffle=self.shuffle,
            drop_last=self.drop_last,
            device=self.device,
        )
        for number in range(len(self)):
            x, y = self._batch(draws, number)
            yield x.contiguous(memory_format=self._memory_format), y
        self.epoch = epoch + 1

    def _batch(self, draws: Draws, number: int) -> tuple[Tensor, Tensor]:
        part = slice(number * self.batch_size, (number + 1) * self.batch_size)
        x = self.images.index_select(0, draws.order[part])
        y = self.labels.index_select(0, draws.order[part])
        if draws.offsets is not None:
            x = augment.crop(x, draws.offsets[part], self.augmentation.crop, self.augmentation.padding)
        if draws.flips is not None:
            x = augment.flip(x, draws.flips[part])
        x = x.float().div_(255)
        if draws.factors is not None:
            x = augment.jitter(x, draws.factors[part])
        x = x.sub_(self._mean).div_(self._std)
        if draws.centres is not None:
            x = augment.cutout(x, draws.centres[part], self.augmentation.cutout)
        if draws.partners is not None:
            return self._mixed(x, y, draws.partners[part], draws.mixes[number])
        return x, y

    def _mixed(self, x: Tensor, y: Tensor, partner: Tensor, mix: Mix) -> tuple[Tensor, Tensor]:
        dominant = mix.box is None and self.augmentation.mixup_labels == "dominant"
        x = augment.mixup(x, partner, mix.share) if mix.box is None else augment.cutmix(x, partner, mix.box)
        if not self.augmentation.mixes_labels:
            return x, y
        labels = augment.soft_labels(y, self.classes)
        return x, labels if dominant else augment.mixup(labels, partner, mix.share)


def _check(images: Tensor, labels: Tensor, batch_size: int, augmentation: Augmentation) -> None:
    if images.dtype != torch.uint8 or images.dim() != 4 or 0 in images.shape:
        raise UserError(f"images are {_described(images)}: Batches takes uint8, (N, C, H, W), each 1 or more")
    if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
        raise UserError(f"labels are {_described(labels)}: Batches takes int64, ({len(images)},)")
    if not 1 <= batch_size <= len(images):
        raise UserError(f"batch_size is {batch_size}: give 1 to {len(images)}, the number of images")
    height, width = images.shape[2:]
    if augmentation.padding == "reflect" and augmentation.crop >= min(height, width):
        most = f"{height}x{width} images can be reflected by 0 to {min(height, width) - 1} pixels"
        raise UserError(f"augmentation.crop is {augmentation.crop}: {most}")


def _described(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')}, {tuple(tensor.shape)}"


def _classes(labels: Tensor, classes: int | None) -> int:
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or (classes is not None and high >= classes):
        most = "" if classes is None else f" to {classes - 1}"
        raise UserError(f"labels go from {low} to {high}: they must be class numbers from 0{most}")
    return high + 1 if classes is None else classes


def _check_statistics(mean: tuple[float, ...], std: tuple[float, ...], channels: int) -> None:
    if len(mean) != channels or len(std) != channels:
        raise UserError(f"mean has {len(mean)} and std {len(std)} values: give {channels}, one for each channel")
    if min(std) <= 0:
        raise UserError(f"std is {std}: each must be above 0 (for a channel that is constant, pass 1)")
