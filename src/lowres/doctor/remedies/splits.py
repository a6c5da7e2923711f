"""Fixes of which images are trained and evaluated on, in what order, with what labels."""

import ast

from torch.utils.data import Dataset

from lowres.doctor.findings import Fix
from lowres.doctor.pipeline import RANDOM, Pipeline
from lowres.doctor.remedies.origins import (
    argument,
    chain,
    dataset_argument,
    dataset_call,
    loader_call,
    name_in_reach,
    targets,
)
from lowres.doctor.remedies.scopes import home
from lowres.doctor.remedies.transform_lists import elements, imported, resolved
from lowres.doctor.remedies.transforms import plain_transform, subset_statement
from lowres.doctor.setup import Setup
from lowres.doctor.source import Source, called, last_name

SORTS = ("argsort", "sorted")


def shuffled(setup: Setup, train: Pipeline) -> Fix:
    """Training images in another order in each epoch."""
    title, found = "shuffle the training images", loader_call(setup, train)
    manual = Fix(title, code="DataLoader(train_set, batch_size, shuffle=True)")
    if found is None:
        return manual
    source, call = found
    if any(one.arg in ("sampler", "batch_sampler", None) for one in call.keywords):
        return manual
    given = argument(call, 2, "shuffle")
    if given is not None and not any(one.arg == "shuffle" for one in call.keywords):
        return source.fix(title, source.replaced(given, "True"))
    return source.fix(title, source.with_keyword(call, "shuffle", "True"))


def each_image_once(setup: Setup, one: Pipeline) -> Fix:
    """An evaluation loader that leaves nothing out."""
    title, found = "each image once", loader_call(setup, one)
    manual = Fix(title, code="DataLoader(test_set, batch_size, shuffle=False, drop_last=False)")
    if found is None or not one.loader.drop_last:
        return manual
    source, call = found
    if not any(keyword.arg == "drop_last" for keyword in call.keywords):
        return manual
    train = loader_call(setup, setup.train)
    if train is not None and train[1] is call:
        return manual  # one call makes both
    return source.fix(title, source.with_keyword(call, "drop_last", "False"))


def own_transform(setup: Setup, one: Pipeline) -> Fix:
    """Evaluation images that nothing random happens to."""
    title = "a data set of its own with the test transform"
    manual = Fix(title, code="val_set = Subset(CIFAR10(root, train=True, transform=test_transform), indices)")
    found, made = loader_call(setup, one), dataset_call(setup, one)
    if found is None or made is None:
        return manual
    source, loader = found
    for expression in chain(source, dataset_argument(loader)):
        if isinstance(expression, ast.Call) and called(expression) == "Subset":
            inner = dataset_argument(expression)
            twin = _twin(source, expression, made[1])
            if isinstance(inner, ast.Name | ast.Attribute) and twin:
                return source.fix(f"take validation images from {twin}", source.replaced(inner, twin))
    call = made[1]
    train = setup.train
    plain = plain_transform(source, call, one, setup)
    if not plain or made[0] is not source:
        return manual
    needed = imported(source, ("transforms.Resize",)) if "Resize(" in plain else []
    if train is None or train.base is not one.base:
        value = argument(call, -1, "transform")
        shared = train is not None and dataset_call(setup, train) == made
        return manual if value is None or shared else source.fix(title, source.replaced(value, plain), *needed)
    subset = subset_statement(setup, one)
    if subset is None or subset[0] is not source:
        return manual
    _, name, statement = subset
    edit = source.after(
        statement,
        f"{name}.dataset = copy.copy({name}.dataset)  # training keeps its own transforms",
        f"{name}.dataset.transform = {plain}",
    )
    return source.fix(title, edit, source.imported("import copy"), *needed)


def _twin(source: Source, at: ast.Call, made: ast.Call) -> str:
    """Another data set of the same images whose transforms are not random."""
    split = _split_of(source, made)
    for name, call in name_in_reach(source, at, (called(made),)):
        if call is not made and _split_of(source, call) == split and _plain(source, call):
            return name
    return ""


def _plain(source: Source, call: ast.Call) -> bool:
    """Whether a data set is given transforms, none of them random."""
    value = argument(call, -1, "transform")
    compose = resolved(source, value)
    given = elements(compose) if compose is not None else [value] if isinstance(value, ast.Call) else []
    return bool(given) and not any(called(one).startswith(RANDOM) for one in given if isinstance(one, ast.Call))


def _split_of(source: Source, call: ast.Call) -> str:
    given = argument(call, 1, "train", "split")
    return source.segment(given) if given is not None else ""


def own_copy(setup: Setup) -> Fix:
    """Before `val.dataset.transform = ...`: a copy of the data set for validation."""
    title = "two data sets, one for each transform"
    found = transform_assigned(setup)
    if found is None:
        return Fix(title, code="val_set = Subset(CIFAR10(root, train=True, transform=test_transform), val_set.indices)")
    source, line, name = found
    copied = f"{name} = copy.copy({name})  # training keeps its own transforms"
    return source.fix(title, source.before(line, copied), source.imported("import copy"))


def transform_assigned(setup: Setup) -> tuple[Source, int, str] | None:
    """Where the source says `X.dataset.transform = ...`: the file, the line, and `X.dataset`."""
    for source in (setup.source, *setup.files.values()):
        for node in source.nodes(ast.Assign) if source is not None else ():
            assert source is not None
            for target in node.targets:
                sets = isinstance(target, ast.Attribute) and target.attr in ("transform", "transforms")
                if sets and last_name(target.value) == "dataset":  # type: ignore[attr-defined]
                    return source, node.lineno, source.segment(target.value)  # type: ignore[attr-defined]
    return None


def at_random(setup: Setup, one: Pipeline) -> Fix:
    """A split at random in place of one after sorting."""
    title = "draw the split at random"
    manual = Fix(title, code="indices = torch.randperm(len(train_full)).tolist()")
    found = loader_call(setup, one)
    if found is None:
        return manual
    source = found[0]
    by_label = [(call, name) for call in source.calls(*SORTS) if (name := _labelled(source, call))]
    if len(by_label) != 1:
        return manual
    call, name = by_label[0]
    where = source.segment(call.func)
    if called(call) == "argsort" and where.split(".")[0] in ("np", "numpy"):
        code = f"{where.split('.')[0]}.random.default_rng(0).permutation(len({name}))"
    elif not _imports(source, "torch"):
        return manual
    else:
        tail = ".tolist()" if called(call) == "sorted" else ""
        code = f"torch.randperm(len({name}), generator=torch.Generator().manual_seed(0)){tail}"
    return source.fix(title, source.replaced(call, code))


def _labelled(source: Source, call: ast.Call) -> str:
    """The data set by whose labels a call sorts."""
    for node in ast.walk(call):
        if isinstance(node, ast.Attribute) and node.attr in ("targets", "labels"):
            return source.segment(node.value)
    return ""


def _imports(source: Source, module: str) -> bool:
    return any(alias.name == module and not alias.asname for node in source.nodes(ast.Import) for alias in node.names)


def apart(setup: Setup, train: Pipeline, one: Pipeline) -> Fix:
    """Evaluation images that are not trained on."""
    title = "keep the splits apart"
    manual = Fix(
        title, code="train_set = Subset(train_full, indices[5000:]); val_set = Subset(val_full, indices[:5000])"
    )
    return _test_images(setup, one) or _rest(setup, train, one, title) or manual


def _test_images(setup: Setup, one: Pipeline) -> Fix | None:
    """Where a set was made with `train=True` and is evaluated as a whole: the test images."""
    made = dataset_call(setup, one)
    if made is None or one.indices is not None or one.official_test is not False:
        return None
    source, call = made
    train = dataset_call(setup, setup.train)
    given = argument(call, 1, "train", "split")
    if (train is not None and train[1] is call) or not isinstance(given, ast.Constant):
        return None
    new = {True: "False", "train": '"test"'}.get(given.value)
    return source.fix("take the test images", source.replaced(given, new)) if new else None


def _rest(setup: Setup, train: Pipeline, one: Pipeline, title: str) -> Fix | None:
    """Where validation is a subset: training gets the other images of the same data."""
    mine, other = loader_call(setup, train), loader_call(setup, one)
    if mine is None or other is None or mine[0] is not other[0] or train.base is None or one.indices is None:
        return None
    if type(one.loader.dataset).__name__ != "Subset" or len(train.base) != len(one.base):
        return None
    source, loader = mine
    given, held = dataset_argument(loader), _indices_code(source, other[1])
    subset = next((source.segment(call.func) for call in source.calls("Subset")), "")
    if given is None or not held or not subset or held[1] > loader.lineno:
        return None
    name = source.segment(given)
    if home(loader) is not home(other[1]) or isinstance(given, ast.Call):
        return None
    if type(train.loader.dataset).__name__ == "Subset":
        code = f"{subset}({name}.dataset, sorted(set({name}.indices) - set({held[0]})))"
    elif train.indices is None and train.loader.dataset is train.base:
        code = f"{subset}({name}, sorted(set(range(len({name}))) - set({held[0]})))"
    else:
        return None
    return source.fix(title, source.replaced(given, code))


def _indices_code(source: Source, loader: ast.Call) -> tuple[str, int] | None:
    """Code for the positions of a loader's subset, and the line that they are known from."""
    expression = dataset_argument(loader)
    if isinstance(expression, ast.Call) and called(expression) == "Subset":
        indices = argument(expression, 1, "indices")
        return (source.segment(indices), 0) if indices is not None else None
    if isinstance(expression, ast.Name | ast.Attribute):
        name = source.segment(expression)
        made = [one for one in source.nodes(ast.Assign) if any(source.segment(t) == name for t in targets(one))]
        return (f"{name}.indices", made[-1].end_lineno or made[-1].lineno) if made else None
    return None


def fresh(setup: Setup, train: Pipeline) -> Fix:
    """The data set itself in place of a wrapper that keeps what its random transforms gave."""
    title = "keep images from before the random transforms"
    manual = Fix(title, code="return self.transform(self.kept[index])")
    found, dataset = loader_call(setup, train), train.loader.dataset
    inner = next((value for value in vars(dataset).values() if isinstance(value, Dataset)), None)
    if found is None or inner is None or not hasattr(inner, "__len__"):
        return manual
    source, loader = found
    given = dataset_argument(loader)
    for expression in chain(source, given):
        if isinstance(expression, ast.Call) and called(expression) == type(dataset).__name__:
            wrapped = expression.args[0] if len(expression.args) == 1 and not expression.keywords else None
            if wrapped is not None and not isinstance(wrapped, ast.Starred):
                return source.fix(
                    "take images anew from the data set, not from the cache",
                    source.replaced(expression, source.segment(wrapped)),
                )
    return manual
