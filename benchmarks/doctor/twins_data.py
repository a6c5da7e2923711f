"""Look-alikes of faults of the data: programs that are sound, though a quick reader might object."""

import re
import textwrap

from bases import CIFAR, IMAGENET
from operators import twin
from source import Source

CACHE = '''
class CleanCache(torch.utils.data.Dataset):
    """Keeps decoded images; each is augmented anew when it is asked for."""

    def __init__(self, dataset, transform):
        self.dataset, self.transform = dataset, transform
        self.decoded = {{}}

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        if index not in self.decoded:
            self.decoded[index] = self.dataset[index]
        image, label = self.decoded[index]
        return self.transform(image), label
'''
STREAM = '''
class Stream(torch.utils.data.IterableDataset):
    """Yields a set's items in a new random order each time it is begun."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def __iter__(self):
        for index in torch.randperm(len(self.dataset)).tolist():
            yield self.dataset[index]
'''
ARRAYS = '''
class Arrays(torch.utils.data.Dataset):
    """Images from the array itself, transposed to channels first."""

    def __init__(self, source, transform):
        self.images = torch.from_numpy(source.data).permute(0, 3, 1, 2)
        self.targets = source.targets
        self.transform = transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.transform(self.images[index].float() / 255), self.targets[index]
'''
AUGMENT = '''
def augment(images):
    """Shift and flip, image by image, on the device."""
    padded = F.pad(images, (4, 4, 4, 4))
    shifted = []
    for image in padded:
        top, left = torch.randint(0, 9, (2,)).tolist()
        image = image[:, top : top + 32, left : left + 32]
        shifted.append(image.flip(2) if torch.rand(()) < 0.5 else image)
    return torch.stack(shifted)
'''


@twin("C10", bases=("resnet18",))
def statistics_of_imagenet(s: Source) -> Source:
    """ImageNet's mean and deviation for CIFAR, under batch norm, on both sides."""
    return s.swap(CIFAR, IMAGENET, 2)


@twin("C10", bases=("vgg",))
def halves(s: Source) -> Source:
    """0.5 for every mean and deviation, under batch norm, on both sides."""
    return s.swap(CIFAR, "(0.5, 0.5, 0.5), (0.5, 0.5, 0.5)", 2)


@twin("C28", bases=("resnet9",), styles=("plain",))
def cache_of_clean_images(s: Source) -> Source:
    """A cache in front of the augmentation, not behind it."""
    s = s.define(CACHE).swap("transform=train_transform)", "transform=None)")
    return s.line(
        "train_set = {train_subset}", "train_set = CleanCache(Subset(train_full, {train_indices}), {train_transform})"
    )


@twin("C18", bases=("resnet18",), styles=("plain", "notebook"))
def stream_that_shuffles(s: Source) -> Source:
    """An iterable set without the loader's shuffling, in random order by itself."""
    s = s.define(STREAM).swap("{Loader}({train_arg}, ", "{Loader}(Stream({train_arg}), ")
    return s.sub(r", shuffle=True, num_workers=2", "")


@twin("C18", bases=("vgg",), styles=("classes",))
def sampler_for_shuffling(s: Source) -> Source:
    """`sampler=` in the place of `shuffle=True`."""
    return s.swap("shuffle=True", "sampler=data.RandomSampler(train_set)")


@twin("C18", bases=("mobilenet",), styles=("plain",))
def subset_sampler(s: Source) -> Source:
    """A subset sampler of the training indices draws in random order."""
    return s.swap(
        "DataLoader(train_set, batch_size=BATCH_SIZE, shuffle=True",
        "DataLoader(train_full, batch_size=BATCH_SIZE, sampler=torch.utils.data.SubsetRandomSampler(indices[:45000])",
    )


@twin("C18", bases=("resnet9", "resnet18"))
def order_already_random(s: Source) -> Source:
    """Not shuffled, but the split drew a random order already."""
    return s.swap(", shuffle=True", "")


@twin("C26", bases=("resnet9",), styles=("plain",))
def arrays_transposed(s: Source) -> Source:
    """A set made from the arrays, correctly permuted, with tensor transforms."""
    s = s.define(ARRAYS).sub(r"^[ \t]*transforms\.ToTensor\(\),\n", "", 2)
    return s.after(
        "{dataset_end}",
        "train_full = Arrays(train_full, {train_transform})\n"
        "val_full = Arrays(val_full, {test_transform})\n"
        "test_set = Arrays(test_set, {test_transform})",
    )


@twin("C05", bases=("resnet9", "vgg"), styles=("plain", "classes"))
def augmented_in_the_loop(s: Source) -> Source:
    """Nothing random in the transform; the batch is shifted and flipped in the loop."""
    s = s.define(AUGMENT)
    s = s.sub(r"^[ \t]*\w+\.Random\w+\(.*\),\n", "", None)
    return s.after("{zero}", "{images} = augment({images})")


@twin("C05", bases=("resnet18",), styles=("classes", "notebook"))
def mixup_in_the_loop(s: Source) -> Source:
    """Mixup: training accuracy is low by design."""
    return s.swap(
        "loss = {criterion}({outputs}, {labels})",
        "loss = share * {criterion}({outputs}, {labels}) + (1 - share) * {criterion}({outputs}, {labels}[partner])",
    ).sub(
        rf"^([ \t]*)({re.escape(s.say('{outputs} = {model}({images})'))})\n(?=[ \t]*loss)",
        lambda m: textwrap.indent(
            s.say(
                "share = np.random.beta(0.2, 0.2)\n"
                "partner = torch.randperm({images}.size(0), device={device})\n"
                "{outputs} = {model}(share * {images} + (1 - share) * {images}[partner])\n"
            ),
            m[1],
        ),
    )


@twin("C08", bases=("resnet18",), styles=("plain",))
def test_time_augmentation(s: Source) -> Source:
    """Predictions of an image and its mirror image, averaged."""
    return s.line("{predicted}", "outputs = (outputs + model(images.flip(3))) / 2\n{predicted}")


@twin("C16", bases=("resnet9",), styles=("plain",))
def labels_renamed_everywhere(s: Source) -> Source:
    """Labels are renumbered, in all splits alike."""
    return s.sub(r"transform=(\w+)\)$", r"transform=\1, target_transform=lambda label: 9 - label)", 3)


@twin("C16", bases=("mobilenet",), styles=("classes",))
def outputs_to_spare(s: Source) -> Source:
    """More outputs than classes: legal, and costs next to nothing."""
    return s.swap("MobileNet()", "MobileNet(num_classes=16)")


@twin("C25", bases=("resnet18",), styles=("plain",))
def no_validation_no_selection(s: Source) -> Source:
    """All 50,000 images train; the last epoch is tested, once."""
    s = s.drop("val_set = {val_subset}").line("train_set = {train_subset}", "train_set = {train_full}").drop("{order}")
    s = s.sub(r"^val_full = .*\n", "").sub(r"^val_loader = .*\n", "").drop("{validate}").drop("best_acc = 0.0")
    s = s.sub(r"^    if val_acc >= best_acc:\n(?:        .*\n)+", "").sub(r"^model\.load_state_dict.*\n", "")
    return s.swap(", validation accuracy {{val_acc:.2f}}%", "")


@twin("C01", bases=("vit",), styles=("plain",))
def patches_at_224(s: Source) -> Source:
    """Patches of 16 pixels, on images of 224: 196 tokens."""
    s = s.swap("RandomCrop(32, padding=4)", "Resize(224)").swap("ViT()", "ViT(image_size=224, patch_size=16)")
    s = s.set("batch", 32)
    return s.sub(r"(test_transform = [^\[]*\[\n)", r"\1    transforms.Resize(224)," + "\n")
