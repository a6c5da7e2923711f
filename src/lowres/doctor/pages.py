"""The documentation's page of findings, made from the register: `python -m lowres.doctor.pages > FILE`."""

import sys

from lowres.doctor.findings import CHECKS

THEMES = {
    "AR": "The network",
    "DA": "Data",
    "LR": "Rate and schedule",
    "LO": "Loss",
    "EV": "Evaluation",
    "TR": "The training loop, optimizer and budget",
}
HEAD = """\
# Findings

What `lowres doctor` can find, by code. This page is made from the checks themselves
(`python -m lowres.doctor.pages`); `lowres doctor --explain CODE` prints an entry.

An **error** is proved by arithmetic or by a probe, a **warning** is a measured prior, a **note** is style or a choice.
Costs are points of accuracy on CIFAR-10 where nothing else is said, taken from the source that is named;
a finding's own figure lies within them. `# lowres: ignore[CODE]` behind a line silences a finding there, on a line of
its own in the whole file.
"""


def page() -> str:
    """The page, in Markdown."""
    import lowres.doctor.checks  # noqa: F401 - its modules register themselves

    text = HEAD
    for prefix, theme in THEMES.items():
        text += f"\n## {theme}\n"
        for code, entry in sorted(CHECKS.items()):
            if code.startswith(prefix):
                words = "\n".join(line.removeprefix("    ") for line in entry.explanation.splitlines())
                low, high = entry.cost
                text += f"\n### {code}: {entry.title}\n\n{words}\n\n"
                text += f"*{entry.grade}; {low:g} to {high:g} points: {entry.source}.*\n"
    return text


if __name__ == "__main__":
    sys.stdout.write(page())
