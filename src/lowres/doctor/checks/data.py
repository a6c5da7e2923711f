"""DA2: transforms, order and pixels of the training images."""

import numpy as np
import torch
from torch.utils.data import default_collate

from lowres.doctor.findings import Found, Place, check
from lowres.doctor.pixels import smoother_layout
from lowres.doctor.remedies.pixels import transposed
from lowres.doctor.remedies.splits import fresh, shuffled, transform_assigned
from lowres.doctor.remedies.transform_lists import compose_of
from lowres.doctor.remedies.transforms import augmentation, gains_little, moderation, normalisation
from lowres.doctor.setup import Setup


def in_loop(setup: Setup) -> bool:
    """Whether the loop changes training images between loader and network."""
    return any(one.from_loader is not None for one in setup.samples_of("training"))


def least_and_greatest(setup: Setup) -> tuple[float, float] | None:
    """Of what the first layer with weights, or pool, is given: the network may prepare images itself; None: unknown."""
    layers = setup.network.layers if setup.network is not None else ()
    return (layers[0].least, layers[0].greatest) if layers else None


def assigned_transform(setup: Setup) -> Place | None:
    """Where the source says `X.dataset.transform = ...`."""
    found = transform_assigned(setup)
    return Place(found[0].path, found[1]) if found is not None else None


@check(
    "DA201",
    "no augmentation",
    grade="warning",
    kind="C05",
    cost=(0.5, 20),
    source="public cases: 8 to 14 points on CIFAR-10, 15 to 30 on CIFAR-100; half a point on digits, an estimate",
)
def no_augmentation(setup: Setup) -> Found | None:
    """The same training image comes out alike each time it is fetched.

    Images are fetched four times each and compared, whatever classes do it. Silent where the loop itself changes
    them on the way to the network, where a collate function of the program's makes the batches, where images are few
    on purpose (fewer than 200), and where random transforms are there but their result is kept: DA211. A note of half
    a point for images of one channel, unless they are CIFAR's or STL's made grey, and for digits, letters and signs,
    which are told by their data set's name: they are cropped alone, since in a mirror they are no more what they were.
    """
    train = setup.train
    if train is None or train.varies is not False or in_loop(setup) or train.random_names:
        return None
    if (train.size or 0) < 200 or train.loader.collate_fn is not default_collate:
        return None
    if assigned_transform(setup) is not None and any(one.base is train.base for one in setup.evals):
        return None  # DA203 speaks: the transform went to both splits
    classes = setup.classes or 10
    fits = setup.image_size is not None and setup.image_size < 256
    listed, little = compose_of(setup, train), gains_little(train)
    return Found(
        "training images are the same in every epoch: nothing crops, "
        + ("shifts or changes them (images like these gain little by it)" if little else "flips or changes them"),
        {"fetches_compared": 24, "different": 0, "transforms": train.names},
        cost=0.5 if little else (20.0 if classes >= 100 else 10.0) if fits else 8.0,
        grade="note" if little else None,
        place=Place(listed[0].path, listed[1].lineno) if listed is not None else train.place,
        fix=augmentation(setup, train),
    )


@check(
    "DA206",
    "images in order of their classes",
    grade="error",
    kind="C18",
    cost=(0, 60),
    source="public cases: sorted folders collapse; CIFAR's own order is random already",
)
def unshuffled(setup: Setup) -> Found | None:
    """Training images come in a fixed order.

    Graded by what it does, not by the option: the mix of classes in the first 20 batches is measured against random
    order. Less than half as mixed is an error (batches of one class or two); a mixed but fixed order, as in
    torchvision's CIFAR, is a note of half a point. Iterable data sets shuffle themselves, samplers too, and batch
    samplers as the sampler in them does, or if they have none by themselves.
    """
    train = setup.train
    if train is None or train.random_order or train.size is None or train.size < 100:
        order = (
            train.order
            if train is not None and train.size and type(train.sampler).__name__ != "RandomSampler"
            else None
        )
        if order is None or order >= 0.5:
            return None
    assert train is not None
    order = train.order
    if not hasattr(train.loader.dataset, "__getitem__"):
        return None
    sorted_ = order is not None and order < 0.5
    return Found(
        "training batches hold one class or two: images come sorted by class"
        if sorted_
        else "training images come in the same order in every epoch"
        + (" (the classes are mixed, so it costs little)" if order is not None else ""),
        {"mix_of_classes": order, "sampler": type(train.sampler or train.loader.batch_sampler).__name__},
        cost=50.0 if sorted_ else 0.5,
        grade="error" if sorted_ else "note" if order is not None and order > 0.8 else "warning",
        place=train.place,
        fix=shuffled(setup, train),
    )


@check(
    "DA209",
    "scrambled pixels",
    grade="error",
    kind="C26",
    cost=(2, 15),
    source="public cases; neighbouring pixels measured on CIFAR-10",
)
def scrambled(setup: Setup) -> Found | None:
    """Neighbouring pixels differ far more than in photographs, and another memory layout makes them agree.

    The mean difference of neighbours over at least 64 stored images is compared with that of the same bytes read as
    other layouts (reshaped where they had to be transposed, and the reverse). Speaks where one of them is 1.5 times
    smoother. Made-up images are not judged.
    """
    if setup.made_up:
        return None
    for one in (setup.train, *setup.evals):
        raw = one.raw if one is not None else None
        if one is None or raw is None or raw.ndim != 4 or len(raw) < 64:
            continue
        at = np.linspace(0, len(raw) - 1, 128).astype(int)
        found = smoother_layout(raw[at])
        if found is not None:
            name, factor = found
            return Found(
                f"pixels of the {one.role} images are scrambled: read as {name} they are {factor:.1f} times smoother",
                {"smoother": factor, "layout": name},
                cost=8.0,
                fix=transposed(setup, one),
            )
    return None


@check(
    "DA210",
    "scale of the inputs",
    grade="note",
    kind="C10",
    cost=(0, 10),
    source="public cases: no measurable effect behind batch norm; 1 to 5 points without; 10 are an estimate of pixels "
    "up to 255 without",
)
def scale(setup: Setup) -> Found | None:
    """Inputs are not centred, not scaled, or scaled by other constants than the data's.

    A note where a norm follows the first layers, as it does in most networks: seven public cases found no effect.
    A warning where inputs reach beyond 20 and nothing normalises them, an error where the network has no norm at
    all then. Silent where the network itself scales or centres them before its first layer: what that is given
    lies below zero, or within 20.
    """
    train, samples = setup.train, setup.samples_of("training")
    if train is None or not samples or not samples[0].inputs.is_floating_point() or samples[0].inputs.dim() != 4:
        return None
    inputs = torch.cat([one.inputs for one in samples if one.inputs.shape[1:] == samples[0].inputs.shape[1:]]).double()
    mean, std = inputs.mean(dim=(0, 2, 3)), inputs.std(dim=(0, 2, 3))
    largest, first = float(inputs.abs().max()), least_and_greatest(setup)
    if first is not None and (first[0] < -0.05 <= float(inputs.min()) or max(map(abs, first)) <= 20 < largest):
        return None
    normed = setup.network is not None and setup.network.norms > 0 and not setup.network.attention
    shown = {"mean": mean.tolist(), "std": std.tolist(), "largest": largest}
    listed = compose_of(setup, train)
    place = Place(listed[0].path, listed[1].lineno) if listed is not None else None
    fix = normalisation(setup, train, largest)
    if largest > 20:
        return Found(
            f"inputs reach {largest:.0f}: pixels are not scaled",
            shown,
            cost=0.5 if normed else 10.0,
            grade="warning" if normed else "error",
            place=place,
            fix=fix,
        )
    if train.constants is None and not in_loop(setup) and float(inputs.min()) >= 0 and float(mean.min()) > 0.2:
        return Found(
            "inputs are not normalised: pixels from 0 to 1 as they come",
            shown,
            cost=0.5 if normed else 1.5,
            grade="note" if normed else "warning",
            place=place,
            fix=fix,
        )
    return None


@check("DA211", "augmentation drawn once", grade="error", kind="C28", cost=(1, 4), source="estimate of the catalogue")
def frozen(setup: Setup) -> Found | None:
    """Random transforms are there, and yet an image comes out alike each time: their result is kept.

    The same positions are fetched four times. A cache of images from before the random transforms is fine, and is
    not seen here.
    """
    train = setup.train
    if train is None or not train.random_names or train.varies is not False or in_loop(setup):
        return None
    chances = [getattr(one, "p", 1.0) for one in train.transforms if type(one).__name__ in train.random_names]
    if max((float(p) for p in chances if isinstance(p, int | float)), default=1.0) < 0.3:
        return None
    return Found(
        f"{', '.join(train.random_names[:2])} are drawn once: an image looks the same at each fetch",
        {"transforms": train.random_names, "fetches_compared": 24},
        cost=4.0,
        place=train.place,
        fix=fresh(setup, train),
    )


@check(
    "DA212",
    "augmentation too strong",
    grade="warning",
    kind="C30",
    cost=(2, 6),
    source="estimate of the catalogue, public cases",
)
def strong(setup: Setup) -> Found | None:
    """Transforms take away more than small images have: crops to 8 %, quarter turns, full colour jitter.

    Speaks of `RandomResizedCrop` whose scale begins below 0.2 on images of at most 64 pixels, of rotations beyond 45
    degrees, and of colour jitter of 0.8 or more. Transformers from scratch and long trainings (300 epochs) bear
    more, and are left alone.
    """
    train = setup.train
    size = setup.image_size or 32
    if train is None or size > 64:
        return None
    heavy = (setup.network is not None and setup.network.attention) or (setup.epochs or 0) >= 300
    found: dict[str, object] = {}
    for one in train.transforms:
        name = type(one).__name__
        if name == "RandomResizedCrop" and min(getattr(one, "scale", (1,))) < 0.2:
            found["RandomResizedCrop, scale from"] = float(min(one.scale))
        elif name == "RandomRotation" and max(abs(float(d)) for d in one.degrees) > 45:
            found["RandomRotation, degrees"] = max(abs(float(d)) for d in one.degrees)
        elif name == "ColorJitter":
            most = max((abs(float(v[1]) - 1) for v in (one.brightness, one.contrast, one.saturation) if v), default=0.0)
            if most >= 0.8:
                found["ColorJitter"] = most
    if not found or heavy:
        return None
    return Found(
        "augmentation is too strong for small images: " + ", ".join(f"{k} {v:g}" for k, v in found.items()),
        found,
        cost=5.0,
        place=train.place,
        fix=moderation(setup, train, [name.partition(",")[0] for name in found]),
    )
