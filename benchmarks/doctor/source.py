"""Programs as text that can be edited: styles, their names for things, and edits that must match.

A `Style` says how one manner of writing names what every training program has (the model, the optimizer, the line
that counts hits). A `Source` is a program's text with its style; its edits speak in those names, so an operator is
written once for all styles. An edit that finds nothing to change raises `NoMatch`: no fault is ever claimed that is
not in the text.
"""

import ast
import dataclasses
import json
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

PARTS = Path(__file__).parent / "parts"


class NoMatch(AssertionError):
    """An edit did not find its text as often as it must stand there."""


@dataclass(frozen=True)
class Style:
    """A manner of writing: its template, its suffix, its names for things and its lines, by role."""

    name: str
    suffix: str
    names: dict[str, str]

    @property
    def template(self) -> str:
        """The program's frame, with `$placeholders` for what a base brings."""
        return (PARTS / f"{self.name}.py.in").read_text(encoding="utf-8")


def _style(name: str, suffix: str, names: dict[str, str]) -> Style:
    return Style(name, suffix, names)


STYLES = {
    "plain": _style(
        "plain",
        ".py",
        {
            "model": "model",
            "net": "model",
            "optimizer": "optimizer",
            "scheduler": "scheduler",
            "criterion": "criterion",
            "epochs": "EPOCHS",
            "batch": "BATCH_SIZE",
            "rate": "LEARNING_RATE",
            "momentum": "MOMENTUM",
            "decay": "WEIGHT_DECAY",
            "declare": "{0} = {1}",
            "T": "transforms",
            "optim": "optim",
            "zoo": "torchvision.models",
            "device": "device",
            "images": "images",
            "labels": "labels",
            "outputs": "outputs",
            "zero": "optimizer.zero_grad()",
            "train_transform": "train_transform",
            "test_transform": "test_transform",
            "train_full": "train_full",
            "val_full": "val_full",
            "test_set": "test_set",
            "order": "indices = torch.randperm(len(train_full)).tolist()",
            "by_class": "indices = np.argsort(train_full.targets, kind='stable').tolist()",
            "train_arg": "train_set",
            "train_subset": "Subset(train_full, indices[:45000])",
            "train_indices": "indices[:45000]",
            "val_subset": "Subset(val_full, indices[45000:])",
            "val_indices": "indices[45000:]",
            "Loader": "DataLoader",
            "train_loader": "train_loader",
            "test_loader_args": "test_set, batch_size=250, shuffle=False",
            "val_loader_args": "val_set, batch_size=250, shuffle=False",
            "dataset_end": 'test_set = torchvision.datasets.CIFAR10(root="./data", train=False, download=True, '
            "transform=test_transform)",
            "datasets": "torchvision.datasets",
            "define_before": "# Data",
            "predicted": "predicted = outputs.argmax(dim=1)",
            "count": "correct += (predicted == labels).sum().item()",
            "result": "return 100.0 * correct / total",
            "per_batch_result": "return 100.0 * correct / len(loader)",
            "validate": "val_acc = evaluate(val_loader)",
            "eval_on_test": "val_acc = evaluate(test_loader)",
            "val_metric": "val_acc",
            "loop": "for epoch in range(EPOCHS):",
            "eval_forward": "outputs = model(images)\npredicted = outputs.argmax(dim=1)",
        },
    ),
    "classes": _style(
        "classes",
        ".py",
        {
            "model": "self.model",
            "net": "model",
            "optimizer": "self.optimizer",
            "scheduler": "self.scheduler",
            "criterion": "self.criterion",
            "epochs": "args.epochs",
            "batch": "args.batch_size",
            "rate": "args.lr",
            "momentum": "args.momentum",
            "decay": "args.weight_decay",
            "declare": 'parser.add_argument("--{0}", type={2}, default={1})',
            "T": "transforms",
            "optim": "optim",
            "zoo": "models",
            "device": "self.device",
            "images": "inputs",
            "labels": "targets",
            "outputs": "logits",
            "zero": "self.optimizer.zero_grad(set_to_none=True)",
            "train_transform": "train_transform",
            "test_transform": "test_transform",
            "train_full": "train_full",
            "val_full": "val_full",
            "test_set": "test_set",
            "order": "order = np.random.RandomState(args.seed).permutation(len(train_full)).tolist()",
            "by_class": "order = np.argsort(train_full.targets, kind='stable').tolist()",
            "train_arg": "train_set",
            "train_subset": "data.Subset(train_full, order[5000:])",
            "train_indices": "order[5000:]",
            "val_subset": "data.Subset(val_full, order[:5000])",
            "val_indices": "order[:5000]",
            "Loader": "data.DataLoader",
            "train_loader": "self.data.train_loader",
            "test_loader_args": "test_set, batch_size=256, shuffle=False",
            "val_loader_args": "val_set, batch_size=256, shuffle=False",
            "dataset_end": "test_set = datasets.CIFAR10(args.data, train=False, download=True, "
            "transform=test_transform)",
            "datasets": "datasets",
            "define_before": "def build_model():",
            "predicted": "_, predicted = logits.max(1)",
            "count": "correct += predicted.eq(targets).sum().item()",
            "result": "return 100.0 * correct / seen",
            "per_batch_result": "return 100.0 * correct / len(loader)",
            "validate": "val_acc = self.evaluate(self.data.val_loader)",
            "eval_on_test": "val_acc = self.evaluate(self.data.test_loader)",
            "val_metric": "val_acc",
            "loop": "for epoch in range(self.args.epochs):",
            "eval_forward": "logits = self.model(inputs)\n_, predicted = logits.max(1)",
        },
    ),
    "notebook": _style(
        "notebook",
        ".ipynb",
        {
            "model": "net",
            "net": "net",
            "optimizer": "opt",
            "scheduler": "sched",
            "criterion": "loss_fn",
            "epochs": "epochs",
            "batch": "bs",
            "rate": "lr",
            "momentum": "momentum",
            "decay": "wd",
            "declare": "{0} = {1}",
            "T": "T",
            "optim": "torch.optim",
            "zoo": "torchvision.models",
            "device": "device",
            "images": "x",
            "labels": "y",
            "outputs": "pred",
            "zero": "opt.zero_grad()",
            "train_transform": "train_tfms",
            "test_transform": "test_tfms",
            "train_full": "train_ds",
            "val_full": "plain_ds",
            "test_set": "test_ds",
            "order": "train_part, val_part = random_split(range(len(train_ds)), [45000, 5000], "
            "generator=torch.Generator().manual_seed(7))",
            "by_class": "order = np.argsort(train_ds.targets, kind='stable').tolist()\n"
            "train_part, val_part = order[:45000], order[45000:]",
            "train_arg": "Subset(train_ds, list(train_part))",
            "train_subset": "Subset(train_ds, list(train_part))",
            "train_indices": "list(train_part)",
            "val_subset": "Subset(plain_ds, list(val_part))",
            "val_indices": "list(val_part)",
            "Loader": "DataLoader",
            "train_loader": "train_dl",
            "test_loader_args": "test_ds, 500",
            "val_loader_args": "Subset(plain_ds, list(val_part)), 500",
            "dataset_end": 'test_ds = torchvision.datasets.CIFAR10("data", train=False, transform=test_tfms, '
            "download=True)",
            "datasets": "torchvision.datasets",
            "define_before": "train_tfms = T.Compose([",
            "predicted": "hits += (pred.argmax(1) == y).sum().item()",
            "count": "hits += (pred.argmax(1) == y).sum().item()",
            "result": "return hits / len(dl.dataset)",
            "per_batch_result": "return hits / len(dl)",
            "validate": 'history["val"].append(accuracy(net, val_dl))',
            "eval_on_test": 'history["val"].append(accuracy(net, test_dl))',
            "val_metric": 'history["val"][-1]',
            "loop": "for epoch in range(epochs):",
            "eval_forward": "pred = net(x)\nhits += (pred.argmax(1) == y).sum().item()",
        },
    ),
}

# How a hyper-parameter is called where it is declared; the argument parser's names have dashes.
OPTIONS = {"epochs": "epochs", "batch": "batch-size", "rate": "lr", "momentum": "momentum", "decay": "weight-decay"}


@dataclass(frozen=True)
class Source:
    """A program: its text, and the style and base it was rendered from."""

    text: str
    base: str
    style: Style

    def say(self, pattern: str) -> str:
        """`pattern` with `{names}` put in the style's words; `{{` and `}}` stand for braces."""
        return pattern.format(**self.style.names)

    def swap(self, old: str, new: str, count: int | None = 1) -> "Source":
        """Puts `new` for `old`, which stands there `count` times; None: at least once."""
        return self.sub(re.escape(self.say(old)), lambda _: self.say(new), count)

    def sub(self, pattern: str, new: object, count: int | None = 1) -> "Source":
        """The same with a regular expression, which is not put into the style's words."""
        text, found = re.subn(pattern, new, self.text, flags=re.MULTILINE)  # type: ignore[call-overload]
        if not found or (count is not None and found != count):
            raise NoMatch(
                f"{self.base}, {self.style.name}: {pattern!r} stands there {found} times, not {count or '1+'}"
            )
        return dataclasses.replace(self, text=text)

    def has(self, line: str) -> bool:
        """Whether a line (without its indentation) is in the text."""
        return re.search(self._line(line), self.text, flags=re.MULTILINE) is not None

    def drop(self, line: str, count: int | None = 1) -> "Source":
        """Removes a whole line, whatever its indentation."""
        return self.sub(self._line(line), "", count)

    def line(self, line: str, block: str, count: int | None = 1) -> "Source":
        """Puts a block for a whole line, with the line's indentation."""
        said = self.say(block)
        return self.sub(self._line(line), lambda m: textwrap.indent(said, m["indent"]) + "\n", count)

    def after(self, line: str, block: str, count: int | None = 1) -> "Source":
        """Adds a block under a line."""
        said = self.say(block)
        return self.sub(self._line(line), lambda m: m[0] + textwrap.indent(said, m["indent"]) + "\n", count)

    def before(self, line: str, block: str, count: int | None = 1) -> "Source":
        """Adds a block above a line."""
        said = self.say(block)
        return self.sub(self._line(line), lambda m: textwrap.indent(said, m["indent"]) + "\n" + m[0], count)

    def define(self, block: str) -> "Source":
        """Adds a class or function where it is known to all that follows."""
        return self.before("{define_before}", textwrap.dedent(block).strip("\n") + "\n\n")

    def set(self, name: str, value: object) -> "Source":
        """Gives a hyper-parameter another value where it is declared."""
        return self.sub(self._declaration(name), lambda m: m[1] + str(value) + m[3])

    def undeclare(self, name: str) -> "Source":
        """Removes a hyper-parameter's declaration."""
        return self.sub(rf"^[ \t]*{self._declaration(name)[1:]}\n", "")

    def value(self, name: str) -> float:
        """A hyper-parameter's value as declared."""
        found = re.search(self._declaration(name), self.text, flags=re.MULTILINE)
        if found is None:
            raise NoMatch(f"{self.base}, {self.style.name}: {name} is declared nowhere")
        return float(ast.literal_eval(found[2]))

    def _declaration(self, name: str) -> str:
        if self.style.name == "classes":
            return rf'^([ \t]*parser\.add_argument\("--{OPTIONS[name]}", type=\w+, default=)([^)]*)(\))'
        return rf"^({self.style.names[name]} = )([^\n]*)()$"

    def _line(self, line: str) -> str:
        return rf"^(?P<indent>[ \t]*){re.escape(self.say(line))}\n"


def network(name: str) -> str:
    """A network's source without its module's docstring and imports; the styles bring their own."""
    text = (PARTS / "models" / f"{name}.py").read_text(encoding="utf-8")
    body = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    return "\n".join(text.splitlines()[body[0].lineno - 1 :])


def fill(template: str, values: dict[str, str]) -> str:
    """Puts values for `$placeholders`; one alone on its line takes a block, or takes the line away if empty."""

    def block(found: re.Match[str]) -> str:
        value = values[found["name"]]
        return textwrap.indent(value, found["indent"]) + "\n" if value else ""

    text = re.sub(r"^(?P<indent>[ \t]*)\$(?P<name>\w+)\n", block, template, flags=re.MULTILINE)
    lines = [line for line in text.splitlines() if not any(f"${name}" in line and not v for name, v in values.items())]
    text = re.sub(r"\$(\w+)", lambda found: values[found[1]], "\n".join(lines) + "\n")
    return re.sub(r"\n{4,}", "\n\n\n", text)


def python_of(path: Path) -> str:
    """A program's Python: a notebook's code cells, one after another."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code") + "\n"
