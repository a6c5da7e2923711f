"""Which fixes can be tried together, and why others cannot."""

from lowres.doctor.findings import Finding, Fix
from lowres.doctor.proof.variants import provable, variant
from lowres.doctor.source import Source

TEXT = "epochs = 20\nopt = SGD(p, lr=0.1)\nfor epoch in range(epochs):\n    train()\n"
SOURCE = Source("train.py", TEXT)


def finding(code, fix, cost=1.0, grade="warning", kind="C07"):
    return Finding(code, "a fault", grade, cost, {}, None, fix, "a book", kind)


def keyword(name, value):
    (call,) = SOURCE.calls("SGD")
    return SOURCE.fix(f"pass {name}", SOURCE.with_keyword(call, name, value))


def number(value):
    import ast

    (node,) = (one for one in SOURCE.nodes(ast.Constant) if one.value == 20)
    return SOURCE.fix("train longer", SOURCE.replaced(node, value))


def test_fixes_of_one_call_are_made_together():
    found = [finding("TR501", keyword("weight_decay", "5e-4"), 1), finding("TR502", keyword("momentum", "0.9"), 9)]
    chosen, left = provable(SOURCE, found, 20)
    assert ([one.code for one in chosen], left) == (["TR502", "TR501"], [])
    text = variant(SOURCE, chosen)
    assert "momentum=0.9" in text
    assert "weight_decay=5e-4" in text
    assert variant(SOURCE, []) == TEXT


def test_what_cannot_be_tried_says_why():
    found = [
        finding("AR101", Fix("another stem", code="net.conv1 = ..."), 8),
        finding("TR531", number("60"), 5),
        finding("TR502", keyword("momentum", "0.9"), 4),
        finding("TR503", keyword("momentum", "0.8"), 3),
        finding("DA210", keyword("foreach", "True"), 2, "note"),
        finding("XX101", None, 1),
        finding("EV405", keyword("maximize", "False"), 1, kind="C24"),
    ]
    chosen, left = provable(SOURCE, found, 20)
    assert [one.code for one in chosen] == ["TR502"]
    why = {one.code: (one.why, one.by_hand) for one in left}
    assert why["AR101"] == ("to be done by hand", "net.conv1 = ...")
    assert why["TR531"][0] == "it changes the number of epochs, and all runs have the same"
    assert "TR502 changes the same code" in why["TR503"][0]
    assert why["XX101"][0] == "no change of code mends it"
    assert "DA210" not in why
    assert "it makes the figure honest, not higher" in why["EV405"][0]
