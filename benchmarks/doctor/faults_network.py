"""Faults of the network: its size against the image's, norms, parameters that never train, activations."""

from bases import SCRATCH
from operators import fault
from source import Source

HEADED = ("resnet9", "resnet18", "mobilenet", "vgg")


@fault("C01", tier=1, cost=15, touches="network", bases=("resnet18",))
def imagenet_stem(s: Source) -> Source:
    """The stem meant for 224 pixels: 7x7 with stride 2, then a max pool."""
    s = s.swap(
        "nn.Conv2d(3, width, kernel_size=3, stride=1, padding=1",
        "nn.Conv2d(3, width, kernel_size=7, stride=2, padding=3",
    )
    s = s.after("self.bn1 = nn.BatchNorm2d(width)", "self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)")
    return s.line("x = F.relu(self.bn1(self.conv1(x)))", "x = self.maxpool(F.relu(self.bn1(self.conv1(x))))")


@fault("C01", tier=1, cost=15, touches="network", bases=("resnet18", "mobilenet"))
def network_of_the_zoo(s: Source) -> Source:
    """A network of torchvision, built for 224 pixels, from scratch at 32."""
    name, zoo = {"resnet18": ("ResNet18", "resnet18"), "mobilenet": ("MobileNet", "mobilenet_v2")}[s.base]
    return s.line(f"{{net}} = {name}()", f"{{net}} = {{zoo}}.{zoo}(num_classes=10)")


@fault("C01", tier=1, cost=8, touches="network", bases=("mobilenet",))
def strides_of_imagenet(s: Source) -> Source:
    """The published strides, so that 32 pixels end as one."""
    s = s.swap("nn.Conv2d(3, 32, 3, stride=1", "nn.Conv2d(3, 32, 3, stride=2")
    return s.swap(
        "(6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 3, 2), (6, 96, 2, 1), (6, 160, 2, 1)",
        "(6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 3, 2), (6, 96, 2, 1), (6, 160, 2, 2)",
    )


@fault("C01", tier=1, cost=25, touches="network", bases=("vit",), also=("C29",))
def large_patches(s: Source) -> Source:
    """Patches of 16 pixels: four tokens an image."""
    return s.swap("patch_size=4", "patch_size=16")


@fault("C01", tier=1, cost=15, touches="sizes", bases=("finetune",), also=("C09",))
def weights_at_32_pixels(s: Source) -> Source:
    """Pretrained on 224 pixels, fed 32."""
    return s.drop("{T}.Resize(128),", 2).swap("RandomCrop(128, padding=16)", "RandomCrop(32, padding=4)")


@fault("C12", tier=1, cost=20, touches="network", bases=("resnet18",))
def one_norm_for_two(s: Source) -> Source:
    """One batch norm serves two convolutions; its running statistics suit neither."""
    s = s.drop("self.bn2 = nn.BatchNorm2d(planes)")
    return s.swap("self.bn2(self.conv2(out))", "self.bn1(self.conv2(out))")


@fault("C12", tier=1, cost=3, touches="network", bases=HEADED)
def momentum_of_the_other_framework(s: Source) -> Source:
    """Batch norm's momentum of 0.99 means the opposite here: statistics of the last batch alone."""
    return s.sub(r"nn\.BatchNorm2d\((\w[^()]*)\)", r"nn.BatchNorm2d(\1, momentum=0.99)", None)


@fault("C12", tier=1, cost=5, touches="network", bases=HEADED, also=("C31", "C11"))
def norm_without_running_statistics(s: Source) -> Source:
    """Evaluation normalises by whatever batch it gets."""
    return s.sub(r"nn\.BatchNorm2d\((\w[^()]*)\)", r"nn.BatchNorm2d(\1, track_running_stats=False)", None)


@fault("C12", tier=1, cost=5, touches="batch", bases=HEADED, also=("C04",))
def batches_of_four(s: Source) -> Source:
    """Batch norm over four images; the rate is scaled along."""
    return s.set("rate", round(s.value("rate") * 4 / s.value("batch"), 5)).set("batch", 4)


@fault("C21", tier=1, cost=60, touches="network", bases=("vgg",), also=("C04", "C02", "C29"))
def no_norm(s: Source) -> Source:
    """Ten convolutions without norms, default initialisation, at the old rate of 0.1."""
    s = s.drop("layers.append(nn.BatchNorm2d(width))")
    s = s.sub(r"        for module in self\.modules\(\):\n.*\n.*kaiming_normal_.*\n", "")
    return s.set("rate", 0.1)


@fault("C21", tier=1, cost=70, touches="network", bases=("vgg",), also=("C04", "C34"))
def sigmoids(s: Source) -> Source:
    """Sigmoids in a deep network without norms: no gradient reaches the first layers."""
    s = s.drop("layers.append(nn.BatchNorm2d(width))")
    return s.swap("nn.ReLU(inplace=True)", "nn.Sigmoid()")


@fault("C13", tier=1, cost=10, touches="parameters", bases=("finetune",))
def head_after_the_optimizer(s: Source) -> Source:
    """The new head comes after the optimizer was built, which holds the old one."""
    s = s.drop("{net}.fc = nn.Linear({net}.fc.in_features, 10)")
    return s.sub(
        rf"^([ \t]*)({s.say('{scheduler}').replace('.', '[.]')} = .*\n)",
        lambda m: m[1] + m[2] + m[1] + s.say("{model}.fc = nn.Linear({model}.fc.in_features, 10).to({device})\n"),
    )


@fault("C13", tier=1, cost=10, touches="parameters", bases=("mobilenet", "vgg", "vit"))
def part_of_the_parameters(s: Source) -> Source:
    """The optimizer is given one part of the network; the head stays as it was drawn."""
    part = "blocks" if s.base == "vit" else "features"
    return s.swap("({model}.parameters(), lr=", f"({{model}}.{part}.parameters(), lr=")


@fault("C13", tier=1, cost=50, touches="parameters", bases=SCRATCH)
def frozen_from_scratch(s: Source) -> Source:
    """All but the head is frozen, though nothing was pretrained."""
    return s.sub(
        r"^([ \t]*)(\w+ = (ResNet9|ResNet18|MobileNet|VGG|ViT)\(\)\n)",
        lambda m: (
            f"{m[1]}{m[2]}{m[1]}for p in {s.say('{net}')}.parameters():\n{m[1]}    p.requires_grad = False\n"
            f"{m[1]}{s.say('{net}')}.head = nn.Linear({s.say('{net}')}.head.in_features, 10)\n"
        ),
    )


@fault("C14", tier=1, cost=15, touches="network", bases=("vit", "resnet9"), also=("C13",))
def layers_in_a_list(s: Source) -> Source:
    """Layers in a Python list: the optimizer never sees them."""
    if s.base == "vit":
        return s.swap(
            "nn.ModuleList([Block(dim, heads) for _ in range(depth)])", "[Block(dim, heads) for _ in range(depth)]"
        )
    s = s.sub(r"self\.res2 = nn\.Sequential\((.*)\)\n", r"self.res2 = [\1]\n")
    return s.line("x = self.res2(x) + x", "y = x\nfor block in self.res2:\n    y = block(y)\nx = y + x")


@fault("C14", tier=1, cost=30, touches="head", bases=("resnet18", "mobilenet", "vgg"), also=("C13", "C27"))
def layer_made_in_forward(s: Source) -> Source:
    """The classifier is drawn anew at every call."""
    return s.sub(r"^\s*self\.head = .*\n", "").line(
        "return self.head(x)", "head = nn.Linear(x.shape[1], 10).to(x.device)\nreturn head(x)"
    )


@fault("C27", tier=2, cost=2.5, touches="head", bases=HEADED)
def dropout_at_test(s: Source) -> Source:
    """`F.dropout` without `training=`: it never stops."""
    return s.before("return self.head(x)", "x = F.dropout(x, 0.5)")


@fault("C31", tier=2, cost=30, touches="network", bases=("vit",))
def attention_across_images(s: Source) -> Source:
    """Attention reads the batch as the sequence: images attend to each other."""
    return s.swap("nn.MultiheadAttention(dim, heads, batch_first=True)", "nn.MultiheadAttention(dim, heads)")


@fault("C31", tier=2, cost=10, touches="head", bases=("resnet9", "mobilenet"))
def features_of_the_whole_batch(s: Source) -> Source:
    """Features are scaled by the batch's own mean and deviation, at test too."""
    return s.before("return self.head(x)", "x = (x - x.mean(dim=0)) / (x.std(dim=0) + 1e-5)")


@fault("C34", tier=2, cost=15, touches="network", bases=("resnet9", "mobilenet"))
def no_activations(s: Source) -> Source:
    """Convolution after convolution with nothing between them but norms."""
    if s.base == "resnet9":
        return s.drop("nn.ReLU(inplace=True),")
    return s.drop("nn.ReLU6(inplace=True),", 2).swap(", nn.ReLU6(inplace=True)]", "]", 2)


@fault("C29", tier=3, cost=15, touches="network", bases=("resnet9", "resnet18"), also=("C35",))
def too_narrow(s: Source) -> Source:
    """Four channels where sixty-four were meant."""
    return s.swap("width=64", "width=4")


@fault("C30", tier=3, cost=5, touches="network", bases=("vgg",), also=("C12",))
def dropout_everywhere(s: Source) -> Source:
    """Half of the units dropped after each of ten convolutions."""
    return s.after("layers.append(nn.ReLU(inplace=True))", "layers.append(nn.Dropout(0.5))")
