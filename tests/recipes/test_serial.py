import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowres.data import Augmentation
from lowres.errors import UserError
from lowres.recipes import (
    Optimizer,
    Recipe,
    Schedule,
    differences,
    fingerprint,
    from_dict,
    list_recipes,
    load_recipe,
    read,
    to_dict,
)

below_one = st.floats(0, 1, exclude_max=True)
share = st.floats(0, 1)
positive = st.floats(0, 1e6, exclude_min=True)
options = st.dictionaries(
    st.sampled_from(["shortcut", "channels", "α"]),
    st.text(max_size=3) | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.booleans(),
)
augmentations = st.builds(
    Augmentation,
    crop=st.integers(0, 8),
    padding=st.sampled_from(["zero", "reflect"]),
    flip=st.sampled_from(["none", "random", "alternating"]),
    cutout=st.integers(0, 16),
    mixup=st.floats(0, 4),
    mixup_labels=st.sampled_from(["mixed", "dominant"]),
    mixup_beta=st.floats(0, 4),
    cutmix=st.floats(0, 4),
    jitter=share,
)
optimizers = st.builds(
    Optimizer,
    name=st.sampled_from(["sgd", "adamw", "muon"]),
    lr=positive,
    momentum=st.floats(0.01, 1, exclude_max=True),
    nesterov=st.booleans(),
    weight_decay=st.floats(0, 1e3),
    decay=st.sampled_from(["all", "kernels"]),
    betas=st.tuples(below_one, below_one),
    eps=positive,
    muon_lr=positive,
    muon_momentum=below_one,
)
schedules = st.builds(
    Schedule,
    name=st.sampled_from(["multistep", "cosine", "triangle", "constant"]),
    warmup=below_one,
    warmup_start=share,
    warmup_shape=st.sampled_from(["linear", "constant"]),
    milestones=st.lists(st.floats(0.01, 0.99), max_size=3, unique=True).map(sorted).map(tuple),
    gamma=st.floats(0.01, 1),
    final=share,
)
statistics = st.none() | st.tuples(*[st.floats(0.01, 1)] * 3)


@st.composite
def any_recipe(draw):
    mean, std = draw(statistics), draw(statistics)
    return Recipe(
        name=draw(st.text(max_size=5).filter(str.strip)),
        model=draw(st.sampled_from(["resnet20", "resnet32"])),
        model_options=draw(options),
        data=draw(st.sampled_from(["cifar10", "digits", "folder:Bilder/Küche"])),
        image_size=draw(st.integers(8, 64)),
        held_out=draw(st.integers(0, 5000)),
        mean=mean if std else None,
        std=std if mean else None,
        augmentation=draw(augmentations),
        optimizer=draw(optimizers),
        schedule=draw(schedules),
        epochs=draw(st.integers(1, 300)),
        batch_size=draw(st.integers(4, 512)),
        accumulate=draw(st.integers(1, 4)),
        label_smoothing=draw(below_one),
        clip=draw(st.floats(0, 10)),
        ema=draw(below_one),
        precision=draw(st.sampled_from(["auto", "fp32", "bf16", "fp16"])),
        channels_last=draw(st.sampled_from([None, True, False])),
        compile=draw(st.booleans()),
        seed=draw(st.integers(0, 2**32 - 1)),
    )


def test_what_fingerprints_tell_apart_differs():
    a, b = (Recipe(model="speednet_94", model_options={"width": width}) for width in (2, 2.0))
    assert fingerprint(a) != fingerprint(b)
    assert differences(a, b) == {"model_options.width": (2, 2.0)}


@settings(deadline=None)
@given(any_recipe())
def test_a_recipe_goes_through_json_unchanged(recipe):
    back = from_dict(json.loads(json.dumps(to_dict(recipe))))
    assert back == recipe
    assert fingerprint(back) == fingerprint(recipe)
    assert differences(back, recipe) == {}


def test_fields_that_came_later_leave_the_fingerprints_of_before():
    # Cells of ladders and runs under way are known by these.
    recipe = load_recipe("resnet20")
    assert fingerprint(recipe) == "b5e8506265048d6dfaae33e6a9fd1cbc246d0bdcc1a9d6e667844bebf5e15b99"
    later = {"adapt": True, "stem": "crop", "pretrained": True, "weights": "a", "upsample": 64, "normalise": "auto"}
    later |= {"first_rate": 0.5, "head_epochs": 1, "probe": True}
    prints = {fingerprint(dataclasses.replace(recipe, **{name: value})) for name, value in later.items()}
    assert len(prints | {fingerprint(recipe)}) == len(later) + 1


@pytest.mark.parametrize("name", list_recipes())
def test_every_recipe_of_the_catalogue_is_read_back(name, tmp_path):
    (tmp_path / "mine.json").write_text(json.dumps(to_dict(load_recipe(name))), encoding="utf-8")
    assert read(tmp_path / "mine.json") == load_recipe(name)


def test_every_field_is_written_and_what_is_left_out_has_its_default():
    assert set(to_dict(Recipe())) == {field.name for field in dataclasses.fields(Recipe)}
    assert from_dict({}) == Recipe()
    assert from_dict({"optimizer": {"lr": 0.3}}) == Recipe(optimizer=Optimizer(lr=0.3))


@pytest.mark.parametrize(
    ("whole", "real"),
    [
        (Recipe(clip=1), Recipe(clip=1.0)),
        (Recipe(optimizer=Optimizer(lr=1, weight_decay=0)), Recipe(optimizer=Optimizer(lr=1.0, weight_decay=0.0))),
        (Recipe(augmentation=Augmentation(cutmix=1)), Recipe(augmentation=Augmentation(cutmix=1.0))),
        (Recipe(mean=(0, 0, 0), std=(1, 1, 1)), Recipe(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))),
    ],
    ids=["clip", "optimizer", "augmentation", "statistics"],
)
def test_a_whole_number_in_place_of_a_real_one_is_the_same_recipe(whole, real):
    """As people write them in Python: a run of such a recipe, read back from its folder, has to be resumable."""
    assert whole == real
    assert fingerprint(whole) == fingerprint(real)
    assert fingerprint(from_dict(to_dict(whole))) == fingerprint(whole)


def leaves(kind, prefix=()):
    for field in dataclasses.fields(kind):
        part = {"augmentation": Augmentation, "optimizer": Optimizer, "schedule": Schedule}.get(field.name)
        if part is not None and not prefix:
            yield from leaves(part, (field.name,))
        elif field.name not in ("mean", "std"):  # which come together, below
            yield (*prefix, field.name)


def get(recipe, path):
    for name in path:
        recipe = getattr(recipe, name)
    return recipe


def put(recipe, path, value):
    head, *rest = path
    return dataclasses.replace(recipe, **{head: put(getattr(recipe, head), rest, value) if rest else value})


@pytest.mark.parametrize("path", list(leaves(Recipe)), ids=".".join)
@settings(max_examples=12, deadline=None)
@given(st.data())
def test_the_fingerprint_ignores_the_name_and_nothing_else(path, data):
    a, b = data.draw(any_recipe()), data.draw(any_recipe())
    try:
        changed = put(a, path, get(b, path))
    except UserError:  # not possible beside the other values
        return
    if path == ("name",) or changed == a:
        assert fingerprint(changed) == fingerprint(a)
        assert differences(a, changed) == {}
    else:
        assert fingerprint(changed) != fingerprint(a)
        key = ".".join(path)
        different = differences(a, changed)
        if path == ("model_options",):
            assert all(name.startswith("model_options.") for name in different)
        else:
            values = [get(recipe, path) for recipe in (a, changed)]
            assert different == {key: tuple(list(v) if isinstance(v, tuple) else v for v in values)}


def test_given_statistics_are_part_of_the_fingerprint():
    given_ones = Recipe(mean=(0.5,) * 3, std=(0.25,) * 3)
    assert len({fingerprint(r) for r in (Recipe(), given_ones, Recipe(mean=(0.5,) * 3, std=(0.2,) * 3))}) == 3
    assert differences(Recipe(), given_ones) == {"mean": (None, [0.5] * 3), "std": (None, [0.25] * 3)}


def test_a_fingerprint_is_a_sha256_that_stays_the_same_between_versions():
    """Checkpoints hold it: if this changes, runs that were interrupted before the change cannot be resumed."""
    digest = fingerprint(Recipe())
    assert len(digest) == 64
    assert int(digest, 16) > 0
    assert digest == fingerprint(Recipe(name="another"))


def test_differences_name_the_field_and_both_values():
    plain, replicated = load_recipe("resnet20"), load_recipe("resnet20-cosine")
    assert differences(plain, replicated) == {
        "model_options.shortcut": (None, "B"),
        "held_out": (5000, 0),
        "schedule.name": ("multistep", "cosine"),
        "epochs": (182, 200),
    }
    assert differences(replicated, plain)["model_options.shortcut"] == ("B", None)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"epohcs": 3}, "unknown field in mine.json: 'epohcs': did you mean 'epochs'?"),
        ({"optimizer": {"lrr": 1}}, "unknown field in mine.json: 'optimizer.lrr': did you mean 'optimizer.lr'?"),
        ({"schedule": {"milestone": []}}, "did you mean 'schedule.milestones'?"),
        ({"epochs": "3"}, "mine.json: epochs is '3', but must be int"),
        ({"epochs": 3.5}, "mine.json: epochs is 3.5, but must be int"),
        ({"epochs": True}, "mine.json: epochs is True, but must be int"),
        ({"epochs": None}, "mine.json: epochs is None, but must be int"),
        ({"clip": True}, "mine.json: clip is True, but must be float"),
        ({"clip": "1"}, "mine.json: clip is '1', but must be float"),
        ({"compile": 1}, "mine.json: compile is 1, but must be bool"),
        ({"name": 3}, "mine.json: name is 3, but must be str"),
        ({"channels_last": "yes"}, "mine.json: channels_last is 'yes', but must be bool or null"),
        ({"precision": "fp8"}, "mine.json: precision is 'fp8', but must be one of auto, fp32, bf16, fp16"),
        ({"optimizer": {"name": ["sgd"]}}, "mine.json: optimizer.name is ['sgd'], but must be one of sgd, adamw, muon"),
        ({"optimizer": "sgd"}, "mine.json: optimizer is 'sgd', but must be an object of fields"),
        ({"optimizer": {"betas": 0.9}}, "mine.json: optimizer.betas is 0.9, but must be a list"),
        ({"optimizer": {"betas": [0.9]}}, "mine.json: optimizer.betas is [0.9], but must be a list of 2"),
        ({"optimizer": {"betas": [0.9, "x"]}}, "mine.json: optimizer.betas is 'x', but must be float"),
        ({"mean": 0.5}, "mine.json: mean is 0.5, but must be "),
        ({"model_options": ["shortcut"]}, "mine.json: model_options is ['shortcut'], but must be an object"),
        ({"model_options": {"shortcut": None}}, "mine.json: model_options.shortcut is None, but must be "),
        ({"epochs": 0}, "epochs is 0, but must be at least 1"),
        ({"optimizer": {"lr": -1.0}}, "optimizer.lr is -1.0, but must be above 0"),
        ({"augmentation": {"crop": -1}}, "augmentation.crop is -1"),
        ({"augmentation": {"flip": "vertical"}}, "mine.json: augmentation.flip is 'vertical', but must be one of none"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_with_its_place(values, says):
    with pytest.raises(UserError) as error:
        from_dict(values, "mine.json")
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "values",
    [{"epochs": 0}, {"optimizer": {"lr": -1.0}}, {"augmentation": {"crop": -1}}, {"mean": [0.5]}],
    ids=str,
)
def test_a_value_out_of_range_is_said_with_the_file_it_is_in(values):
    with pytest.raises(UserError, match=r"mine\.json"):
        from_dict(values, "mine.json")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "mine.json is not JSON"),
        (b'{"epochs": 3', "mine.json is not JSON: Expecting ',' delimiter at line 1, column 13"),
        (b"[]", "holds no recipe: expected an object of fields, found list"),
        (b"3", "holds no recipe: expected an object of fields, found int"),
        (b'{"name": "\xff"}', "cannot read the recipe file"),
        (b"[" * 200_000, "mine.json"),
        (b'{"epochs": ' + b"1" * 5000 + b"}", "mine.json"),
        (b'{"epochs": 1e400}', "mine.json: epochs is inf, but must be int"),
    ],
    ids=["empty", "cut short", "list", "number", "Latin-1", "nested deep", "long number", "infinite"],
)
def test_a_file_that_is_no_recipe_is_refused_in_one_line(content, says, tmp_path):
    (tmp_path / "mine.json").write_bytes(content)
    with pytest.raises(UserError) as error:
        read(tmp_path / "mine.json")
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


def test_a_file_that_windows_marked_as_utf_8_is_read(tmp_path):
    (tmp_path / "mine.json").write_bytes(b'\xef\xbb\xbf{"epochs": 3}')
    assert read(tmp_path / "mine.json") == Recipe(epochs=3)


def test_a_file_that_a_shell_wrote_as_utf_16_is_read(tmp_path):
    (tmp_path / "mine.json").write_text('{"epochs": 3, "name": "größe"}', encoding="utf-16")
    assert read(tmp_path / "mine.json") == Recipe(epochs=3, name="größe")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"no recipe file .*mine\.json; `lowres recipes` lists the built-in ones"):
        read(tmp_path / "mine.json")
    with pytest.raises(UserError, match="cannot read the recipe file"):
        read(tmp_path)


def test_a_field_that_stands_twice_in_a_file_is_refused(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text('{"epochs": 3, "optimizer": {"lr": 0.1, "lr": 0.2}}', encoding="utf-8")
    with pytest.raises(UserError, match="'lr' stands twice in one object"):
        read(path)


def test_a_field_that_came_later_leaves_older_fingerprints_as_they_were():
    """Of the catalogue before `tta` and the others came; runs, ladders and weights are found by them."""
    assert fingerprint(load_recipe("resnet20")) == "b5e8506265048d6dfaae33e6a9fd1cbc246d0bdcc1a9d6e667844bebf5e15b99"
    assert fingerprint(load_recipe("resnet20-quick")) == (
        "f5438ac793b5b6b54ef083a471751ead8b8fe52ed526d3331cc243ab41d545c2"
    )


@pytest.mark.parametrize(
    ("field", "value"), [("tta", "mirror"), ("tta_below", 0.5), ("evaluate_every", 0), ("deterministic", False)]
)
def test_a_field_that_came_later_counts_where_it_says_something(field, value):
    assert fingerprint(dataclasses.replace(Recipe(), **{field: value})) != fingerprint(Recipe())


def test_a_part_of_a_recipe_has_later_fields_too():
    faster = dataclasses.replace(Recipe(), optimizer=Optimizer(bias_rate=16.0))
    assert fingerprint(faster) != fingerprint(Recipe())
