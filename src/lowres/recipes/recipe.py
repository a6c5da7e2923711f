"""A recipe: everything that decides a training run, as frozen data.

Equal recipes on equal machines give equal weights, on CPUs bit for bit. What does not decide the weights (where a
data set's files lie, which observers watch, where the run folder goes) is no part of it.
"""

import math
import typing
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from lowres.data import Augmentation
from lowres.errors import UserError, unknown

Precision = Literal["auto", "fp32", "bf16", "fp16"]
Option = str | int | float | bool
TestViews = Literal["none", "mirror", "mirror+shift"]

LATER = MappingProxyType({"later": True})
"""Metadata of a field added after the first recipes were run: at its default it is left out of the fingerprint."""


def _require(what: str, value: Any, condition: bool, allowed: str) -> None:
    if not condition:
        raise UserError(f"{what} is {value!r}, but must be {allowed}")


def _require_names(part: Any, prefix: str = "") -> None:
    """Refuses a name that is not among those its field's type lists."""
    for field_name, kind in typing.get_type_hints(type(part)).items():
        names, value = typing.get_args(kind), getattr(part, field_name)
        if typing.get_origin(kind) is Literal and value not in names:
            raise unknown(f"{prefix}{field_name}", str(value), names)


@dataclass(frozen=True)
class Optimizer:
    """What turns gradients into steps.

    Attributes:
        name: "sgd" (Sutskever 2013, as PyTorch has it), "adamw" (Loshchilov 2019), or "muon": orthogonalised
            momentum for the convolution kernels behind the stem (Jordan 2024), SGD for all else.
        lr: Peak learning rate of SGD or AdamW, reached where the schedule's factor is 1.
        momentum: Of SGD.
        nesterov: Nesterov's momentum in SGD.
        weight_decay: Coupled (added to the gradient) in SGD, decoupled in AdamW.
        decay: What decays: every parameter ("all", as He 2015 and most code), or convolution and linear
            kernels only ("kernels": no norms, no biases, no squeeze-and-excite).
        betas: AdamW's averaging factors.
        eps: AdamW's denominator offset.
        muon_lr: Peak step of Muon relative to the kernel's own norm.
        muon_momentum: Of Muon, Nesterov's.
        bias_rate: Rate of biases, norms' shifts among them, relative to `lr`; their decay is divided by it, so
            that they shrink as fast as all else (Jordan 2024, "94% on CIFAR-10 in 3.29 seconds", section 3.4).
    """

    name: Literal["sgd", "adamw", "muon"] = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-4
    decay: Literal["all", "kernels"] = "all"
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    muon_lr: float = 0.03
    muon_momentum: float = 0.9
    bias_rate: float = field(default=1.0, metadata=LATER)

    def __post_init__(self) -> None:
        _require_names(self, "optimizer.")
        _require("optimizer.lr", self.lr, 0 < self.lr < math.inf, "above 0")
        _require("optimizer.momentum", self.momentum, 0 <= self.momentum < 1, "at least 0 and below 1")
        _require("optimizer.weight_decay", self.weight_decay, 0 <= self.weight_decay < math.inf, "at least 0")
        _require("optimizer.betas", self.betas, all(0 <= b < 1 for b in self.betas), "each at least 0, below 1")
        _require("optimizer.eps", self.eps, 0 < self.eps < math.inf, "above 0")
        _require("optimizer.muon_lr", self.muon_lr, 0 < self.muon_lr < math.inf, "above 0")
        _require("optimizer.muon_momentum", self.muon_momentum, 0 <= self.muon_momentum < 1, "in [0, 1)")
        _require("optimizer.bias_rate", self.bias_rate, 0 < self.bias_rate < math.inf, "above 0")
        if self.nesterov and self.momentum == 0:
            raise UserError("optimizer.nesterov needs a momentum: set optimizer.momentum above 0 or nesterov off")


@dataclass(frozen=True)
class Schedule:
    """How the learning rate moves over a run. All times are fractions of the run, so that it scales with epochs.

    Attributes:
        name: "multistep" (times `gamma` at each milestone), "cosine" (Loshchilov 2017, one period),
            "triangle" (straight up to the peak at the end of the warm-up, straight down to the end), "constant".
        warmup: Share of the run spent warming up.
        warmup_start: Factor at the first step.
        warmup_shape: Rising in a "linear" way from `warmup_start` to 1, or "constant" at `warmup_start`.
        milestones: Of "multistep", ascending.
        gamma: Of "multistep".
        final: Factor at the end of "cosine" and "triangle".
    """

    name: Literal["multistep", "cosine", "triangle", "constant"] = "cosine"
    warmup: float = 0.0
    warmup_start: float = 0.0
    warmup_shape: Literal["linear", "constant"] = "linear"
    milestones: tuple[float, ...] = (0.5, 0.75)
    gamma: float = 0.1
    final: float = 0.0

    def __post_init__(self) -> None:
        _require_names(self, "schedule.")
        _require("schedule.warmup", self.warmup, 0 <= self.warmup < 1, "a share of the run: at least 0, below 1")
        _require("schedule.warmup_start", self.warmup_start, 0 <= self.warmup_start <= 1, "between 0 and 1")
        rising = all(a < b for a, b in zip(self.milestones, self.milestones[1:], strict=False))
        inside = all(0 < m < 1 for m in self.milestones)
        _require("schedule.milestones", self.milestones, rising and inside, "ascending shares of the run in (0, 1)")
        _require("schedule.gamma", self.gamma, 0 < self.gamma <= 1, "above 0, at most 1")
        _require("schedule.final", self.final, 0 <= self.final <= 1, "between 0 and 1")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run.

    Attributes:
        name: What it is called; no part of its fingerprint.
        model: A name `lowres models` lists.
        model_options: Options of that model, such as shortcut=B; in Python and in files {"shortcut": "B"}.
        data: "cifar10", "cifar100", "digits" or "folder:PATH".
        image_size: Side of the images in pixels; image folders are resized to it.
        held_out: Training images held out as a stratified validation set; 0 trains on all of them.
        mean: Per-channel mean taken off the pixels (in [0, 1]); None: that of the training images.
        std: Per-channel deviation the pixels are divided by; None: that of the training images.
        augmentation: What happens to a training batch.
        optimizer: What turns gradients into steps.
        schedule: How the learning rate moves.
        epochs: Passes over the training images.
        batch_size: Images in an optimizer step; what does not fill a last batch waits for the next epoch.
        accumulate: Parts a batch is computed in, to save memory; the gradient is their mean.
        label_smoothing: Share of the label spread over all classes (Szegedy 2016, section 7).
        clip: Largest norm of the gradient; 0: no limit.
        ema: Decay per step of an exponential moving average of weights, which is then what is evaluated and
            kept; 0: none.
        precision: Of the arithmetic under autocast; "auto": what is fast and safe on the device.
        channels_last: Memory layout; None: what is fast on the device.
        compile: Whether to compile the network with `torch.compile`.
        deterministic: Whether a GPU keeps to convolutions that give equal results every time; off, it tries which
            are fastest. On CPUs it changes nothing.
        evaluate_every: Epochs from one evaluation to the next; 0: only the finished network is evaluated.
        tta: What the finished network sees of each test image, its logits averaged: the image ("none"), its mirror
            image, too ("mirror"), both also shifted by a pixel up left and down right ("mirror+shift"). The result
            then says so, and gives the accuracy without it beside.
        tta_below: Only images whose most probable class has a probability below this get further views.
        seed: Of initial weights, data order, augmentation and validation split.
        adapt: Whether an ImageNet network (torchvision:NAME, timm:NAME) is made one for images of this size.
        stem: How a pretrained kernel becomes smaller then: its centre ("crop"), or by least squares ("resize").
        pretrained: Whether to begin with the weights that the network's library publishes.
        weights: A file of weights to begin with instead; "": none.
        upsample: Side in pixels that images are enlarged to on the device, bilinearly; 0: they are not.
        normalise: Mean and std of the pixels: those of the training images ("data"), or those the weights were
            trained with, where there are weights ("auto"). `mean` and `std` go before either.
        first_rate: Share of the learning rate that the first layer has; between it and the head, which has all
            of it, rates grow geometrically with depth.
        head_epochs: Epochs at the start in which the head alone learns.
        probe: Whether the head alone learns, from features that are computed once, without augmentation.
    """

    name: str = "custom"
    model: str = "resnet20"
    model_options: dict[str, Option] = field(default_factory=dict)
    data: str = "cifar10"
    image_size: int = 32
    held_out: int = 0
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = field(default_factory=Schedule)
    epochs: int = 200
    batch_size: int = 128
    accumulate: int = 1
    label_smoothing: float = 0.0
    clip: float = 0.0
    ema: float = 0.0
    precision: Precision = "auto"
    channels_last: bool | None = None
    compile: bool = False
    deterministic: bool = field(default=True, metadata=LATER)
    evaluate_every: int = field(default=1, metadata=LATER)
    tta: TestViews = field(default="none", metadata=LATER)
    tta_below: float = field(default=1.0, metadata=LATER)
    seed: int = 0
    adapt: bool = field(default=False, metadata=LATER)
    stem: Literal["crop", "resize"] = field(default="resize", metadata=LATER)
    pretrained: bool = field(default=False, metadata=LATER)
    weights: str = field(default="", metadata=LATER)
    upsample: int = field(default=0, metadata=LATER)
    normalise: Literal["data", "auto"] = field(default="data", metadata=LATER)
    first_rate: float = field(default=1.0, metadata=LATER)
    head_epochs: int = field(default=0, metadata=LATER)
    probe: bool = field(default=False, metadata=LATER)

    def __post_init__(self) -> None:
        _require_names(self)
        _require("name", self.name, bool(self.name.strip()), "a word or more")
        _require("image_size", self.image_size, 8 <= self.image_size <= 4096, "from 8 to 4096")
        _require("held_out", self.held_out, self.held_out >= 0, "at least 0")
        _require("epochs", self.epochs, self.epochs >= 1, "at least 1")
        _require("batch_size", self.batch_size, self.batch_size >= 1, "at least 1")
        _require("accumulate", self.accumulate, 1 <= self.accumulate <= self.batch_size, "from 1 to batch_size")
        _require("label_smoothing", self.label_smoothing, 0 <= self.label_smoothing < 1, "at least 0, below 1")
        _require("clip", self.clip, 0 <= self.clip < math.inf, "at least 0")
        _require("ema", self.ema, 0 <= self.ema < 1, "at least 0, below 1")
        _require("evaluate_every", self.evaluate_every, self.evaluate_every >= 0, "at least 0")
        _require("tta_below", self.tta_below, 0 < self.tta_below <= 1, "above 0, at most 1")
        _require("seed", self.seed, 0 <= self.seed < 2**32, "at least 0, below 2**32")
        if self.std is not None:
            _require("std", self.std, all(s > 0 for s in self.std), "above 0 in every channel")
            _require("std", self.std, all(map(math.isfinite, self.std)), "finite")
        if self.mean is not None:
            _require("mean", self.mean, all(map(math.isfinite, self.mean)), "finite")
        if self.mean is not None and self.std is not None and len(self.mean) != len(self.std):
            raise UserError(f"mean has {len(self.mean)} figures and std {len(self.std)}: give one a channel")
        _require("upsample", self.upsample, self.upsample == 0 or self.upsample >= 8, "0 or at least 8")
        _require("first_rate", self.first_rate, 0 < self.first_rate <= 1, "above 0, at most 1")
        _require("head_epochs", self.head_epochs, self.head_epochs >= 0, "at least 0")
        if self.adapt and self.upsample:
            raise UserError("adapt and upsample are two roads: change the network, or enlarge the images")
        if self.pretrained and self.weights:
            raise UserError("pretrained and weights are two sources: take the library's weights, or those of the file")
        if self.probe and self.head_epochs:
            raise UserError("with probe the head alone learns in every epoch: leave head_epochs at 0")
        if (self.mean is None) != (self.std is None):
            raise UserError("mean and std belong together: give both, or neither for the training images' own")
