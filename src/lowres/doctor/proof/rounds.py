"""The rounds of a proof: a first look at all fixes, then more seeds or a longer training for what is undecided."""

import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from lowres.doctor.proof.case import Case
from lowres.doctor.proof.jobs import Job
from lowres.doctor.proof.limits import limits
from lowres.doctor.proof.plan import Proxy, affordable, chained, largest, least
from lowres.doctor.proof.variants import Unproved
from lowres.doctor.proof.verdicts import (
    REGULARISING,
    SCHEDULES,
    Proof,
    Step,
    Without,
    compared,
    decided,
    differences_of,
    step_of,
)
from lowres.errors import UserError
from lowres.ladder.looks import next_look
from lowres.ladder.statistics import describe

LONGER = 1.5
"""A longer training is so many times longer at least, to be worth it."""
LONGEST = 4.0
"""And at most, in one round."""

Chain = tuple[str, ...]


def planned(case: Case, unproved: list[Unproved]) -> tuple[Chain, Proxy, int]:
    """Which fixes are tried, in which order, on what, with how many seeds at first.

    Raises:
        UserError: The budget is too small to decide anything, or every fix breaks the program.
    """
    if not case.findings:
        raise UserError("no fix can be tried: " + "; ".join(f"{one.code}: {one.why}" for one in unproved))
    codes = sorted(case.findings, key=lambda code: -case.findings[code].cost)
    base = case.paces[()]
    factors = [case.paces[code,].train / base.train for code in codes]
    costs = [case.findings[code].cost for code in codes]
    late = [case.findings[code].kind in (*REGULARISING, *SCHEDULES) for code in codes]
    epochs = case.epochs or 1_000
    seconds = case.left * case.crew.workers

    def make() -> dict[str, Any] | None:
        order, proxy, seeds = affordable(base, factors, costs, seconds, case.whole, case.batch, epochs, late)
        if proxy is None:
            return None
        proxy = replace(proxy, divided=case.divided)
        return {"chain": [codes[i] for i in order], "proxy": proxy.to_json(), "seeds": seeds}

    made = case.decide("plan", make)
    if made is None:
        spent = time.monotonic() - case.began
        needed = spent + least(base, min(factors, default=1.0), case.crew.workers, case.whole, case.batch, epochs)
        raise UserError(
            f"--budget is too small to decide anything here: one fix on the smallest training takes {_minutes(needed)}"
        )
    chain = tuple(code for code in made["chain"] if code in case.findings)
    for code in codes:
        if code not in chain:
            finding, factor = case.findings[code], case.paces[code,].train / base.train
            slow = f": each step takes {factor:.0f} times as long" if factor >= LONGER else ""
            title = finding.fix.title if finding.fix else finding.title
            unproved.append(Unproved(code, title, f"the budget does not reach for it{slow}"))
    for i, pace in enumerate(chained(base, [case.paces[code,].train / base.train for code in chain])):
        case.paces[chain[:i]] = pace
    return chain, Proxy(**made["proxy"]), int(made["seeds"])


def _minutes(seconds: float) -> str:
    return f"{1.25 * seconds:.0f}s" if seconds < 100 else f"{1.25 * seconds / 60:.0f}m"


def rounds(case: Case, chain: Chain, proxy: Proxy, seeds: int) -> list[Step]:
    """Runs trials until all is decided or the budget is spent; the fixes' verdicts, in their order."""
    tried = [[proxy] for _ in chain]
    case.run(_jobs(chain, range(len(chain) + 1), range(seeds), proxy), f"first look, {proxy.words}")
    for number in range(1, 100):
        _learn(case)
        on = [one[-1] for one in tried]
        measured = [_differences(case, chain, i, on[i]) for i in range(len(chain))]
        undecided = [i for i in range(len(chain)) if not decided(measured[i], seeds, len(tried[i]))]
        if not undecided or case.left < 1:
            break
        more = _more_seeds(case, chain, undecided, on, seeds)
        longer = _longer(case, chain, undecided, on, seeds, number)
        if more and (longer is None or _suffices(case, chain, undecided, tried, seeds)):
            case.run(more, "more seeds for what is undecided")
        elif longer is not None:
            for i in undecided:
                tried[i].append(longer)
            ends = _ends(chain, undecided)
            case.run(_jobs(chain, ends, range(seeds), longer), f"a longer training, {longer.words}")
        else:
            break
    return [_step(case, chain, i, tried[i], seeds) for i in range(len(chain))]


def _jobs(chain: Chain, lengths: Sequence[int], seeds: Sequence[int], proxy: Proxy) -> list[Job]:
    return [Job(chain[:length], seed, proxy) for seed in seeds for length in lengths]


def _ends(chain: Chain, steps: Sequence[int]) -> list[int]:
    """The variants on both sides of some steps, and the first and the last of all."""
    return sorted({0, len(chain), *steps, *(i + 1 for i in steps)})


def _differences(case: Case, chain: Chain, i: int, proxy: Proxy) -> list[float]:
    return differences_of(case.figures(), chain[:i], chain[: i + 1], proxy)


def _more_seeds(case: Case, chain: Chain, steps: Sequence[int], on: Sequence[Proxy], seeds: int) -> list[Job]:
    """The trials of the next look; none if there is no time for them."""
    jobs: dict[Job, None] = {}
    for i in steps:
        have = len(_differences(case, chain, i, on[i]))
        wanted = range(next_look(seeds, have)) if have >= seeds else range(seeds)
        for job in _jobs(chain, (i, i + 1), wanted, on[i]):
            if job not in case.results:
                jobs[job] = None
    return list(jobs) if _takes(case, list(jobs)) <= case.left else []


def _takes(case: Case, jobs: Sequence[Job]) -> float:
    """Seconds by the clock."""
    return sum(case.pace(job.codes).seconds(job.proxy) for job in jobs) / case.crew.workers


def _suffices(case: Case, chain: Chain, steps: Sequence[int], tried: Sequence[Sequence[Proxy]], seeds: int) -> bool:
    """Whether the next look is likely to decide one of the steps."""
    for i in steps:
        values = _differences(case, chain, i, tried[i][-1])
        comparison = compared(values, seeds, len(tried[i])) if values else None
        if comparison is None or comparison.word == "no verdict":
            return True
        if comparison.more is not None and comparison.more <= next_look(seeds, len(values)) - len(values):
            return True
    return False


def _longer(
    case: Case, chain: Chain, steps: Sequence[int], on: Sequence[Proxy], seeds: int, number: int
) -> Proxy | None:
    """A longer training for which there is time."""
    paces = [case.pace(chain[:length]) for length in _ends(chain, steps)]
    now = max(on[i].passes for i in steps)
    seconds = min(
        0.9 * case.left * case.crew.workers, LONGEST * seeds * sum(p.seconds(_first(on, steps)) for p in paces)
    )

    def made() -> dict[str, int] | None:
        found = largest(paces, seconds, seeds, case.whole, case.batch, case.epochs or 1_000, above=round(LONGER * now))
        return replace(found, divided=case.divided).to_json() if found else None

    decision = case.decide(f"longer {number}", made)
    return Proxy(**decision) if decision else None


def _first(on: Sequence[Proxy], steps: Sequence[int]) -> Proxy:
    return max((on[i] for i in steps), key=lambda one: one.passes)


def _learn(case: Case) -> None:
    """Corrects the paces by what the latest trials took."""
    ratios = [
        one["wall"] / case.pace(job.codes).seconds(job.proxy)
        for job, one in case.results.items()
        if one.get("wall") and not one["problem"]
    ][-12:]
    if ratios:
        ratio = sorted(ratios)[len(ratios) // 2]
        case.paces = {
            codes: type(p)(p.start * ratio, p.train * ratio, p.evaluate * ratio) for codes, p in case.paces.items()
        }


def _step(case: Case, chain: Chain, i: int, tried: Sequence[Proxy], seeds: int) -> Step:
    finding = case.findings[chain[i]]
    length = len(tried)
    while length > 1 and len(_differences(case, chain, i, tried[length - 1])) < seeds:
        length -= 1  # a longer training was begun, and its first look not ended
    proxy = tried[length - 1]
    measured = _differences(case, chain, i, proxy)
    without = [
        one
        for job, one in case.results.items()
        if job.codes == chain[:i] and job.proxy == proxy and one.get("figure") is not None
    ]
    training = [one["training"] for one in without if one["training"] is not None]
    stand = Without(
        fmean(training) if training else None,
        fmean(one["figure"] for one in without) if without else 0.0,
        100 / max((one["classes"] for one in without), default=10),
    )
    return step_of(finding, measured, seeds, proxy, stand, length)


def concluded(case: Case, steps: list[Step], unproved: list[Unproved], notes: list[str]) -> Proof:
    """The whole proof: measures the program without the withdrawn fixes, if there is time for it.

    Raises:
        UserError: No trial gave a figure.
    """
    chain = tuple(one.code for one in steps)
    withdrawn = tuple(one.code for one in steps if one.word == "withdrawn")
    kept = tuple(code for code in chain if code not in withdrawn)
    ends = _measured(case, (), chain) or _measured(case, (), ())
    if not ends:
        problems = [one["problem"] for one in case.results.values() if one["problem"]]
        raise UserError(f"no trial gave a figure: {problems[0] if problems else 'the budget ended before'}")
    proxy = ends[0]
    if withdrawn and kept:
        case.paces.setdefault(kept, case.paces[chain])
        seeds = sorted(job.seed for job in case.results if not job.codes and job.proxy == proxy)
        jobs = [Job(kept, seed, proxy) for seed in seeds]
        if _takes(case, jobs) <= case.end - time.monotonic():
            case.run(jobs, "all fixes that pay, together", case.end)
    figures = case.figures()
    base = [figure for (codes, _, on), figure in figures.items() if not codes and on == proxy]
    gains = differences_of(figures, (), kept, proxy)
    mended = [figure for (codes, _, on), figure in figures.items() if codes == kept and on == proxy]
    own = [one["own"] for job, one in case.results.items() if not job.codes and job.proxy == proxy and one.get("own")]
    return Proof(
        steps=tuple(steps),
        base=describe(base),
        mended=describe(mended) if mended else None,
        total=describe(gains) if gains else None,
        own=sum(own) / len(own) if own else None,
        proxy=proxy,
        withdrawn=withdrawn,
        unproved=tuple(unproved),
        limits=(*limits(case, steps, proxy, base), *notes),
        trials=len(case.results),
        seconds=time.monotonic() - case.began,
    )


def _measured(case: Case, first: Chain, last: Chain) -> list[Proxy]:
    """Proxies on which both ends were measured with a seed in common, the longest with two or more first."""
    figures = case.figures()
    found = {proxy: len(differences_of(figures, first, last, proxy)) for _, _, proxy in figures}
    return sorted((one for one, count in found.items() if count), key=lambda one: (found[one] < 2, -one.passes))
