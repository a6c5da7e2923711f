"""What short trainings cannot tell, said of the very ones that were run."""

from collections.abc import Sequence
from statistics import fmean

from lowres.doctor.proof.case import Case
from lowres.doctor.proof.measuring import SETTLED
from lowres.doctor.proof.plan import PARTS, Proxy
from lowres.doctor.proof.verdicts import NEAR, Step


def limits(case: Case, steps: Sequence[Step], proxy: Proxy, base: Sequence[float]) -> list[str]:
    """A line for each thing that the trials cannot tell.

    Args:
        case: The proof.
        steps: Its verdicts.
        proxy: On what the whole was measured.
        base: Accuracies of the program as it is, in percent.
    """
    results = [one for job, one in case.results.items() if job.proxy == proxy and one.get("figure") is not None]
    whole = f"{case.epochs} epochs on {case.whole:,} images" if case.epochs else f"{case.whole:,} images"
    lines = [
        f"gains are those after {proxy.words}; over {whole} they can be larger or smaller: momentum and rates pay "
        f"early, augmentation, decay and schedules late"
    ]
    early = [one.code for one in steps if one.word == "too early"]
    if early:
        lines.append(f"{', '.join(early)}: pays late in a training; these were over before, and say nothing against it")
    if proxy.batch:
        lines.append(
            f"batches had {proxy.batch} images in the place of {case.batch}, for enough steps: what depends on the "
            f"batch, such as the best rate, shifts"
        )
    if proxy.divided > 1:
        lines.append(
            f"images were scaled to {PARTS[proxy.divided]} the size that the script gives them, for more of them: what "
            f"fixes of strides, pools and sizes gain depends on it"
        )
    if not case.follows or not case.epochs:
        lines.append(
            "where the number of epochs stands was not found in the source: the script was stopped after its epochs, "
            "and a schedule that runs over all of them was cut off at its beginning"
        )
    official = [one for one in results if one["figure_of"] == "test images"]
    if official and min(one["steps"] for one in official) < SETTLED:
        lines.append(
            "after so few steps running statistics of batch norms were taken anew before evaluation in eval mode"
        )
    if len(official) < len(results):
        lines.append(
            "figures are those of the script's own evaluation, as it evaluates: official test images of its data, or a "
            "network that takes them, were not found"
        )
    chance = 100 / _classes(case)
    if base and fmean(base) - chance < NEAR / 2 * (100 - chance):
        lines.append(
            f"as it is, the network is near chance ({fmean(base):.1f} %) after so little training: a larger --budget "
            f"tells more"
        )
    failed = [job for job, one in case.results.items() if one["problem"]]
    if failed:
        lines.append(
            f"{len(failed)} trial{'s' if len(failed) > 1 else ''} failed: {case.results[failed[0]]['problem']}"
        )
    if any(len(job.codes) > 1 for job in case.results):
        lines.append("each gain is in the presence of the fixes above it; alone a fix may gain more or less")
    return lines


def _classes(case: Case) -> int:
    found = [one["classes"] for one in case.results.values() if one.get("classes")]
    return max(found, default=10)
