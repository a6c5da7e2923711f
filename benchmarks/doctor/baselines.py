"""One program before another tool, by way of its objects or its source; prints what it found as JSON.

    python benchmarks/doctor/baselines.py torchtest2 PROGRAM --data-dir FOLDER

`requirements.txt` lists the tools. torchtest2 and torch-audit get the model, the optimizer, the loss and a batch that
the program had when it was stopped, before its first step; mldoct reads the source.
"""

import argparse
import contextlib
import importlib.util
import io
import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

from source import python_of

IMAGES = 4  # some tools train on them, two hundred steps a program


def torchtest2(path: Path, data: Path) -> list[tuple[str, str]]:
    """Every check that warned or failed."""
    from torchtest2 import check_model

    model, inputs, targets, loss, optimizer = _objects(path, data)
    report = check_model(model, inputs, targets, loss_fn=loss, optimizer=optimizer)
    grades = {"FAIL": "error", "WARN": "warning"}
    return [(r.name, grades[str(r.status)]) for r in report.results if str(r.status) in grades]


def torch_audit(path: Path, data: Path) -> list[tuple[str, str]]:
    """The findings of its phases over two steps."""
    from torch_audit import Auditor

    model, inputs, targets, loss, optimizer = _objects(path, data)
    model.train()
    auditor = Auditor(model, optimizer=optimizer, every_n_steps=1, reporters=[])
    with auditor:
        auditor.audit_static()
        auditor.audit_init()
        auditor.audit_data(inputs)
        for _ in range(2):
            optimizer.zero_grad()
            auditor.backward(loss(auditor.forward(inputs), targets))
            auditor.optimizer_step()
        findings = auditor.finish(report=False).findings
    grades = {"FATAL": "error", "ERROR": "error", "WARN": "warning", "INFO": "note"}
    rules = {(f.rule_id, grades[f.severity.name]) for f in findings if not f.suppressed}
    return sorted(rules, key=lambda rule: (["error", "warning", "note"].index(rule[1]), rule[0]))


def mldoct(path: Path, data: Path) -> list[tuple[str, str]]:
    """Its linter's issues."""
    # The package imports what only its other commands need; the linter stands alone.
    package = importlib.util.find_spec("mldoctor")
    assert package is not None
    assert package.submodule_search_locations
    spec = importlib.util.spec_from_file_location("linter", Path(package.submodule_search_locations[0]) / "linter.py")
    assert spec is not None
    assert spec.loader is not None
    linter = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(linter)
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "program.py"
        script.write_text(python_of(path), encoding="utf-8")
        issues, _ = linter.lint_script(str(script))
    grades = {"CRITICAL": "error", "ERROR": "error", "WARNING": "warning", "INFO": "note"}
    return list(dict.fromkeys((issue["type"], grades[issue["severity"]]) for issue in issues))


TOOLS = {"torchtest2": torchtest2, "torch-audit": torch_audit, "mldoct": mldoct}


def _objects(path: Path, data: Path) -> tuple[Any, Any, Any, Any, Any]:
    """The model, a batch as it got it, the loss and the optimizer."""
    import capture
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(1)
    seen = capture.run(path, data, images=IMAGES)
    if seen.model is None or seen.inputs is None or seen.labels is None or seen.optimizer is None:
        raise RuntimeError("no model, batch or optimizer was seen")
    return seen.model, seen.inputs, seen.labels[: len(seen.inputs)], seen.loss or F.cross_entropy, seen.optimizer


def main() -> None:
    """Asks one tool about one program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tool", choices=sorted(TOOLS))
    parser.add_argument("program", type=Path)
    parser.add_argument("--data-dir", type=Path, required=True)
    arguments = parser.parse_args()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        findings = TOOLS[arguments.tool](arguments.program, arguments.data_dir)
    print(json.dumps({"findings": [{"code": code, "grade": grade} for code, grade in findings]}))


if __name__ == "__main__":
    main()
