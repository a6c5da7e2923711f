"""What a run of the bench says: the result as JSON, as text, and as a list of work for whoever mends the tool."""

import collections
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import scoring
from scoring import Outcome, Tally


def summarise(outcomes: Sequence[Outcome], tallies: Sequence[Tally]) -> dict[str, Any]:
    """Scores, seconds, misses by operator, false alarms by code."""
    seconds = sorted(outcome.seconds for outcome in outcomes)
    return {
        "programs": dict(collections.Counter(outcome.entry["group"] for outcome in outcomes)),
        "faults": sum(len(outcome.entry["faults"]) for outcome in outcomes),
        "scores": scoring.scores(tallies),
        "seconds": {
            "median": statistics.median(seconds),
            "p95": seconds[int(0.95 * (len(seconds) - 1))],
            "max": seconds[-1],
        },
        "no_answer": {outcome.entry["name"]: outcome.trouble for outcome in outcomes if outcome.trouble},
        "operators": scoring.by_operator(outcomes, tallies),
        "false_alarms": scoring.false_alarms(outcomes, tallies),
    }


def compact(result: Mapping[str, Any]) -> dict[str, Any]:
    """The result for a file: operators as found and there, the programs' names left to those who run it again."""
    operators = {name: f"{row['found']}/{row['there']}" for name, row in result["operators"].items()}
    alarms = {code: len(names) for code, names in result["false_alarms"].items()}
    return {**result, "operators": operators, "false_alarms": alarms}


def text(tool: str, result: Mapping[str, Any]) -> str:
    """The result for a terminal."""
    groups = ", ".join(f"{number} {group}" for group, number in result["programs"].items())
    lines = [f"{tool}: {sum(result['programs'].values())} programs ({groups}), {result['faults']} faults"]
    for name, score in result["scores"].items():
        if score["value"] is None:
            lines.append(f"  {name:40} nothing to count")
            continue
        low, high = score["interval"]
        part, whole = score["counts"]
        lines.append(f"  {name:40} {score['value']:.3f}  [{low:.3f}, {high:.3f}]  {part}/{whole}")
    seconds = result["seconds"]
    lines.append(
        f"  seconds a program: median {seconds['median']:.0f}, p95 {seconds['p95']:.0f}, max {seconds['max']:.0f}"
    )
    if result["no_answer"]:
        lines.append(f"  no answer: {len(result['no_answer'])}")
        lines += [f"    {name}: {why}" for name, why in result["no_answer"].items()]
    lines.append("  missed:")
    for name, row in result["operators"].items():
        if row["missed_in"]:
            lines.append(
                f"    {name} ({row['kind']}, tier {row['tier']}): found {row['found']} of {row['there']}; "
                + ", ".join(row["missed_in"])
            )
    lines.append("  false alarms:")
    lines += [f"    {code} x{len(names)}: {', '.join(names)}" for code, names in result["false_alarms"].items()]
    return "\n".join(lines)


def feedback(
    outcomes: Sequence[Outcome],
    tallies: Sequence[Tally],
    answers: Sequence[Mapping[str, Any]],
    accepted: scoring.Accepted,
) -> str:
    """Misses and false alarms program by program, in Markdown."""
    lines = [f"\n## {time.strftime('%Y-%m-%d %H:%M')}, {len(outcomes)} programs\n"]
    for name, score in scoring.scores(tallies).items():
        lines.append(f"- {name}: {score['value']} ({score['counts'][0]}/{score['counts'][1]})")
    lines.append("")
    for outcome, counts, answer in zip(outcomes, tallies, answers, strict=True):
        codes = [f"{f['code']}({f['grade'][0]}, {f.get('cost')}) {f.get('title')}" for f in answer["findings"]]
        if not (counts.missed or counts.false or outcome.trouble or counts.ranked > counts.ranked_right):
            continue
        lines.append(f"### {outcome.entry['name']} ({outcome.seconds:.0f} s)\n")
        if outcome.trouble:
            lines.append(f"- NO ANSWER: {outcome.trouble}")
        for fault in outcome.entry["faults"]:
            if fault["operator"] in counts.missed:
                codes_wanted = ", ".join(sorted(accepted(fault)))
                lines.append(
                    f"- MISSED {fault['operator']} ({fault['kind']}, tier {fault['tier']}, ~{fault['cost']} points; "
                    f"right would be one of: {codes_wanted or 'no code yet'})"
                )
        if counts.false:
            lines.append(f"- FALSE ALARM {', '.join(counts.false)}")
        if counts.ranked > counts.ranked_right:
            top = max(outcome.entry["faults"], key=lambda fault: fault["cost"])
            lines.append(f"- NOT FIRST: {top['operator']} ({top['kind']}, ~{top['cost']} points)")
        lines += [f"    - said: {code}" for code in codes]
        lines.append("")
    return "\n".join(lines) + "\n"
