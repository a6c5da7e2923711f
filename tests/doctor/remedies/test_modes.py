"""Fixes of modes and figures: the mended program is observed, and its check then stays silent."""

import ast

import pytest

from lowres.doctor.findings import apply
from lowres.doctor.remedies.modes import divided_by_images, exchanged, trains_anew
from lowres.doctor.source import Source

SHARED = (
    """\
for epoch in range(EPOCHS):
    model.train()
    for x, y in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
    scheduler.step()
    model.eval()
    correct = 0
    with torch.no_grad():
        for x, y in val_loader:
            correct += (model(x).argmax(1) == y).sum().item()
    print("epoch", epoch, "accuracy", correct / len(val_loader.dataset))
""",
    """\
def run(loader, train):
    correct = 0
    for x, y in loader:
        with torch.set_grad_enabled(train):
            scores = model(x)
            loss = criterion(scores, y)
        if train:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        correct += (scores.argmax(1) == y).sum().item()
    return correct / len(loader.dataset)


for epoch in range(EPOCHS):
    run(train_loader, True)
    scheduler.step()
    print("epoch", epoch, "accuracy", run(val_loader, False))
""",
)


def fixes(report):
    return {one.code: one.fix for one in report.findings}


def lines(text):
    return sorted(text.splitlines())


@pytest.mark.parametrize(
    ("code", "line"), [("EV401", "    model.eval()\n"), ("EV402", "    model.train()\n")], ids=["eval", "train"]
)
def test_a_mode_is_set_where_it_was(program, observe, tmp_path, code, line):
    text = program((line, ""))
    fix = fixes(observe(text))[code]
    assert lines(apply(text, fix.edits)) == lines(program())
    assert code not in fixes(observe(apply(text, fix.edits), out=tmp_path / "again"))


def test_both_modes_are_set_where_neither_was(program, observe):
    text = program(("    model.eval()\n", ""), ("    model.train()\n", ""))
    assert lines(apply(text, fixes(observe(text))["EV401"].edits)) == lines(program())


def test_a_train_before_the_epochs_does_not_do(program, observe):
    before = "model.train()\nfor epoch in range(EPOCHS):\n"
    text = program(("for epoch in range(EPOCHS):\n    model.train()\n", before), ("    model.eval()\n", ""))
    assert "    model.train()\n    for x, y in train_loader:\n" in apply(text, fixes(observe(text))["EV401"].edits)


def test_one_function_that_does_both_goes_by_its_condition(program, observe):
    text = program(SHARED)
    fixed = apply(text, fixes(observe(text))["EV401"].edits)
    assert "    model.train(bool(train))\n    for x, y in loader:\n" in fixed


@pytest.mark.parametrize(
    ("count", "wrong", "right"),
    [
        ("total += y.size(0)", "100.0 * hits / len(loader)", "100.0 * hits / total"),
        ("seen += len(x)", "hits / (len(loader) * 250)", "hits / (seen)"),
        ("steps += 1", "hits / len(loader)", "hits / len(loader.dataset)"),
        ("loss += f(x).item() * y.size(0)", "hits / len(self.loader)", "hits / len(self.loader.dataset)"),
    ],
)
def test_hits_are_divided_by_images(count, wrong, right):
    loader = "self.loader" if "self" in wrong else "loader"
    code = f"def test(self, loader):\n    for x, y in {loader}:\n        hits += (f(x) == y).sum()\n        {count}\n"
    source = Source("x.py", f"{code}    return {wrong}\n")
    division = next(one for one in source.nodes(ast.BinOp) if isinstance(one.op, ast.Div))
    assert apply(source.text, divided_by_images(source, division).edits) == f"{code}    return {right}\n"


HELD = """

class Held(Photographs):
    def __getitem__(self, i):
        return self.images[i], self.targets[i]


model = nn"""
LOADERS = """\
held = Held(140, False)
held.train = True
val_loader = DataLoader(held, batch_size=70)
test_loader = DataLoader(Photographs(130, False), batch_size=65)
"""
STORED = """\
        self.train = train
        self.data = (self.images * 60 + 128).clamp(0, 255).byte().numpy()
"""
CHOICE = """\
    if correct > best:
        best = correct
    print("epoch\""""


def test_the_epoch_is_chosen_on_images_held_out(program, observe):
    text = program(
        ("epoch in range(EPOCHS):", "epoch in range(EPOCHS):\n    best = 0"),
        ("        self.train = train\n", STORED),
        ("val_loader = DataLoader(Photographs(130, False), batch_size=65)\n", LOADERS),
        ("\n\nmodel = nn", HELD),
        ("in val_loader:", "in test_loader:"),
        ('    print("epoch"', CHOICE),
    )
    fixed = apply(text, fixes(observe(text))["EV403"].edits)
    assert "        for x, y in val_loader:\n" in fixed


EPOCHS = """\
net.train()
for epoch in range(3):
    for x, y in loader:
        net(x)
    trainer.train()
    net.eval()
"""


@pytest.mark.parametrize(
    ("code", "anew"),
    [
        (EPOCHS, False),
        (EPOCHS.replace("trainer.train", "net.train"), True),
        (EPOCHS.replace("trainer.train()", "net.train(False)"), False),
        ("def train(net):\n    net.train()\n    for x, y in loader:\n        net(x)\n", True),
        ("def train(net):\n    for x, y in loader:\n        net(x)\n\nnet.train()\n", False),
    ],
)
def test_a_call_of_train_counts_where_each_epoch_comes_by(code, anew):
    source = Source("x.py", code)
    loop = next(one for one in source.nodes(ast.For) if source.segment(one.iter) == "loader")
    assert trains_anew(source, "net", loop) is anew


CHOSEN = """\
val_loader, test_loader = loaders()
def evaluate(net, test_loader):
    for x, y in test_loader:
        hits += net(x)
    return hits / len(test_loader.dataset)
for epoch in range(3):
    for x, y in {}:
        hits += net(x)
    print(hits / len({}.dataset), len({}), evaluate(net, test_loader={}))
print(evaluate(net, test_loader))
"""


def test_a_loader_is_exchanged_within_the_epochs_with_all_that_counts_its_images():
    source = Source("x.py", CHOSEN.replace("{}", "test_loader"))
    epochs = source.statement_at(6)
    edits = exchanged(source, "test_loader", "val_loader", epochs)
    assert apply(source.text, edits) == CHOSEN.replace("{}", "val_loader")
    kept = Source("x.py", source.text.replace("    print(", "    both = [test_loader]\n    print("))
    assert exchanged(kept, "test_loader", "val_loader", kept.statement_at(6)) == []
    counted = Source("x.py", source.text.replace("test_loader.dataset), len", "test_set), len"))
    assert exchanged(counted, "test_loader", "val_loader", counted.statement_at(6), "test_set") == []
