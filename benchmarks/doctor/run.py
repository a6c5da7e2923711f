"""Runs the doctor, or a tool it is compared with, over the bench and scores its answers.

    LOWRES_DATA_DIR=FOLDER python benchmarks/doctor/run.py --out benchmarks/results/doctor-bench.json
    LOWRES_DATA_DIR=FOLDER python benchmarks/doctor/run.py --tool torchtest2 --tool-path FOLDER

Programs are written into the work folder, which should lie outside the repository; answers are kept there, by hash of
program and tool, so that a run that was stopped goes on where it was. Each program has a process of its own with one
thread.
"""

import argparse
import concurrent.futures
import hashlib
import importlib.metadata
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import capture
import expected
import report
import scoring
import torch
from programs import all_programs, write
from scoring import Outcome

import lowres
from lowres.doctor import source
from lowres.runs import manifest

HERE = Path(__file__).parent
COMMAND = "from lowres.app.main import main; main()"
TOOLS = ("doctor", "torchtest2", "torch-audit", "mldoct")


def fingerprint(tool: str) -> str:
    """A hash of what answers: the doctor's sources, or the tool's version and the adapter."""
    digest = hashlib.sha256()
    if tool == "doctor":
        root = Path(lowres.__file__).parent
        paths = sorted({*root.glob("doctor/**/*.py"), *root.glob("doctor/*.json"), *root.glob("app/doctor*.py")})
    else:
        paths = [HERE / "baselines.py", HERE / "capture.py", HERE / "requirements.txt"]
    for path in paths:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def sample(entries: Sequence[Mapping[str, Any]], number: int, seed: int) -> list[Mapping[str, Any]]:
    """That many programs, of each group its share, and at least one."""
    draw = random.Random(seed)
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        groups.setdefault(entry["group"], []).append(entry)
    chosen = []
    for members in groups.values():
        share = max(1, round(number * len(members) / len(entries)))
        chosen += draw.sample(members, min(share, len(members)))
    return chosen


def ask(tool: str, program: Path, arguments: argparse.Namespace, kept: Path) -> dict[str, Any]:
    """A tool's answer to a program; kept for the next time. The doctor's has the program as its fixes leave it."""
    if kept.exists():
        return dict(json.loads(kept.read_text(encoding="utf-8")))
    paths = [str(Path(lowres.__file__).parents[1]), *([str(arguments.tool_path)] if arguments.tool_path else [])]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "TORCH_HOME": str(arguments.work / "torch"),
        "PYTHONPATH": os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
    }
    fixed = kept.with_name(f"{kept.stem}.fixed{program.suffix}")
    if tool == "doctor":
        command = [sys.executable, "-c", COMMAND, "doctor", str(program), "--json", "--fix", "--out", str(fixed)]
        command += ["--seconds", str(arguments.seconds)] if arguments.seconds else []
    else:
        command = [sys.executable, str(HERE / "baselines.py"), tool, str(program)]
    command += ["--data-dir", str(arguments.data_dir)]
    started = time.perf_counter()
    try:
        done = subprocess.run(
            command, env=environment, cwd=arguments.work, capture_output=True, text=True, timeout=arguments.timeout
        )
        answer = read(done.stdout)
        if answer is None:
            lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
            answer = {"findings": [], "trouble": f"exit {done.returncode}: {lines[-1] if lines else 'nothing printed'}"}
    except subprocess.TimeoutExpired:
        answer = {"findings": [], "trouble": f"no answer within {arguments.timeout:.0f} s"}
    answer["seconds"] = round(time.perf_counter() - started, 1)
    if tool == "doctor" and "trouble" not in answer:
        answer["fixed"] = source.read(fixed if fixed.exists() else program).text
    if "trouble" not in answer:  # trouble may have been the machine's
        part = kept.with_suffix(".part")
        part.write_text(json.dumps(answer), encoding="utf-8")
        part.replace(kept)
    return answer


def read(printed: str) -> dict[str, Any] | None:
    """The findings in what a tool printed: the JSON that begins with the first brace at a line's start."""
    lines = printed.splitlines()
    start = next((index for index, line in enumerate(lines) if line.startswith("{")), None)
    if start is None:
        return None
    try:
        document = json.loads("\n".join(lines[start:]))
    except json.JSONDecodeError:
        return None
    findings = [{key: f.get(key) for key in ("code", "grade", "cost", "title")} for f in document["findings"]]
    answer: dict[str, Any] = {"findings": findings}
    answer["blind"] = any("ended before its end" in note for note in document.get("notes", ()))
    if document.get("problem"):
        answer["problem"] = document["problem"]
        if not findings:
            answer["trouble"] = document["problem"]
    return answer


def place_of(tool: str, program: Path, work: Path) -> Path:
    """Where the answer of a tool, as it is now, is kept."""
    digest = hashlib.sha256(program.read_bytes() + fingerprint(tool).encode()).hexdigest()[:24]
    folder = work / "answers" / tool
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{digest}.json"


def outcomes(
    tool: str, entries: Sequence[Mapping[str, Any]], arguments: argparse.Namespace
) -> Iterable[tuple[Outcome, dict[str, Any]]]:
    """Asks about every program, several at a time, and yields answers as they come."""

    def one(entry: Mapping[str, Any]) -> tuple[Outcome, dict[str, Any]]:
        program = arguments.work / "programs" / entry["file"]
        answer = ask(tool, program, arguments, place_of(tool, program, arguments.work))
        findings = tuple((f["code"], f["grade"]) for f in answer["findings"])
        return Outcome(entry, findings, answer["seconds"], answer.get("trouble", "")), answer

    with concurrent.futures.ThreadPoolExecutor(arguments.workers) as pool:
        for number, future in enumerate(
            concurrent.futures.as_completed(pool.submit(one, entry) for entry in entries), start=1
        ):
            outcome, answer = future.result()
            said = " ".join(f"{code}{'' if grade == 'error' else '/' + grade[0]}" for code, grade in outcome.findings)
            print(
                f"{number}/{len(entries)} {outcome.entry['name']} {outcome.seconds:.0f} s: {outcome.trouble or said}",
                file=sys.stderr,
                flush=True,
            )
            yield outcome, answer


def main() -> None:
    """Runs, scores, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("LOWRES_DATA_DIR", "data"))
    parser.add_argument("--data-dir", type=Path, default=data, help="where CIFAR-10 lies; LOWRES_DATA_DIR or data/")
    work = Path.home() / ".cache" / "lowres" / "doctor-bench"
    parser.add_argument("--work", type=Path, default=work, help="programs and answers, kept between runs")
    parser.add_argument("--tool", choices=TOOLS, default="doctor")
    parser.add_argument("--tool-path", type=Path, help="folder that the tool was installed into")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) // 2))
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds for a program")
    parser.add_argument("--seconds", type=float, help="the doctor's own limit; by default its default")
    parser.add_argument("--sample", type=int, help="only about that many programs, of each group its share")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--names", nargs="+", help="only programs whose names contain one of these")
    parser.add_argument("--out", type=Path, help="put the result under the tool's name in this JSON file")
    parser.add_argument("--feedback", type=Path, help="append misses and false alarms to this Markdown file")
    arguments = parser.parse_args()
    arguments.work, arguments.data_dir = arguments.work.resolve(), arguments.data_dir.resolve()
    capture.stand_in_weights(arguments.work / "torch")
    entries: list[Mapping[str, Any]] = json.loads(
        write(arguments.work / "programs", all_programs()).read_text(encoding="utf-8")
    )
    if arguments.names:
        entries = [e for e in entries if any(part in e["name"] for part in arguments.names)]
    if arguments.sample:
        entries = sample(entries, arguments.sample, arguments.seed)
    pairs = sorted(outcomes(arguments.tool, entries, arguments), key=lambda pair: str(pair[0].entry["name"]))
    found = [outcome for outcome, _ in pairs]
    accepted = expected.accepted(arguments.tool)
    tallies = [scoring.tally(outcome, accepted, accepted.spared) for outcome in found]
    result = report.summarise(found, tallies)
    result["sources"] = fingerprint(arguments.tool)[:24]  # a later doctor may answer otherwise
    result["machine"] = manifest.describe(torch.device("cpu"))
    if arguments.tool != "doctor" and arguments.tool_path:
        path = [str(arguments.tool_path)]
        result["version"] = next(d.version for d in importlib.metadata.distributions(name=arguments.tool, path=path))
    if arguments.feedback:
        with arguments.feedback.open("a", encoding="utf-8") as file:
            file.write(report.feedback(found, tallies, [answer for _, answer in pairs], accepted))
    if arguments.out:
        document = json.loads(arguments.out.read_text(encoding="utf-8")) if arguments.out.exists() else {}
        document[arguments.tool] = report.compact(result)
        arguments.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(report.text(arguments.tool, result))


if __name__ == "__main__":
    main()
