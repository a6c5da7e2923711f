"""The six clean programs, each in three styles.

Sound by the standards of the catalogue of faults: a network that suits the image size, shuffled training images
with crop and flip, statistics of the data (or of the weights), momentum, decay, a schedule that ends near zero,
`eval()` without gradients, a validation split with the test's transforms, seeds, every test image once.
"""

from dataclasses import dataclass

from source import STYLES, Source, fill, network

CIFAR = "(0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)"
IMAGENET = "(0.485, 0.456, 0.406), (0.229, 0.224, 0.225)"
CROP_AND_FLIP = ("{T}.RandomCrop(32, padding=4)", "{T}.RandomHorizontalFlip()")
SGD = "{optim}.SGD({model}.parameters(), lr={rate}, momentum={momentum}, weight_decay={decay})"
COSINE = "{optim}.lr_scheduler.CosineAnnealingLR({optimizer}, T_max={epochs})"


@dataclass(frozen=True)
class Base:
    """What a clean program brings into the frame of a style; `{names}` are the style's."""

    name: str
    title: str
    build: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    epochs: int
    batch: int
    rate: float
    momentum: float | None
    decay: float
    optimizer: str
    scheduler: str
    steps_per_batch: bool
    criterion: str = "nn.CrossEntropyLoss()"
    network: str | None = None
    norms: bool = True


BASES = {
    base.name: base
    for base in (
        Base(
            name="resnet9",
            title="ResNet-9",
            network="resnet9",
            build="{net} = ResNet9()",
            train=(*CROP_AND_FLIP, "{T}.ToTensor()", "{T}.Normalize(" + CIFAR + ")"),
            test=("{T}.ToTensor()", "{T}.Normalize(" + CIFAR + ")"),
            epochs=30,
            batch=256,
            rate=0.2,
            momentum=0.9,
            decay=5e-4,
            optimizer=SGD,
            scheduler="{optim}.lr_scheduler.OneCycleLR("
            "{optimizer}, max_lr={rate}, epochs={epochs}, steps_per_epoch=len({train_loader}))",
            steps_per_batch=True,
        ),
        Base(
            name="resnet18",
            title="ResNet-18",
            network="resnet18",
            build="{net} = ResNet18()",
            train=(*CROP_AND_FLIP, "{T}.ToTensor()", "{T}.Normalize(" + CIFAR + ")"),
            test=("{T}.ToTensor()", "{T}.Normalize(" + CIFAR + ")"),
            epochs=200,
            batch=128,
            rate=0.1,
            momentum=0.9,
            decay=5e-4,
            optimizer=SGD,
            scheduler=COSINE,
            steps_per_batch=False,
        ),
        Base(
            name="mobilenet",
            title="MobileNet",
            network="mobilenet",
            build="{net} = MobileNet()",
            train=(*CROP_AND_FLIP, "{T}.ToTensor()", "{T}.Normalize(" + CIFAR + ")"),
            test=("{T}.ToTensor()", "{T}.Normalize(" + CIFAR + ")"),
            epochs=150,
            batch=128,
            rate=0.1,
            momentum=0.9,
            decay=2e-4,
            optimizer=SGD.replace("weight_decay", "nesterov=True, weight_decay"),
            scheduler=COSINE,
            steps_per_batch=False,
        ),
        Base(
            name="vgg",
            title="VGG with batch norm",
            network="vgg",
            build="{net} = VGG()",
            train=(*CROP_AND_FLIP, "{T}.ToTensor()", "{T}.Normalize(" + CIFAR + ")"),
            test=("{T}.ToTensor()", "{T}.Normalize(" + CIFAR + ")"),
            epochs=150,
            batch=128,
            rate=0.05,
            momentum=0.9,
            decay=5e-4,
            optimizer=SGD,
            scheduler="{optim}.lr_scheduler.MultiStepLR({optimizer}, milestones=[75, 120], gamma=0.1)",
            steps_per_batch=False,
        ),
        Base(
            name="vit",
            title="A small vision transformer",
            network="vit",
            build="{net} = ViT()",
            train=(
                *CROP_AND_FLIP,
                "{T}.RandAugment(num_ops=2, magnitude=9)",
                "{T}.ToTensor()",
                "{T}.Normalize(" + CIFAR + ")",
                "{T}.RandomErasing(p=0.25)",
            ),
            test=("{T}.ToTensor()", "{T}.Normalize(" + CIFAR + ")"),
            epochs=300,
            batch=256,
            rate=1e-3,
            momentum=None,
            decay=0.05,
            optimizer="{optim}.AdamW({model}.parameters(), lr={rate}, weight_decay={decay})",
            scheduler="{optim}.lr_scheduler.SequentialLR(\n"
            "    {optimizer},\n"
            "    [\n"
            "        {optim}.lr_scheduler.LinearLR({optimizer}, start_factor=0.1, total_iters=10),\n"
            "        {optim}.lr_scheduler.CosineAnnealingLR({optimizer}, T_max={epochs} - 10),\n"
            "    ],\n"
            "    milestones=[10],\n"
            ")",
            steps_per_batch=False,
            criterion="nn.CrossEntropyLoss(label_smoothing=0.1)",
            norms=False,
        ),
        Base(
            name="finetune",
            title="An ImageNet ResNet-18, fine-tuned",
            build="{net} = {zoo}.resnet18(weights={zoo}.ResNet18_Weights.IMAGENET1K_V1)\n"
            "{net}.fc = nn.Linear({net}.fc.in_features, 10)",
            train=(
                "{T}.Resize(128)",
                "{T}.RandomCrop(128, padding=16)",
                "{T}.RandomHorizontalFlip()",
                "{T}.ToTensor()",
                "{T}.Normalize(" + IMAGENET + ")",
            ),
            test=("{T}.Resize(128)", "{T}.ToTensor()", "{T}.Normalize(" + IMAGENET + ")"),
            epochs=15,
            batch=64,
            rate=0.01,
            momentum=0.9,
            decay=1e-4,
            optimizer=SGD,
            scheduler="{optim}.lr_scheduler.CosineAnnealingLR({optimizer}, T_max={epochs} * len({train_loader}))",
            steps_per_batch=True,
        ),
    )
}
SCRATCH = tuple(name for name, base in BASES.items() if base.network)
NORMED = tuple(name for name, base in BASES.items() if base.norms)
SGD_BASES = tuple(name for name, base in BASES.items() if base.momentum)


def clean(base_name: str, style_name: str) -> Source:
    """A clean program."""
    base, style = BASES[base_name], STYLES[style_name]
    names = style.names
    step = "{scheduler}.step()".format(**names)
    indent = 12 if style_name == "classes" else 4
    scheduler = base.scheduler.format(**names)
    if style_name == "classes":
        scheduler = scheduler.replace("\n", "\n" + " " * 8)  # the first line stands after `self.scheduler = `
    values = {
        "title": base.title,
        "network": network(base.network) if base.network else "",
        "build": base.build.format(**names),
        "train_transform": _operations(base.train, names, indent),
        "test_transform": _operations(base.test, names, indent),
        "epochs": str(base.epochs),
        "batch": str(base.batch),
        "rate": repr(base.rate),
        "momentum": repr(base.momentum) if base.momentum else "",
        "decay": repr(base.decay),
        "criterion": base.criterion.format(**names),
        "optimizer": base.optimizer.format(**names),
        "scheduler": scheduler,
        "batch_step": step if base.steps_per_batch else "",
        "epoch_step": "" if base.steps_per_batch else step,
    }
    return Source(fill(style.template, values), base_name, style)


def _operations(operations: tuple[str, ...], names: dict[str, str], indent: int) -> str:
    return "\n".join(" " * indent + operation.format(**names) + "," for operation in operations)
