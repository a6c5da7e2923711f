"""Faults of the data: transforms, splits, order, labels, pixels."""

from bases import SCRATCH
from operators import fault
from source import STYLES, Source

TWO_SETS = ("plain", "classes")
PLAIN_AUGMENTATION = ("resnet9", "resnet18", "mobilenet", "vgg", "finetune")
FROZEN = '''
class Remembered(torch.utils.data.Dataset):
    """Keeps every item once it was loaded, for speed."""

    def __init__(self, dataset):
        self.dataset = dataset
        self.kept = {{}}

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        if index not in self.kept:
            self.kept[index] = self.dataset[index]
        return self.kept[index]
'''


@fault("C05", tier=1, cost=10, touches="train transform", bases=(*PLAIN_AUGMENTATION, "vit"), also=("C30",))
def no_augmentation(s: Source) -> Source:
    """Nothing random happens to the training images."""
    if s.base == "finetune":
        s = s.swap("RandomCrop(128, padding=16)", "CenterCrop(128)")
    return s.sub(r"^[ \t]*\w+\.Rand\w+\(.*\),\n", "", None)


@fault("C05", tier=1, cost=10, touches="train transform", bases=PLAIN_AUGMENTATION, also=("C08", "C06"))
def test_transform_for_training(s: Source) -> Source:
    """The augmenting transform is there, and the training set was given the other one."""
    name = s.say("{train_transform}")
    return s.swap(f"transform={name}", "transform={test_transform}")


@fault("C09", tier=1, cost=30, touches="test transform", bases=(*SCRATCH, "finetune"))
def test_not_normalised(s: Source) -> Source:
    """Training images are normalised, those of validation and test are not."""
    return s.sub(rf"({s.say('{test_transform}')} = [^\]]*?)[ \t]*\w+\.Normalize\(.*\),\n", r"\1")


@fault("C09", tier=1, cost=10, touches="test transform", bases=("resnet9", "mobilenet", "vit"))
def other_constants_at_test(s: Source) -> Source:
    """Evaluation halves what training divides by a quarter."""
    return s.sub(
        rf"({s.say('{test_transform}')} = [^\]]*?\w+\.Normalize\()[^\n]*(\),\n)",
        r"\1(0.5, 0.5, 0.5), (0.5, 0.5, 0.5)\2",
    )


@fault("C09", tier=1, cost=5, touches="test transform", bases=("finetune",), also=("C10",))
def not_the_statistics_of_the_weights(s: Source) -> Source:
    """Pretrained weights, and pixels from 0 to 1 as they come."""
    return s.sub(r"^[ \t]*\w+\.Normalize\(.*\),\n", "", 2)


@fault("C09", tier=1, cost=15, touches="test transform", bases=("finetune",), also=("C01",))
def test_at_another_size(s: Source) -> Source:
    """Trained on images of 128 pixels, tested on 32."""
    return s.sub(rf"({s.say('{test_transform}')} = [^\]]*?)[ \t]*\w+\.Resize\(128\),\n", r"\1")


@fault("C08", tier=1, cost=2, touches="split", bases=PLAIN_AUGMENTATION)
def validation_is_augmented(s: Source) -> Source:
    """One data set with the training transform serves both splits."""
    return s.swap("Subset({val_full}, ", "Subset({train_full}, ")


@fault(
    "C08", tier=1, cost=8, touches="split", bases=("resnet9", "resnet18", "mobilenet"), styles=TWO_SETS, also=("C05",)
)
def transform_set_on_both(s: Source) -> Source:
    """`val.dataset.transform = ...` after a random split: training loses its augmentation, too."""
    s = s.line(
        "train_set = {train_subset}", "train_set, val_set = torch.utils.data.random_split({train_full}, [45000, 5000])"
    )
    return s.line("val_set = {val_subset}", "val_set.dataset.transform = {test_transform}")


@fault("C25", tier=3, cost=3, touches="split", bases=("resnet9", "vgg", "vit", "finetune"))
def validation_was_trained_on(s: Source) -> Source:
    """Validation images are also training images."""
    if s.style is STYLES["notebook"]:
        return s.swap("Subset({train_full}, {train_indices}), {batch}", "{train_full}, {batch}")
    return s.line("train_set = {train_subset}", "train_set = {train_full}")


@fault("C25", tier=3, cost=5, touches="test set", bases=("resnet18", "mobilenet", "finetune"))
def test_on_training_images(s: Source) -> Source:
    """The test set is made with `train=True`."""
    return s.swap("train=False", "train=True")


@fault("C17", tier=2, cost=20, touches="order", bases=("resnet9", "vgg", "finetune"), also=("C25", "C16"))
def validation_of_one_class(s: Source) -> Source:
    """Split after sorting by class: validation has a class that training never saw."""
    return s.line("{order}", "{by_class}")


@fault("C18", tier=2, cost=40, touches="order", bases=SCRATCH)
def sorted_and_unshuffled(s: Source) -> Source:
    """Training images come class by class."""
    s = s.swap(
        "Subset({train_full}, {train_indices})",
        "Subset({train_full}, sorted({train_indices}, key=lambda i: {train_full}.targets[i]))",
    )
    return s.swap(", shuffle=True", "")


@fault("C16", tier=2, cost=90, touches="labels", bases=("resnet9", "resnet18"), also=("C17",))
def labels_from_one(s: Source) -> Source:
    """Training labels count from one, those of validation and test from zero."""
    s = s.sub(rf"({s.say('{train_full}')} = .*)\)\n", r"\1, target_transform=lambda label: label + 1)" + "\n")
    return s.sub(r"(ResNet9|ResNet18)\(\)\n", r"\1(num_classes=11)" + "\n")


@fault("C16", tier=2, cost=80, touches="labels", bases=("vgg", "mobilenet", "vit"), also=("C32", "C17"))
def labels_shuffled(s: Source) -> Source:
    """Labels are shuffled without their images."""
    return s.after("{dataset_end}", "random.shuffle({train_full}.targets)")


@fault("C26", tier=2, cost=8, touches="pixels", bases=("resnet9", "resnet18", "vgg"))
def reshaped_for_transposed(s: Source) -> Source:
    """Arrays are reshaped where they had to be transposed: pixels land anywhere."""
    return s.after(
        "{dataset_end}",
        "for part in ({train_full}, {val_full}, {test_set}):\n"
        "    part.data = part.data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)",
    )


@fault("C26", tier=2, cost=5, touches="pixels", bases=("mobilenet", "finetune"), also=("C09",))
def blue_before_red_at_test(s: Source) -> Source:
    """Test images have their channels in another order."""
    return s.after("{dataset_end}", "{test_set}.data = {test_set}.data[:, :, :, ::-1].copy()")


@fault("C10", tier=2, cost=10, touches="test transform", bases=("vit",), also=("C21", "C04"))
def pixels_to_255(s: Source) -> Source:
    """No norm behind the first layer, and pixels from 0 to 255."""
    s = s.swap("{T}.ToTensor()", "{T}.PILToTensor(), {T}.Lambda(lambda image: image.float())", 2)
    return s.sub(r"^[ \t]*\w+\.Normalize\(.*\),\n", "", 2)


@fault("C28", tier=2, cost=3, touches="cache", bases=("resnet9", "resnet18", "vgg"), also=("C05",))
def augmentation_remembered(s: Source) -> Source:
    """A cache around the augmented set: the first crop is every epoch's."""
    s = s.define(FROZEN)
    s = s.swap("{Loader}({train_arg}, ", "{Loader}(Remembered({train_arg}), ")
    return s.sub(r"(shuffle=True, num_workers=)[\w.]+", r"\g<1>0")


@fault("C30", tier=3, cost=5, touches="train transform", bases=("resnet9", "resnet18", "mobilenet"))
def crops_to_a_twelfth(s: Source) -> Source:
    """Crops as small as 8 % of an image that has 32 pixels."""
    return s.swap("RandomCrop(32, padding=4)", "RandomResizedCrop(32)")


@fault("C30", tier=3, cost=6, touches="train transform", bases=("vgg", "resnet18", "mobilenet"))
def jitter_and_rotation(s: Source) -> Source:
    """Colours and angles that no test image has."""
    return s.after(
        "{T}.RandomHorizontalFlip(),",
        "{T}.RandomRotation(90),\n{T}.ColorJitter(brightness=1.0, contrast=1.0, saturation=1.0, hue=0.5),",
    )


@fault("C24", tier=3, cost=0.1, touches="loaders", bases=("resnet9", "resnet18", "vit"))
def last_batch_dropped_at_test(s: Source) -> Source:
    """Evaluation leaves out the images that do not fill a batch."""
    replaced = {"plain": "test_set, batch_size=128", "classes": "test_set, batch_size=128", "notebook": "test_ds, 128"}
    return s.swap("{test_loader_args}", replaced[s.style.name] + ", shuffle=False, drop_last=True")
