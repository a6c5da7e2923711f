"""A proof under way: the program, its fixes, how long trials take, and the results so far."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lowres.doctor.findings import Finding
from lowres.doctor.proof.jobs import Crew, Job, Result, Shelf, Standing, Tell
from lowres.doctor.proof.plan import Pace, Proxy, divided
from lowres.doctor.proof.shortening import shorten, shorten_arguments
from lowres.doctor.proof.shrinking import divisors, shrink
from lowres.doctor.proof.variants import Unproved, variant
from lowres.doctor.source import Source
from lowres.errors import UserError

TRIED = Proxy(images=32, epochs=1, test=32, batch=16)
"""The training by which the program's pace is measured."""
TASTED = Proxy(images=16, epochs=1, test=16, batch=16)
"""The one by which a fix's is."""
ALIKE = 2.0
"""Paces that differ by less count as the same: so short a measurement tells no more."""


@dataclass
class Case:
    """What is being proved, and what is known so far.

    Attributes:
        source: The program, as it was when the proof began.
        arguments: Of its command line.
        findings: Whose fixes are tried, by code.
        whole: Images of its training set.
        batch: Images of its batches.
        epochs: That it is meant to train for.
        base_request: What all trials are asked.
        deadline: By which trials should be over, by `time.monotonic`.
        end: Of the budget, at which those that are not are ended.
        began: When the proof did.
        tell: Hears where it stands.
        crew: Runs trials.
        kept: Where results and decisions are kept.
        follows: Whether its loop follows the number of epochs in its source.
        divided: Parts that sides of images are divided into in all trials.
        paces: Of variants, by their codes.
        results: Of trials.
    """

    source: Source
    arguments: list[str]
    findings: dict[str, Finding]
    whole: int
    batch: int
    epochs: int | None
    base_request: dict[str, Any]
    deadline: float
    end: float
    began: float
    tell: Tell
    crew: Crew
    kept: Shelf
    follows: bool = True
    divided: int = 1
    paces: dict[tuple[str, ...], Pace] = field(default_factory=dict)
    results: dict[Job, Result] = field(default_factory=dict)
    _texts: dict[tuple[str, ...], str] = field(default_factory=dict)
    _fixes: list[list[Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        # As they are at first: those that break the program are taken out later.
        self._fixes = [[code, one.cost, one.fix.diff if one.fix else ""] for code, one in self.findings.items()]

    def request(self, job: Job) -> dict[str, Any]:
        """What a trial is asked."""
        if job.codes not in self._texts:
            self._texts[job.codes] = variant(self.source, [self.findings[code] for code in job.codes])
        text = self._texts[job.codes]
        arguments, short = self.arguments, False
        if self.follows and self.epochs:
            whole = self.epochs * max(1, self.whole // max(1, self.batch))
            size = min(self.batch, job.proxy.batch or self.batch)
            batches = (whole, job.proxy.epochs * max(1, job.proxy.images // max(1, size)))
            text = shorten(text, self.epochs, job.proxy.epochs, batches).text
            arguments = shorten_arguments(arguments, self.epochs, job.proxy.epochs)
            short = True
        text = shrink(text, job.proxy.divided)
        return self.base_request | {
            "source": text,
            "arguments": arguments,
            "seed": job.seed,
            "images": job.proxy.images,
            "test": job.proxy.test,
            "batch": job.proxy.batch,
            "stop": 0 if short else job.proxy.epochs,
        }

    def run(self, jobs: Sequence[Job], stage: str, deadline: float | None = None, fresh: bool = False) -> None:
        """Runs trials and remembers what came of them; `fresh` ones also where the result is known."""
        jobs = [job for job in dict.fromkeys(jobs) if job not in self.results]
        done = 0

        def heard(place: int, result: Result) -> None:
            nonlocal done
            done += 1
            job = jobs[place]
            self.results[job] = result
            figure = result.get("figure")
            said = f"{figure:.1f} %" if figure is not None else result.get("problem") or "no figure"
            names = "+".join(job.codes) or "as it is"
            line = f"{names}, seed {job.seed}: {said}" if not stage.startswith("measuring") else ""
            self.tell(Standing(done, len(jobs), self.left, stage, line))

        self.tell(Standing(0, len(jobs), self.left, stage))
        estimates = [self.pace(job.codes).seconds(job.proxy) if self.paces else 1.0 for job in jobs]
        requests = [self.request(job) for job in jobs]
        self.crew.run(requests, estimates, deadline or self.deadline, self.end, heard, fresh)

    def pace(self, codes: tuple[str, ...]) -> Pace:
        """A variant's; of one that was not measured, its last relative's."""
        while codes not in self.paces:
            codes = codes[:-1]
        return self.paces[codes]

    def decide(self, what: str, make: Callable[[], Any]) -> Any:
        """A decision, in plain values, that depends on time: made once, and the same when the proof goes on.

        None is no decision, and not kept.
        """
        known = self.decided(what)
        if known is None:
            known = make()
            if known is not None:
                self.kept.put(self._decision(what), {"made": known})
        return known

    def decided(self, what: str) -> Any:
        """What was decided before; None if nothing was."""
        return (self.kept.get(self._decision(what)) or {"made": None})["made"]

    def _decision(self, what: str) -> dict[str, Any]:
        program = {"source": self.source.text, "arguments": self.arguments}
        return self.base_request | program | {"fixes": self._fixes, "decision": what}

    @property
    def left(self) -> float:
        """Seconds until trials should be over."""
        return max(0.0, self.deadline - time.monotonic())

    def figures(self) -> dict[tuple[tuple[str, ...], int, Proxy], float]:
        """Of all trials that have one: on test images where all have that."""
        good = {job: one for job, one in self.results.items() if one.get("figure") is not None}
        kind = "figure" if len({one["figure_of"] for one in good.values()}) < 2 else "own"
        return {(job.codes, job.seed, job.proxy): one[kind] for job, one in good.items() if one[kind] is not None}


def measure(case: Case, unproved: list[Unproved]) -> None:
    """Measures the paces of the program and of each fix; fixes that fail are left out.

    Raises:
        UserError: The program itself fails.
    """
    job, fresh = Job((), 0, TRIED), case.decided("plan") is None  # the machine may be busier or idler than last time
    case.run([job], "measuring the script's pace", time.monotonic() + 0.5 * case.left, fresh)
    result = case.results.pop(job, {"problem": "takes too long"})
    if case.follows and case.epochs and not result["problem"] and result["rounds"] != TRIED.epochs:
        case.follows = False  # its loop is bounded by something else: it is stopped after its epochs
        case.run([job], "measuring the script's pace", time.monotonic() + 0.5 * case.left, fresh)
        result = case.results.pop(job, {"problem": "takes too long"})
    if result["problem"] or not result["images"]:
        problem = result["problem"] or "no network was seen to train on its loader"
        raise UserError(f"{case.source.path} fails in a short training, so --prove cannot try its fixes: {problem}")
    if result["made_up"]:
        raise UserError("the images are not here, and stand-ins prove nothing: --data-dir names their folder")
    if result["figure"] is None:
        raise UserError(
            f"{case.source.path} evaluates nothing in a short training, and its network could not be given test images "
            "as they are, so --prove has nothing to compare"
        )
    base = case.paces[()] = _smaller(case, _pace(result), fresh)
    tasted = replace(TASTED, divided=case.divided)
    plain = Job((), 0, tasted)  # a first step is slower than others: it is compared with its like
    jobs = [Job((code,), 0, tasted) for code in case.findings]
    seconds = min(case.left, max(20.0, 0.35 * case.left))
    case.run([plain, *jobs], "measuring the fixes' paces", time.monotonic() + seconds, fresh)
    known = case.results.pop(plain, None)
    compares = known is not None and not known["problem"] and known["images"] > 0
    for one in jobs:
        taste = case.results.pop(one, None)
        if taste is None or ("images" not in taste and not compares):  # there was no time to measure it
            case.paces[one.codes] = base
            continue
        if taste["problem"] or not taste["images"]:
            why = f"with it, the script does not run to its end: {taste['problem'] or 'it trains no more'}"
            finding = case.findings.pop(one.codes[0])
            title = finding.fix.title if finding.fix else finding.title
            unproved.append(Unproved(finding.code, title, why, breaks=True))
            continue
        ratio = _train(taste) / _train(known) if known is not None and compares else 1.0
        case.paces[one.codes] = base.slower(ratio if ratio > ALIKE else 1.0)
    case.results.clear()


def _smaller(case: Case, base: Pace, fresh: bool) -> Pace:
    """Makes images smaller where the budget is small for what they are scaled to; the pace then."""

    def made() -> int:
        return divided(base, len(case.findings) + 1, case.left * case.crew.workers, divisors(case.source.text))

    by = int(case.decide("divided", made))
    if by == 1:
        return base
    job = Job((), 0, replace(TRIED, divided=by))
    case.run([job], "measuring the script's pace on smaller images", time.monotonic() + 0.5 * case.left, fresh)
    result = case.results.pop(job, {"problem": "takes too long"})
    if result["problem"] or result["figure"] is None:
        return base  # its network wants images of one size
    case.divided = by
    return _pace(result)


def _train(result: Result) -> float:
    """Seconds that training takes an image."""
    return float(result["train_seconds"] / max(1, result["images"]))


def _pace(result: Result) -> Pace:
    evaluate = result["evaluate_seconds"] / max(1, result["evaluated"])
    busy = result["train_seconds"] + result["evaluate_seconds"]
    return Pace(max(0.2, result["seconds"] - busy), _train(result), evaluate)
