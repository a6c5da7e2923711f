"""Proofs: rounds on invented figures, refusals, and one with real processes."""

import json
import time
from dataclasses import replace

import pytest

from lowres.doctor.findings import Finding
from lowres.doctor.patching.mend import mend
from lowres.doctor.proof.advice import advised
from lowres.doctor.proof.jobs import Shelf, fingerprint, shelf
from lowres.doctor.proof.nursery import Lost, Worker
from lowres.doctor.proof.prove import prove_script
from lowres.doctor.report import Report
from lowres.doctor.source import read
from lowres.errors import UserError

MOMENTUM, DECAY = ("TR502", "pass momentum", "momentum", "0.9"), ("TR501", "pass decay", "weight_decay", "5e-4")
NESTEROV = ("TR599", "pass nesterov", "nesterov", "True")


@pytest.fixture
def script(tmp_path, monkeypatch, tiny):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "train.py"
    path.write_text(tiny, encoding="utf-8")
    return path


def report_of(script, *fixes, images=640):
    source = read(script)
    (call,) = source.calls("SGD")
    findings = [
        Finding(
            *(code, f"no {name}", "warning", cost, {}, None),
            source.fix(title, source.with_keyword(call, name, value)),
            *("a book", "C07"),
        )
        for (code, title, name, value), cost in zip(fixes, (9.0, 5.0, 1.0), strict=False)
    ]
    return Report(str(script), "", tuple(findings), seen={"train": {"images": images, "batch_size": 32}, "epochs": 12})


@pytest.fixture
def invented(monkeypatch):
    """Trials that take no time, with a figure for what the source holds; returns all requests."""
    asked = []
    effects = {"momentum=": 8.0, "nesterov=": -4.0, "weight_decay=": 0.0}
    noise = {}

    def run(worker, request, limit):
        asked.append(request)
        text, seed = request["source"], request["seed"]
        figure = 40 + seed + sum(gain for word, gain in effects.items() if word in text)
        figure += noise.get("sd", 0.0) * ((hash((seed, len(text))) % 7) - 3)
        epochs = 1 if "epochs = 1\n" in text else 3
        return {
            "figure": figure, "figure_of": "test images", "own": figure - 1, "training": 90.0,
            "rounds": epochs, "steps": 200, "classes": 10, "images": request["images"],
            "train_seconds": 0.002 * request["images"], "evaluated": 100, "evaluate_seconds": 0.1,
            "problem": "", "made_up": False, "seconds": 1.0,
        }  # fmt: skip

    monkeypatch.setattr(Worker, "run", run)
    monkeypatch.setattr(Worker, "stop", lambda worker: None)
    asked_noise = noise
    return asked, asked_noise


def test_each_fix_has_its_gain_and_what_harms_is_withdrawn(script, invented):
    proof = prove_script(report_of(script, MOMENTUM, NESTEROV), script, budget="60s")
    words = {step.code: (step.word, step.gain.mean) for step in proof.steps}
    assert words == {"TR502": ("pays", 8.0), "TR599": ("withdrawn", -4.0)}
    assert proof.withdrawn == ("TR599",)
    assert proof.total.mean == 8.0
    assert proof.mended.mean - proof.base.mean == 8.0
    assert proof.own == proof.base.mean - 1
    json.dumps(proof.to_json())


def test_a_withdrawn_fix_is_advised_no_more(script, invented):
    report = report_of(script, MOMENTUM, NESTEROV)
    after = advised(report, prove_script(report, script, budget="60s"))
    grades = {one.code: (one.grade, one.fix is None) for one in after.findings}
    assert grades == {"TR502": ("warning", False), "TR599": ("note", True)}
    assert "withdrawn: -4.0 points after" in after.findings[-1].title
    assert Report.from_json(json.loads(json.dumps(after.to_json()))).proof == after.to_json()["proof"]


def test_every_variant_has_the_same_seeds_images_and_epochs(script, invented):
    asked, _ = invented
    prove_script(report_of(script, MOMENTUM, DECAY), script, budget="60s")
    trials = [one for one in asked if one["images"] not in (16, 32)]
    trials = [one for one in trials if one["images"] == trials[0]["images"] and one["seed"] < 4]
    keys = {}
    for one in trials:
        keys.setdefault(one["source"], set()).add((one["seed"], one["images"], one["test"], one["batch"]))
    assert len(keys) == 3
    assert len(set(map(frozenset, keys.values()))) == 1
    assert all("epochs = 12" not in one["source"] for one in trials)


def test_what_is_undecided_gets_more_until_it_is_decided_or_time_is_over(script, invented):
    asked, noise = invented
    prove_script(report_of(script, MOMENTUM), script, budget="60s")
    quiet = len(asked)
    noise["sd"] = 4.0
    script.write_text(script.read_text() + "\n# another\n", encoding="utf-8")
    prove_script(report_of(script, MOMENTUM), script, budget="60s")
    assert len(asked) - quiet > quiet


def test_a_proof_goes_on_where_it_was(script, invented):
    asked, _ = invented
    report = report_of(script, MOMENTUM, DECAY)
    first = prove_script(report, script, budget="60s")
    count = len(asked)
    second = prove_script(report, script, budget="60s")
    assert len(asked) == count
    assert second.to_json()["steps"] == first.to_json()["steps"]


@pytest.mark.parametrize(("seen", "name"), [("modules", "models.py"), ("read", "config.yaml")])
def test_other_files_of_the_user_s_make_other_results(script, invented, tmp_path, seen, name):
    asked, _ = invented
    file = tmp_path / name
    file.write_text("width = 16\n", encoding="utf-8")
    report = report_of(script, MOMENTUM)
    report = replace(report, seen=report.seen | {seen: [str(file)]})
    prove_script(report, script, budget="60s")
    count = len(asked)
    file.write_text("width = 32, now\n", encoding="utf-8")
    prove_script(report, script, budget="60s")
    assert len(asked) > 1.5 * count


def test_the_program_is_the_one_of_the_beginning(script, invented):
    asked, _ = invented

    def save(standing):
        script.write_text("raise SystemExit\n", encoding="utf-8")

    prove_script(report_of(script, MOMENTUM), script, budget="60s", tell=save)
    assert {"SGD" in one["source"] for one in asked} == {True}


def test_a_loop_that_does_not_follow_is_stopped_and_it_is_said(script, invented, monkeypatch):
    asked, _ = invented
    script.write_text(script.read_text().replace("epochs = 12", "epochs = 3 * 4"), encoding="utf-8")
    proof = prove_script(report_of(script, MOMENTUM), script, budget="60s")
    assert {one["stop"] for one in asked if one["images"] not in (16, 32)} != {0}
    assert any("stopped after its epochs" in line for line in proof.limits)


def test_refusals(script, invented, tmp_path):
    with pytest.raises(UserError, match="there is nothing to prove"):
        prove_script(report_of(script), script)
    with pytest.raises(UserError, match="trains on no DataLoader"):
        prove_script(report_of(script, MOMENTUM, images=None), script)
    with pytest.raises(UserError, match="too small to decide anything: it takes 15 s"):
        prove_script(report_of(script, MOMENTUM), script, budget="5s")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        prove_script(report_of(script, MOMENTUM), script, work=tmp_path / "file" / "work")
    by_hand = report_of(script, MOMENTUM)
    fixless = [Finding("AR101", "small maps", "warning", 8.0, {}, None, None, "a book", "C01")]
    with pytest.raises(UserError, match="cannot be patched, so --prove cannot try its fixes; change by hand: AR101"):
        prove_script(Report(by_hand.target, "", tuple(fixless), seen=by_hand.seen), script)


def test_a_budget_too_small_is_said_before_a_pair_is_run(script, monkeypatch, invented):
    asked, _ = invented
    slow = Worker.run

    def run(worker, request, limit):
        result = slow(worker, request, limit)
        return result | {"train_seconds": 1.0 * request["images"]}

    monkeypatch.setattr(Worker, "run", run)
    with pytest.raises(UserError, match=r"too small to decide anything here: .* training takes \d+m"):
        prove_script(report_of(script, MOMENTUM), script, budget="60s")
    assert {one["images"] for one in asked} == {16, 32}


def test_a_script_that_fails_and_images_that_are_not_there(script, monkeypatch, invented):
    whole = Worker.run
    monkeypatch.setattr(Worker, "run", lambda *a: whole(*a) | {"made_up": True})
    with pytest.raises(UserError, match="stand-ins prove nothing"):
        prove_script(report_of(script, MOMENTUM), script, budget="60s")

    def lost(worker, request, limit):
        raise Lost("its process ended with -9")

    monkeypatch.setattr(Worker, "run", lost)
    with pytest.raises(UserError, match=r"fails in a short training, .*ended with -9"):
        prove_script(report_of(script, MOMENTUM), script, budget="90s")


def breaks(monkeypatch, word):
    whole = Worker.run

    def run(worker, request, limit):
        broken = word in request["source"]
        return whole(worker, request, limit) | ({"problem": "train.py:9 raises ValueError: no"} if broken else {})

    monkeypatch.setattr(Worker, "run", run)


def test_a_fix_that_breaks_the_program_is_left_to_the_user(script, monkeypatch, invented):
    breaks(monkeypatch, "weight_decay=")
    report = report_of(script, MOMENTUM, DECAY)
    proof = prove_script(report, script, budget="60s")
    assert [(one.code, one.breaks) for one in proof.unproved] == [("TR501", True)]
    after = {one.code: one for one in advised(report, proof).findings}
    assert after["TR501"].grade == "warning"
    assert "its fix was tried: with it, the script does not run to its end" in after["TR501"].title
    outcomes = {one.code: (one.applied, one.why, one.by_hand) for one in mend(read(script), after.values()).outcomes}
    assert outcomes["TR502"][0]
    assert outcomes["TR501"][:2] == (False, "to be done by hand")
    assert "weight_decay=5e-4" in outcomes["TR501"][2]


def test_no_fix_that_runs_is_told_as_that(script, monkeypatch, invented):
    breaks(monkeypatch, "momentum=")
    with pytest.raises(UserError, match=r"no fix can be tried: TR502: with it, .* raises ValueError: no"):
        prove_script(report_of(script, MOMENTUM), script, budget="60s")


def test_a_program_without_a_figure_is_refused_at_once(script, monkeypatch, invented):
    asked, _ = invented
    whole = Worker.run
    monkeypatch.setattr(Worker, "run", lambda *a: whole(*a) | {"figure": None, "own": None})
    with pytest.raises(UserError, match="evaluates nothing in a short training"):
        prove_script(report_of(script, MOMENTUM), script, budget="60s")
    assert len(asked) == 1


def test_other_findings_make_another_plan(script, invented):
    prove_script(report_of(script, MOMENTUM), script, budget="60s")
    proof = prove_script(report_of(script, MOMENTUM, DECAY), script, budget="60s")
    assert [step.code for step in proof.steps] == ["TR502", "TR501"]


def test_a_pace_that_was_lost_is_taken_for_the_usual_one(script, monkeypatch, invented):
    whole = Worker.run

    def run(worker, request, limit):
        if request["images"] == 16 and "momentum" not in request["source"]:
            raise Lost("its process ended with -9")
        return whole(worker, request, limit)

    monkeypatch.setattr(Worker, "run", run)
    assert [step.word for step in prove_script(report_of(script, MOMENTUM), script, budget="60s").steps] == ["pays"]


@pytest.mark.parametrize("fits", [True, False])
def test_large_images_are_made_smaller_where_the_network_takes_them(script, monkeypatch, invented, fits):
    script.write_text("tf = Resize(128)\n" + script.read_text())
    whole, sizes = Worker.run, []

    def run(worker, request, limit):
        side = 128 // (1 + ("Resize(64)" in request["source"]) + 3 * ("Resize(32)" in request["source"]))
        sizes.append(side)
        result = whole(worker, request, limit)
        if side < 128 and not fits:
            return result | {"problem": "it raises RuntimeError", "figure": None}
        return result | {"train_seconds": 0.1 * request["images"] * (side / 128) ** 2}

    monkeypatch.setattr(Worker, "run", run)
    proof = prove_script(report_of(script, MOMENTUM), script, budget="5m")
    assert sizes[0] == 128
    assert set(sizes[2:]) == ({32} if fits else {128})
    assert proof.proxy.divided == (4 if fits else 1)
    assert any("a quarter of the size" in line for line in proof.limits) == fits
    first = len(sizes)
    assert prove_script(report_of(script, MOMENTUM), script, budget="5m").steps == proof.steps
    assert len(sizes) == first + (0 if fits else 1)  # what fails is not kept


def test_no_trial_may_run_beyond_the_budget(script, monkeypatch, invented):
    whole, began, ends = Worker.run, time.monotonic(), []

    def run(worker, request, limit):
        ends.append(time.monotonic() + limit)
        return whole(worker, request, limit)

    monkeypatch.setattr(Worker, "run", run)
    prove_script(report_of(script, MOMENTUM, NESTEROV), script, budget="60s")
    assert began + 50 < max(ends) < began + 62


def test_a_cache_that_cannot_be_written_is_no_hindrance(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    kept, note = shelf(None)
    assert kept.folder is None
    assert "begins anew" in note


def test_results_are_known_by_all_that_decides_them(tmp_path):
    request = {"source": "x", "seed": 0, "images": 10, "seconds": 5}
    kept = Shelf(tmp_path)
    kept.put(request, {"figure": 1.0})
    assert Shelf(tmp_path).get(request | {"seconds": 7}) == {"figure": 1.0}
    assert Shelf(tmp_path).get(request | {"seed": 1}) is None
    (tmp_path / f"{fingerprint(request)}.json").write_text("{")
    assert Shelf(tmp_path).get(request) is None
