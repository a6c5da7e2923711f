import doctest
import importlib
import json
import os
import pkgutil
import re
import shlex
import signal
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import lowres.app
from lowres import __version__
from lowres.app import main as main_module
from lowres.app.main import VERBS, main
from lowres.errors import UserError

COMMANDS = [*((verb,) for verb in VERBS), *(("data", action) for action in ("fetch", "verify", "info"))]


def shell(*words, **environment):
    """A command in a process of its own, as users have it."""
    command = [sys.executable, "-m", "lowres.app.main", *words]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, check=False)


def test_help_lists_every_verb(lowres):
    for words in ((), ("-h",), ("--help",), ("help",)):
        done = lowres(*words)
        assert (done.code, done.err) == (0, "")
        for verb, does in VERBS.items():
            assert re.search(rf"^  {verb} +{re.escape(does)}$", done.out, re.MULTILINE)


def test_version(lowres):
    for word in ("-V", "--version"):
        assert lowres(word) == (0, f"lowres {__version__}\n", "")


def examples(text):
    lines = [line for line in text.splitlines() if re.match(r" *lowres \w", line)]
    assert len({line.index("lowres") for line in lines}) <= 1, "examples stand in one column"
    return [line.strip() for line in lines]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_verb_has_help_with_an_example(lowres, words, flag):
    done = lowres(*words, flag)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"usage: lowres {' '.join(words)}")
    shown = examples(done.out)
    assert shown
    assert all(example.startswith(f"lowres {' '.join(words)}") for example in shown)


def test_help_of_training_names_the_recipe_and_shows_its_own_values(lowres):
    help_ = lowres("train", "--help").out
    assert "RECIPE" in help_.splitlines()[0]
    digits = " ".join(lowres("train", "digits", "--help").out.split())
    assert re.search(r"--epochs INT [^-]*\(default: 15\)", digits)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_examples_of_the_help_are_taken(lowres, monkeypatch, words):
    """Each is read with its options; what it names need not be there."""
    taken = []
    for name in VERBS:
        module = importlib.import_module(f"lowres.app.{name.replace('-', '_')}")
        parse = module.parse

        def read(kind, rest, *arguments, parse=parse, **options):
            parse(kind, rest, *arguments, **options)
            taken.append(rest)
            raise UserError("read")

        monkeypatch.setattr(module, "parse", read)
    monkeypatch.setattr("lowres.app.train._resumed", lambda words: importlib.import_module("lowres.recipes").Recipe())
    for example in examples(main_module._help()) + examples(module_help(words)):
        done = lowres(*shlex.split(example.partition(" > ")[0].partition("   ")[0])[1:])
        assert done.err == "lowres: read\n", example
    assert taken


def module_help(words):
    module = importlib.import_module(f"lowres.app.{words[0].replace('-', '_')}")
    kinds = [getattr(module, name) for name in dir(module) if name.lower() == words[-1]]
    return "\n".join(kind.__doc__ for kind in kinds)


@pytest.mark.parametrize(
    ("verb", "near"), [("trian", "train"), ("model", "models"), ("Compare", "compare"), ("predcit", "predict")]
)
def test_an_unknown_verb_suggests_the_nearest(refused, verb, near):
    assert refused(verb) == f"unknown command {verb!r}: did you mean {near!r}? (`lowres --help` lists them)"


def test_an_unknown_verb_with_no_near_one(refused):
    message = refused("penguin")
    assert "unknown command 'penguin'" in message
    assert "did you mean" not in message


@pytest.mark.parametrize("words", [("--debug", "trian"), ("trian", "--debug"), ("train", "digits", "--debug", "--lrr")])
def test_with_debug_the_error_itself_comes_through(words):
    with pytest.raises(UserError):
        main(words)


def test_debug_behind_dashes_belongs_to_the_script(monkeypatch):
    seen = []
    monkeypatch.setattr("lowres.app.main._run", lambda words: seen.append(words) or 0)
    main(["doctor", "train.py", "--debug", "--", "--debug", "--epochs", "2"])
    assert seen == [["doctor", "train.py", "--", "--debug", "--epochs", "2"]]


def test_debug_shows_the_traceback_and_is_no_option_of_the_verb():
    done = shell("trian", "--debug")
    assert done.returncode != 0
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert "did you mean 'train'?" in done.stderr.splitlines()[-1]
    plain = shell("trian")
    assert (plain.returncode, plain.stdout) == (2, "")
    assert plain.stderr == "lowres: unknown command 'trian': did you mean 'train'? (`lowres --help` lists them)\n"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_line_is_the_same_whatever_the_terminal_can_draw(encoding):
    done = shell("models", "--classes", "ten", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "--classes" in done.stderr
    assert "'ten'" in done.stderr
    assert not re.search("[─-]{4}|Argument helptext|For full helptext", done.stderr)


def test_what_a_terminal_cannot_draw_is_spelled_out(tmp_path):
    folder = tmp_path / "größe"
    folder.mkdir()
    (folder / "recipe.json").write_text("{}", encoding="utf-8")
    done = shell("compare", str(folder), PYTHONIOENCODING="ascii", COLUMNS="500")
    assert (done.returncode, done.stderr) == (0, "")
    assert "gr\\xf6\\xdfe" in done.stdout
    done = shell("compare", str(folder), "--json", PYTHONIOENCODING="ascii")
    assert json.loads(done.stdout)[0]["run"] == str(folder)


def test_help_and_verbs_without_networks_do_not_wait_for_pytorch():
    code = "import sys; from lowres.app.main import main; main(['--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0


@pytest.mark.skipif(os.name != "posix", reason="pipes are POSIX's")
@pytest.mark.parametrize("words", [["recipes", "--json"], ["models", "resnet1202"]])
def test_a_reader_that_has_seen_enough_is_no_error(words):
    command = [sys.executable, "-m", "lowres.app.main", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.read(1)
        writer.stdout.close()
        assert writer.stderr.read() == ""
    assert writer.returncode == 0


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="a device that is always full is Linux's")
@pytest.mark.parametrize("words", [["--version"], ["train", "--help"], ["recipes", "digits", "--json"]])
def test_an_output_that_is_full_is_told_in_a_line(words):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with FULL.open("w") as full:
        command = [sys.executable, "-m", "lowres.app.main", *words]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (2, "lowres: output: No space left on device\n")


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_an_interruption_is_told_in_a_line_and_has_its_own_code(lowres, monkeypatch):
    ends = iter((signal.SIGTERM, signal.SIGHUP))

    def run(words):
        if words:
            raise KeyboardInterrupt("interrupted: `lowres train --resume runs/x` goes on")
        os.kill(os.getpid(), next(ends))
        signal.sigtimedwait([], 5)

    monkeypatch.setattr("lowres.app.train.run", run)
    hangup = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup make test` has it ignored
    before = signal.getsignal(signal.SIGHUP)
    for _ in range(2):
        assert lowres("train") == (130, "", "lowres: interrupted\n")
    assert signal.getsignal(signal.SIGHUP) == before
    signal.signal(signal.SIGHUP, hangup)
    told = "lowres: interrupted: `lowres train --resume runs/x` goes on\n"
    assert lowres("train", "x") == (130, "", told)
    with pytest.raises(KeyboardInterrupt):
        main(["train", "x", "--debug"])


def test_every_verb_has_its_file_and_every_file_its_verb():
    files = {module.name for module in pkgutil.iter_modules(lowres.app.__path__)}
    assert files - {"main", "command", "ladder_display", "doctor_display"} == {verb.replace("-", "_") for verb in VERBS}


@pytest.mark.parametrize(
    "name", ["lowres", "lowres.recipes.registry", "lowres.evaluation.scores", "lowres.app.command"]
)
def test_the_examples_in_the_docstrings_are_true(name):
    module = typing.cast("typing.Any", importlib.import_module(name))
    assert doctest.testmod(module).failed == 0
