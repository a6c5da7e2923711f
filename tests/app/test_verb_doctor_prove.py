"""`lowres doctor --prove`: its options, and what it shows."""

import pytest
from rich.console import Console

from lowres.app.doctor_display import ProofDisplay
from lowres.doctor.findings import Finding
from lowres.doctor.proof.jobs import Standing
from lowres.doctor.report import Report
from lowres.errors import UserError


def test_options_that_go_with_it(refused, tmp_path):
    (tmp_path / "train.py").write_text("pass\n")
    assert refused("doctor", "train.py", "--picture", "a.png") == "--picture goes with --prove"
    assert refused("doctor", "train.py", "--work", "a") == "--work goes with --prove"
    assert "'soon' is not of the form 90s" in refused("doctor", "train.py", "--prove", "--budget", "soon")
    assert "--prove runs a script or a notebook" in refused("doctor", "torchvision:resnet18", "--prove")


def test_a_folder_that_cannot_be_written_is_told_before_anything_runs(refused, tmp_path):
    (tmp_path / "train.py").write_text("raise SystemExit(1)\n")
    (tmp_path / "taken").write_text("")
    assert "--work taken/work cannot be written" in refused("doctor", "train.py", "--prove", "--work", "taken/work")
    for option in ("--sarif", "--html", "--sheet"):
        for place in ("taken/file", "nowhere/file", "."):
            message = refused("doctor", "train.py", option, place)
            assert message == f"{option} {place} cannot be written: name a file in a folder that is there and can"


def test_what_makes_no_sense_is_told_before_anything_runs(refused, tmp_path):
    (tmp_path / "train.py").write_text("raise SystemExit(1)\n")
    assert refused("doctor", "train.py", "--seconds", "-1") == "--seconds is -1, but must be at least 1"
    assert refused("doctor", "train.py", "--memory", "nan") == "--memory is nan, but must be at least 1"
    assert "'torchvision:resnet18' is no script" in refused("doctor", "torchvision:resnet18", "--sheet", "a.png")


@pytest.mark.parametrize(("grade", "code"), [("warning", 2), ("note", 0)])
def test_a_proof_that_is_refused_leaves_the_report(lowres, tmp_path, monkeypatch, grade, code):
    def refuse(*arguments, **options):
        raise UserError("the budget is too small")

    found = Finding("TR502", "no momentum", grade, 4.0, {}, None, None, "a book", "C07")
    monkeypatch.setattr("lowres.app.doctor.examine_target", lambda *a, **o: Report("train.py", "one fault", (found,)))
    monkeypatch.setattr("lowres.app.doctor.prove_script", refuse)
    (tmp_path / "train.py").write_text("pass\n", encoding="utf-8")
    done = lowres("doctor", "train.py", "--prove", "--sarif", "out.sarif")
    assert (done.code, done.err) == (code, "lowres: not proved: the budget is too small\n")
    assert "TR502" in done.out
    assert "TR502" in (tmp_path / "out.sarif").read_text(encoding="utf-8")


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_proof_is_shown_where_what_follows_it_cannot_be_written(lowres, tmp_path, monkeypatch, form):
    def refuse(*arguments, **options):
        raise UserError("no recipe: network and images were not all seen")

    found = Finding("TR502", "no momentum", "warning", 4.0, {}, None, None, "a book", "C07")
    report = Report("train.py", "one fault", (found,))
    monkeypatch.setattr("lowres.app.doctor.examine_target", lambda *a, **o: report)
    monkeypatch.setattr("lowres.app.doctor.prove_script", lambda *a, **o: "a proof")
    monkeypatch.setattr("lowres.app.doctor.advised", lambda report, proof: report)
    monkeypatch.setattr("lowres.app.doctor.show_proof", lambda proof, screen: screen.print(f"shown: {proof}"))
    monkeypatch.setattr("lowres.app.doctor.prescribe", refuse)
    (tmp_path / "train.py").write_text("pass\n", encoding="utf-8")
    done = lowres("doctor", "train.py", "--prove", "--recipe", *form)
    assert (done.code, done.err) == (2, "lowres: no recipe: network and images were not all seen\n")
    assert ('"TR502"' if form else "shown: a proof") in done.out


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_is_told(terminal, capsys):
    import io

    screen = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    with ProofDisplay(screen) as display:
        display(Standing(0, 4, 120.0, "first look"))
        display(Standing(1, 4, 100.0, "first look", "as it is, seed 0: 41.0 %"))
    shown = screen.file.getvalue()
    assert "[1/4] as it is, seed 0: 41.0 %" in shown
    assert ("2 min of the budget left" in shown) != terminal
