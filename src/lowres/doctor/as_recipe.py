"""The training that a report describes, mended, as a recipe of lowres; and what of it a recipe cannot say."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lowres.data import Augmentation
from lowres.doctor.findings import Finding
from lowres.doctor.namesake import Namesake, namesake
from lowres.doctor.report import Report
from lowres.errors import UserError
from lowres.recipes import Optimizer, Recipe, Schedule

DATA = {"CIFAR10": "cifar10", "CIFAR100": "cifar100"}
PLAIN = (
    "Compose",
    "ToTensor",
    "ToImage",
    "PILToTensor",
    "ToDtype",
    "ConvertImageDtype",
    "Normalize",
    "Resize",
    "ToPILImage",
)
CARRIED = ("RandomCrop", "RandomHorizontalFlip", "ColorJitter")
ENLARGED = 96
"""Side in pixels from which on enlarged images are kept; below it the network is made one for small images."""


@dataclass(frozen=True)
class Prescription:
    """A recipe and what it changes.

    Attributes:
        recipe: To train.
        lines: What could not be carried over, or was mended on the way, a line each.
    """

    recipe: Recipe
    lines: tuple[str, ...]


def prescribe(report: Report, name: str) -> Prescription:
    """The recipe of a report.

    Args:
        report: Of a script.
        name: What to call the recipe.

    Raises:
        UserError: The network is none that lowres can build, or the data none that it reads.
    """
    seen = report.seen
    if report.problem:
        raise UserError(f"no recipe: {report.problem}")
    if "network" not in seen or "train" not in seen or "optimizer" not in seen:
        raise UserError("no recipe: network, training images and optimizer were not all seen")
    lines: list[str] = []
    found = {one.code: one for one in report.findings if one.grade != "note"}
    changed = _proposed(found.values())
    data = _data(seen["train"])
    smoothing = seen.get("loss", {}).get("label_smoothing", 0.0)
    known = namesake(seen["network"], seen["classes"] or 10)
    recipe = Recipe(
        name=name,
        model=known.model,
        model_options=known.options,
        data=data,
        epochs=_epochs(seen, found, lines),
        batch_size=int(_set("batch_size", seen["train"]["batch_size"] or 128, changed, lines)),
        held_out=_held_out(seen["train"], data),
        augmentation=_augmentation(seen["train"], found, lines),
        optimizer=_optimizer(seen["optimizer"], seen, changed, lines),
        schedule=_schedule(seen, found, lines),
        label_smoothing=float(_set("label_smoothing", smoothing, changed, lines)),
        clip=0.0 if "TR524" in found or not math.isfinite(seen.get("clip", 0.0)) else seen.get("clip", 0.0),
    )
    recipe = _small_images(recipe, known, seen["network"], found, lines)
    recipe = _constants(recipe, seen["train"], found)
    lines += [f"{one.code}, {one.title}: has no place in a recipe" for one in found.values() if _unheard(one)]
    return Prescription(recipe, tuple(lines))


MENDED = ("AR", "DA20", "DA21", "LR", "TR50", "TR51", "TR52", "TR53", "EV", "LO30", "HO")
"""How codes begin whose faults lowres's own loop, loader and evaluation do not have."""
VALUES = ("AR109", "LR101", "LR102", "LR111", "TR501", "TR502", "TR503", "TR505")
"""Faults of a number or of the optimizer, which a recipe would have as well: their findings propose others."""


def _unheard(finding: Finding) -> bool:
    if finding.code in VALUES:
        return not _values(finding)
    return not finding.code.startswith(MENDED) or (finding.code == "TR531" and "full_recipe" not in finding.evidence)


def _values(finding: Finding) -> dict[str, Any]:
    """What a fix sets."""
    return dict(finding.evidence.get("proposed") or {})


def _proposed(findings: Iterable[Finding]) -> dict[str, Any]:
    """What the fixes set. The costliest counts, and those of another optimizer before those of the present one."""
    ranked = sorted(map(_values, findings), key=lambda one: "optimizer" not in one)
    kind = ranked[0].get("optimizer") if ranked else None
    fitting = [one for one in ranked if one.get("optimizer", kind) == kind]
    return {name: value for one in reversed(fitting) for name, value in one.items() if value is not None}


def _set(name: str, own: Any, changed: Mapping[str, Any], lines: list[str]) -> Any:
    """A value of the script's own, or what the findings say."""
    value = changed.get(name, own)
    if value != own:
        lines.append(f"{name.replace('_', ' ')}: {value:g} instead of {own:g}, as the findings say")
    return value


def _data(train: Mapping[str, Any]) -> str:
    if train["data"] in DATA:
        return DATA[train["data"]]
    if train["data"] == "ImageFolder" and train.get("root"):
        root = Path(train["root"])
        return f"folder:{root.parent if root.name == 'train' else root}"
    raise UserError(f"no recipe: lowres reads CIFAR-10, CIFAR-100 and folders of images, and this is {train['data']}")


def _held_out(train: Mapping[str, Any], data: str) -> int:
    """Images of a data set's training part that the training leaves out."""
    whole, used = train.get("of"), train["images"]
    return whole - used if data in DATA.values() and whole and used and whole == 50_000 > used else 0


def _epochs(seen: Mapping[str, Any], found: Mapping[str, Any], lines: list[str]) -> int:
    epochs = seen["epochs"]
    asked = found["TR531"].evidence.get("full_recipe") if "TR531" in found else None
    if asked is not None:
        lines.append(f"epochs: {asked} instead of {epochs} (TR531)")
        return int(asked)
    if epochs is None:
        lines.append("epochs: the script's own could not be seen; 60")
    return max(1, epochs or 60)


def _augmentation(train: Mapping[str, Any], found: Mapping[str, Any], lines: list[str]) -> Augmentation:
    lost = [one for one in train["transforms"] if one not in (*PLAIN, *CARRIED)]
    lines += [f"augmentation: {one} has no place in a recipe" for one in dict.fromkeys(lost)]
    if any(code in found for code in ("DA201", "DA202", "DA211")):
        lines.append("augmentation: crop and flip of training images (DA201)")
        return Augmentation()
    crop = train.get("crop")
    return Augmentation(
        crop=min(int(crop), 8) if crop is not None else 4 if any(_crops(one) for one in lost) else 0,
        padding="reflect" if "reflect" in str(train.get("padding")) else "zero",
        flip="random" if train.get("flip") else "none",
        jitter=min(1.0, max(0.0, train.get("jitter") or 0.0)),
    )


def _crops(transform: str) -> bool:
    """Whether a transform crops at random, as `RandomResizedCrop` does and `CenterCrop` does not."""
    return transform.startswith("Random") and "Crop" in transform


def _optimizer(
    options: Mapping[str, Any], seen: Mapping[str, Any], changed: Mapping[str, Any], lines: list[str]
) -> Optimizer:
    kind = str(changed.get("optimizer", options["class"]))
    if kind not in ("SGD", "Adam", "AdamW"):
        lines.append(f"optimizer: SGD at 0.1 instead of {kind}, which a recipe does not know")
        return Optimizer(weight_decay=5e-4)
    if kind != options["class"]:
        lines.append(f"optimizer: {kind} instead of {options['class']}, as the findings say")
    rate, decay = float(seen.get("rates", {}).get("peak") or options["lr"]), float(options["weight_decay"])
    names = ("lr", "momentum", "weight_decay") if kind == "SGD" else ("lr", "weight_decay")
    lines += [f"optimizer: {name} {changed[name]:g}, as the findings say" for name in names if name in changed]
    rate, decay = float(changed.get("lr", rate)), float(changed.get("weight_decay", decay))
    where = "kernels" if options.get("spared") else "all"
    if kind in ("Adam", "AdamW"):
        if kind == "Adam" and decay > 0:
            lines.append("optimizer: AdamW instead of Adam, whose weight decay goes through its gradients")
        betas = (float(options["betas"][0]), float(options["betas"][1]))
        return Optimizer("adamw", rate, weight_decay=decay, decay=where, betas=betas, eps=float(options["eps"]))  # type: ignore[arg-type]
    momentum = float(changed.get("momentum", options.get("momentum", 0.0)))
    nesterov = bool(options.get("nesterov")) and momentum > 0
    return Optimizer("sgd", rate, momentum, nesterov, decay, where)  # type: ignore[arg-type]


def _schedule(seen: Mapping[str, Any], found: Mapping[str, Any], lines: list[str]) -> Schedule:
    wrong = [code for code in found if code.startswith("LR") and code not in VALUES]
    if wrong:
        lines.append(f"schedule: a cosine to zero ({', '.join(wrong)})")
        return Schedule("cosine")
    shape = seen.get("rates", {}).get("schedule")
    if shape is None:
        lines.append("schedule: a cosine to zero; the script's own is none that a recipe knows")
        return Schedule("cosine")
    return Schedule(**{**shape, "milestones": tuple(shape["milestones"])})


def _small_images(
    recipe: Recipe, known: Namesake, network: Mapping[str, Any], found: Mapping[str, Any], lines: list[str]
) -> Recipe:
    """How an ImageNet network gets small images: adapted to them, or with the images enlarged."""
    side = max(network["first_map"] or [network["image_size"] or 32])
    own = 32 if recipe.data in DATA.values() else network["image_size"] or 32
    recipe = replace(recipe, image_size=max(8, own))
    if ":" not in known.model:
        return recipe
    pretrained = bool(network["pretrained"])
    recipe = replace(recipe, pretrained=pretrained, normalise="auto" if pretrained else "data")
    if known.small or "AR101" in found or own < side < ENLARGED:
        if side > own:
            lines.append(f"images stay at {own} pixels instead of {side}: the network is made one for them")
        return replace(recipe, adapt=True)
    return replace(recipe, upsample=side) if side > own else recipe


def _constants(recipe: Recipe, train: Mapping[str, Any], found: Mapping[str, Any]) -> Recipe:
    """The script's own mean and deviation, where nothing is wrong with them."""
    mean, std = train.get("mean"), train.get("std")
    doubtful = recipe.pretrained or any(code.startswith("DA21") or code.startswith("DA22") for code in found)
    if doubtful or not mean or not std or len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        return recipe
    return replace(recipe, mean=tuple(map(float, mean)), std=tuple(map(float, std)))
