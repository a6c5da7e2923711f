"""Fixes of what happens to images on their way into the network: augmentation, normalisation, size.

Each gives a fix with edits where the source shows all that has to change, and otherwise the code to write: half of a
change (training normalised, evaluation not) would be worse than none.
"""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

from lowres.doctor.findings import Fix
from lowres.doctor.patching.edits import Edit
from lowres.doctor.pipeline import RANDOM, Pipeline
from lowres.doctor.remedies.origins import argument, dataset_argument, dataset_call, definition, loader_call
from lowres.doctor.remedies.statistics import IMAGENET, channels_of, fitting, of_the_data
from lowres.doctor.remedies.transform_lists import (
    SIZED,
    augmenting_name,
    compose_of,
    element_of,
    elements,
    imported,
    in_front,
    inserted,
    plain_name,
    spelled,
    taken_out,
)
from lowres.doctor.setup import Setup
from lowres.doctor.source import Source, called

CROP = "transforms.RandomCrop({size}, padding={padding})"
FLIP = "transforms.RandomHorizontalFlip()"
SIGNS = re.compile(
    r"(e|k|q|my|custom|not|(multi)?colou?r(ed)?)?_?mnist|svhn|usps|omniglot|gtsrb|.*(digit|letter)", re.IGNORECASE
)
"""How data sets are named whose images mean something else, or nothing, in a mirror."""
PICTURES = ("FashionMNIST", "CIFAR10", "CIFAR100", "STL10")
"""Data sets whose images may be mirrored also where they are grey."""
NORMALIZE = "transforms.Normalize({mean}, {std})"
ENLARGED = 128
"""Pixels a side that small images are brought to for weights made for 224: half the cost of 224 a side, near its
accuracy."""


@dataclass(frozen=True)
class Slot:
    """Where a data set is told its transforms: the list, or else the expression that it is given."""

    source: Source
    compose: ast.Call | None
    value: ast.expr | None

    def behind(self, code: str) -> list[Edit]:
        """Edits that put a transform behind all that makes numbers of an image."""
        if self.compose is not None:
            return inserted(self.source, self.compose, (code,), last=True)
        return self._wrapped("{}, " + code)

    def front(self, *code: str) -> list[Edit]:
        """Edits that put transforms of pictures in."""
        if self.compose is not None:
            return inserted(self.source, self.compose, code)
        return self._wrapped(", ".join((*code, "{}")))

    def _wrapped(self, parts: str) -> list[Edit]:
        if self.value is None:
            return []
        code = f"transforms.Compose([{parts}])"
        return [self.source.wrapped(self.value, spelled(self.source, code)), *imported(self.source, (code,))]


def slot_of(setup: Setup, one: Pipeline) -> Slot | None:
    """The slot of a pipeline's data set."""
    found = compose_of(setup, one)
    if found is not None:
        return Slot(*found, None)
    made = dataset_call(setup, one)
    value = argument(made[1], -1, "transform") if made is not None else None
    if made is None or value is None or (isinstance(value, ast.Constant) and value.value is None):
        return None
    return Slot(made[0], None, value)


def slots_of(setup: Setup, pipelines: Sequence[Pipeline]) -> list[tuple[Pipeline, Slot]] | None:
    """A slot for each pipeline, each slot once; None unless all are known and lie in one file."""
    found: list[tuple[Pipeline, Slot]] = []
    for one in pipelines:
        slot = slot_of(setup, one)
        if slot is None or (found and slot.source is not found[0][1].source):
            return None
        if not any(slot.compose is known.compose and slot.value is known.value for _, known in found):
            found.append((one, slot))
    return found


def gains_little(one: Pipeline) -> bool:
    """Whether augmentation adds little: to signs, and to images of one channel that are no photographs made grey."""
    photographs = any(kind.__name__ in PICTURES[1:] for kind in type(one.base).__mro__)
    return of_signs(one) or (channels_of(one) == 1 and not photographs)


def of_signs(one: Pipeline) -> bool:
    """Whether images are of digits, letters or other signs, which must not be mirrored: by their data set's name."""
    for kind in type(one.base).__mro__:
        if kind.__name__ in PICTURES:
            return False
        if SIGNS.match(kind.__name__):
            return True
    return False


def standard(one: Pipeline, size: int) -> tuple[str, ...]:
    """The standard augmentation of small images: crop, and flip where that does no harm for certain."""
    crop = CROP.format(size=size, padding=max(size // 8, 1))
    pictures = any(kind.__name__ in PICTURES for kind in type(one.base).__mro__)
    return (crop,) if of_signs(one) or (channels_of(one) == 1 and not pictures) else (crop, FLIP)


def augmentation(setup: Setup, train: Pipeline) -> Fix:
    """Crops and flips training images, and those alone."""
    size = setup.image_size or 32
    code = standard(train, size)
    title = f"crop {'and flip ' if FLIP in code else ''}training images"
    manual = Fix(title, code=", ".join(code))
    slot = slot_of(setup, train)
    if slot is None:
        return manual
    others = [slot_of(setup, one) for one in setup.evals]
    if any(one.base is train.base for one in setup.evals):
        return _copied(setup, train, title, stored_side(train)) or manual
    if not any(_same(slot, other) for other in others):
        late = slot.compose is None or any(
            isinstance(one, ast.Call) and called(one) in SIZED
            for one in elements(slot.compose)[in_front(slot.compose) :]
        )
        side = stored_side(train) if late else size
        edits = slot.front(*standard(train, side)) if side else []
        return slot.source.fix(title, *edits) if edits else manual
    made = dataset_call(setup, train)
    mine = made is not None and not any(made == dataset_call(setup, one) for one in setup.evals)
    value = argument(made[1], -1, "transform") if made is not None else None
    if made is None or not mine or value is None:
        return manual
    source, call = made
    meant = augmenting_name(source, call, train.names)
    if meant:
        return source.fix(f"give the training images {meant}", source.replaced(value, meant))
    side = stored_side(train)
    edits = Slot(source, None, value).front(*standard(train, side)) if side else []
    return source.fix(title, *edits) if edits else manual


def _same(one: Slot | None, other: Slot | None) -> bool:
    return one is not None and other is not None and one.compose is other.compose and one.value is other.value


def stored_side(one: Pipeline) -> int | None:
    """Pixels a side of the stored images, if they are square."""
    raw = one.raw
    if raw is None:
        return None
    height, width = raw.shape[2:4] if raw.ndim == 4 and raw.shape[1] in (1, 3) else raw.shape[1:3]
    return int(height) if height == width else None


def subset_statement(setup: Setup, one: Pipeline) -> tuple[Source, str, ast.stmt] | None:
    """The name of the subset that a loader is made of, and the statement that made it."""
    found = loader_call(setup, one)
    if found is None or type(one.loader.dataset).__name__ != "Subset" or one.loader.dataset.dataset is not one.base:  # type: ignore[attr-defined]
        return None
    source, call = found
    expression = dataset_argument(call)
    if not isinstance(expression, ast.Name | ast.Attribute):
        return None
    made = definition(source, expression)
    return (source, source.segment(expression), made) if made is not None else None


def _copied(setup: Setup, train: Pipeline, title: str, side: int | None) -> Fix | None:
    """Where validation shares the data set: a copy of it for training, with transforms of its own."""
    found = subset_statement(setup, train)
    if found is None or side is None:
        return None
    source, name, statement = found
    code = f"transforms.Compose([{', '.join(standard(train, side))}, {name}.dataset.transform])"
    edits = source.after(
        statement,
        f"{name}.dataset = copy.copy({name}.dataset)  # validation keeps its own transforms",
        f"{name}.dataset.transform = {spelled(source, code)}",
    )
    return source.fix(title, edits, source.imported("import copy"), *imported(source, (code,)))


def normalisation(setup: Setup, train: Pipeline, largest: float) -> Fix:
    """Normalises all images, by the statistics of the data or of the weights."""
    title = "normalise by the statistics of " + ("the weights" if setup.pretrained else "the training images")
    known = IMAGENET if setup.pretrained else of_the_data(train)
    known = fitting(known, channels_of(train)) if known is not None else None
    if known is None:
        return Fix(title, code="transforms.Normalize(mean, std)  # of the training images, for each channel")
    if 20 < largest <= 255.5:
        known = tuple(round(255 * v, 1) for v in known[0]), tuple(round(255 * v, 1) for v in known[1])
    code = NORMALIZE.format(mean=known[0], std=known[1])
    slots = slots_of(setup, (train, *setup.evals))
    if slots is None or largest > 255.5:
        return Fix(title, code=code)
    given = next((text for _, slot in slots if (text := _normalize_text(slot))), code)
    edits = [edit for _, slot in slots if not _normalize_text(slot) for edit in slot.behind(given)]
    return slots[0][1].source.fix(title, *edits) if edits else Fix(title, code=code)


def _normalize_text(slot: Slot) -> str:
    made = element_of(slot.source, slot.compose, "Normalize") if slot.compose is not None else None
    return slot.source.segment(made) if made is not None else ""


def statistics_of_the_weights(setup: Setup, train: Pipeline) -> Fix:
    """ImageNet's statistics in every list of transforms; those of grey for images of one channel."""
    title, known = "the statistics of the weights", fitting(IMAGENET, channels_of(train))
    code = NORMALIZE.format(mean=(known or IMAGENET)[0], std=(known or IMAGENET)[1])
    slots = slots_of(setup, (train, *setup.evals))
    if slots is None or known is None:
        return Fix(title, code=code)
    edits: list[Edit] = []
    for _, slot in slots:
        made = element_of(slot.source, slot.compose, "Normalize") if slot.compose is not None else None
        if made is None:
            edits += slot.behind(code)
        else:
            new = f"{slot.source.segment(made.func)}({known[0]}, {known[1]})"
            edits += [one for one in [slot.source.replaced(made, new)] if one not in edits]
    return slots[0][1].source.fix(title, *edits)


def same_preparation(setup: Setup, train: Pipeline, wrong: Sequence[Pipeline]) -> Fix:
    """Evaluation gets training's constants and size; training gets a normalisation that it alone lacks."""
    title = "one preparation for all splits; only what is random belongs to training alone"
    manual = Fix(title, code="transforms.Normalize(mean, std)  # the same in both")
    slots = slots_of(setup, (train, *wrong))
    if slots is None or slots[0][1].compose is None or len(slots) < 2:
        return manual
    mine, edits = slots[0][1], []
    text = _normalize_text(mine)
    for one, slot in slots[1:]:
        made = element_of(slot.source, slot.compose, "Normalize") if slot.compose is not None else None
        if made is None and text and one.constants is None:
            edits += slot.behind(text)
        elif made is not None and text and train.constants != one.constants:
            edits += [slot.source.replaced(made, text)]
        elif made is not None and not text and train.constants is None:
            text = slot.source.segment(made)
            edits += mine.behind(text)
        edits += _same_size(setup, train, one, mine, slot)
    return mine.source.fix(title, *edits) if edits else manual


def _same_size(setup: Setup, train: Pipeline, one: Pipeline, mine: Slot, slot: Slot) -> list[Edit]:
    if train.samples is None or one.samples is None:
        return []
    side, other = int(train.samples[0].shape[-1]), int(one.samples[0].shape[-1])
    if side == other:
        return []
    if other > side and setup.pretrained:
        return mine.front(f"transforms.Resize(({other}, {other}))")
    assert mine.compose is not None
    resize = element_of(mine.source, mine.compose, "Resize")
    exact = resize is not None and mine.source.segment(resize).endswith(f"({side})")
    code = mine.source.segment(resize) if resize is not None and exact else f"transforms.Resize(({side}, {side}))"
    return slot.front(code)


def enlargement(setup: Setup) -> Fix:
    """Images that suit weights made for 224 pixels."""
    title = "enlarge the images, since the weights were made for 224 pixels"
    code = f"transforms.Resize({ENLARGED})"
    manual = Fix(title, code=f"{code},  # or 224: in the transforms of training and of test, before ToTensor")
    pipelines = [one for one in (setup.train, *setup.evals) if one is not None]
    slots = slots_of(setup, pipelines)
    if not slots:
        return manual
    edits: list[Edit] = []
    for _, slot in slots:
        resize = element_of(slot.source, slot.compose, "Resize") if slot.compose is not None else None
        if (
            resize is not None
            and slot.compose is not None
            and any(
                called(one) in SIZED and one is not resize
                for one in elements(slot.compose)
                if isinstance(one, ast.Call)
            )
        ):
            return manual
        edits += (
            [slot.source.replaced(resize, spelled(slot.source, code, slot.compose))] if resize else slot.front(code)
        )
    return slots[0][1].source.fix(title, *edits)


def moderation(setup: Setup, train: Pipeline, strong: Sequence[str]) -> Fix:
    """Takes augmentation that is too strong out, and puts crops with padding for those that cut deep."""
    size = setup.image_size or 32
    code = standard(train, size)
    crop, title = code[0], f"crop with padding{' and flip' if FLIP in code else ''}"
    manual = Fix(title, code=", ".join(code))
    found = compose_of(setup, train)
    if found is None or any(compose_of(setup, one) == found for one in setup.evals):
        return manual
    source, compose = found
    listed = [one for one in elements(compose) if isinstance(one, ast.Call) and called(one) in strong]
    if sorted(called(one) for one in listed) != sorted(strong):
        return manual
    out = [one for one in listed if called(one) != "RandomResizedCrop"]
    edits = taken_out(source, out) if out else []
    if stored_side(train) == size:
        deep = [one for one in listed if called(one) == "RandomResizedCrop"]
        edits += [source.replaced(one, spelled(source, crop, compose)) for one in deep]
        edits += imported(source, (crop,), compose) if deep else []
    elif len(out) < len(listed):
        edits += [
            source.with_keyword(one, "scale", "(0.5, 1.0)") for one in listed if called(one) == "RandomResizedCrop"
        ]
    return source.fix(title, *edits) if edits else manual


def without_chance(source: Source, compose: ast.Call, size: int, stored: int | None) -> str:
    """The code of a list of transforms without what is random in it."""
    listed = elements(compose)
    kept = [one for one in listed if not (isinstance(one, ast.Call) and called(one).startswith(RANDOM))]
    code = [source.segment(one) for one in kept]
    resized = any(isinstance(one, ast.Call) and called(one) in ("Resize", "CenterCrop") for one in kept)
    if stored != size and not resized:
        code.insert(0, spelled(source, f"transforms.Resize(({size}, {size}))", compose))
    return f"{source.segment(compose.func)}([{', '.join(code)}])"


def plain_transform(source: Source, call: ast.Call, one: Pipeline, setup: Setup) -> str:
    """Code for the transforms that a data set's images need when they are evaluated; "" where it is unknown."""
    name = plain_name(source, call)
    if name:
        return name
    found = compose_of(setup, one)
    size = int(one.samples[0].shape[-1]) if one.samples is not None else 0
    return without_chance(*found, size, stored_side(one)) if found is not None and found[0] is source and size else ""
