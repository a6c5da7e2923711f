"""A proof as text and as a picture."""

import io
from dataclasses import replace

import pytest
from PIL import Image
from rich.console import Console

from lowres.doctor.proof.plan import Proxy
from lowres.doctor.proof.variants import Unproved
from lowres.doctor.proof.verdicts import Proof, Step
from lowres.doctor.proof.waterfall import gain_of, show_proof, write_picture
from lowres.ladder.statistics import describe

PROXY = Proxy(10_000, 3, 2000)
STEPS = (
    Step("TR502", "pass momentum=0.9", 9.0, describe([6.0, 6.5, 5.8]), "pays", "pays", PROXY),
    Step("LR103", "a cosine", 5.0, describe([-2.0, -2.2, -2.4]), "withdrawn", "harms: withdrawn", PROXY),
    Step("DA201", "crop and flip", 10.0, None, "undecided", "not measured", Proxy(100, 1, 50)),
)


@pytest.fixture
def proof():
    """Two fixes measured, one not."""
    unproved = (Unproved("AR101", "a stem for small images", "to be done by hand", "net.maxpool = nn.Identity()"),)
    base = describe([50.0, 51.0, 49.0])
    mended = describe([56.0, 57.0, 55.0])
    total = describe([6.0, 6.5, 5.8])
    return Proof(STEPS, base, mended, total, 49.5, PROXY, ("LR103",), unproved, ("gains are early ones",), 12, 300.0)


def test_each_fix_has_a_bar_its_points_and_its_verdict(proof):
    screen = Console(file=io.StringIO(), width=200, highlight=False, markup=False)
    show_proof(proof, screen)
    shown = screen.file.getvalue()
    assert "3 epochs on 10,000 images" in shown
    rows = {line.split()[0]: line for line in shown.splitlines() if line and "█" in line}
    assert "+6.1 ± 0.9" in rows["TR502"]
    assert rows["TR502"].index("█") == rows["as"].rindex("█") + 1  # it begins where the program stands
    assert "harms: withdrawn" in rows["LR103"]
    assert "not measured, 1 epoch on 100 images" in shown
    assert "mended, without LR103" in shown
    assert "the fixes that are left together: +6.1 ± 0.9 points" in shown
    assert "the script's own figure in these runs: 49.5 %" in shown
    assert "net.maxpool = nn.Identity()" in shown
    assert "- gains are early ones" in shown


@pytest.mark.parametrize("width", [80, 100, 120])
def test_a_narrow_terminal_folds_words_and_keeps_figures(proof, width):
    steps = (replace(STEPS[0], title="a stem for small images: 3x3, stride 1, no pool"), *STEPS[1:])
    screen = Console(file=io.StringIO(), width=width, highlight=False, markup=False)
    show_proof(replace(proof, steps=steps), screen)
    shown = screen.file.getvalue()
    assert "+6.1 ± 0.9" in shown
    assert "-2.2 ± 0.5" in shown
    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown


def test_points_without_an_interval():
    one = Step("A", "b", 1.0, describe([2.0]), "undecided", "undecided", PROXY)
    assert gain_of(one) == "+2.0"


def test_the_picture(proof, tmp_path):
    write_picture(tmp_path / "folder" / "proof.png", proof)
    with Image.open(tmp_path / "folder" / "proof.png") as picture:
        assert picture.size[0] > 400
