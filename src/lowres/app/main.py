"""The command line: picks the verb, and turns what goes wrong into one line and an exit code.

0: done. 1: a failed check. 2: bad input. 130: interrupted. A traceback is shown with `--debug` only.
"""

import contextlib
import importlib
import io
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import lowres
from lowres.errors import UserError, unknown

VERBS = {
    "train": "trains a recipe, or goes on with an interrupted run",
    "evaluate": "accuracy with interval, per class, confusion",
    "predict": "classes and probabilities of image files",
    "compare": "runs side by side",
    "compare-adaptation": "an ImageNet network as it is, adapted, upsampled",
    "ladder": "which change paid: rungs, seeds, verdicts",
    "doctor": "why accuracy is low: a script, a network, a log",
    "bench": "speed here, against the limit of this machine",
    "models": "the networks there are; the layer table of one",
    "recipes": "the recipes there are; one in full",
    "data": "fetches data sets, verifies them, shows them",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: The words after `lowres`; None: those of this process.

    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    end = words.index("--") if "--" in words else len(words)  # what follows belongs to somebody's script
    debug = "--debug" in words[:end]
    words = [word for word in words[:end] if word != "--debug"] + words[end:]
    if isinstance(sys.stdout, io.TextIOWrapper):  # what a terminal cannot show is spelled out, and ends nothing
        sys.stdout.reconfigure(errors="backslashreplace")
    ends = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    ends = [one for one in ends if signal.getsignal(one) is not signal.SIG_IGN]  # `nohup` had it ignored
    before = [signal.signal(one, _interrupt) for one in ends]
    try:
        code = _run(words)
        sys.stdout.flush()  # here, where it can still be said that it could not be written
        return code
    except UserError as error:
        if debug:
            raise
        print(f"lowres: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        if debug:
            raise
        print(f"lowres: {str(error) or 'interrupted'}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        _silence()
        return 0
    except (MemoryError, RuntimeError) as error:
        if debug or not (isinstance(error, MemoryError) or _wants_memory(error)):
            raise
        print(f"lowres: there is not memory enough: {(str(error).splitlines() or [''])[0]}", file=sys.stderr)
        return 2
    except OSError as error:  # what no layer foresaw, such as a full disk behind standard output
        if debug:
            raise
        print(f"lowres: {error.filename or 'output'}: {error.strerror or error}", file=sys.stderr)
        _silence()
        return 2
    finally:
        for one, handler in zip(ends, before, strict=True):
            signal.signal(one, handler)


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    if words[0] in ("-V", "--version"):
        print(f"lowres {lowres.__version__}")
        return 0
    verb = words[0]
    if verb not in VERBS:
        raise unknown("command", verb, VERBS, "`lowres --help` lists them")
    # One module a verb, loaded when it is asked for: the help of one does not wait for the imports of all.
    code: int = importlib.import_module(f"lowres.app.{verb.replace('-', '_')}").run(words[1:])
    return code


def _silence() -> None:
    """Lets what standard output still holds go nowhere when the interpreter ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _help() -> str:
    lines = [
        "usage: lowres VERB [OPTIONS]",
        "",
        "Trains small-image classifiers that match the papers, says why yours falls short, shows which change paid.",
        "",
        *(f"  {verb:<19} {does}" for verb, does in VERBS.items()),
        "",
        "`lowres VERB --help` shows a verb's options and an example. To begin with:",
        "",
        "  lowres train digits                                      nothing to download",
        "  lowres data fetch cifar10                                 170 MB into data/",
        "  lowres train resnet20-quick                               ResNet-20 on CIFAR-10 in 30 epochs",
        "  lowres doctor train.py                                    why is my accuracy low?",
    ]
    return "\n".join(lines)


def _wants_memory(error: RuntimeError) -> bool:
    import torch  # no verb that gets here has not

    from lowres.training.device import want_of_memory

    return bool(want_of_memory(error, torch.device("cpu")))


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
