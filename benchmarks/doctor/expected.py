"""Which answers count as right: for each class of the catalogue the codes of each tool that name it.

Generous to all tools alike: a code stands at every class whose fault it may rightly be said to name. A code that
stands nowhere is wrong on every program.
"""

from collections.abc import Mapping
from typing import Any

# torchtest2's checks; the overfitting of a batch is said to fail for "lr, loss/target mismatch, capacity".
TORCHTEST2 = {
    "C04": ("overfit_batch", "gradient_magnitude", "loss"),
    "C11": (),
    "C12": ("eval_determinism", "batch_independence"),
    "C13": ("optimizer_coverage", "params_change", "gradient_flow", "frozen_params", "overfit_batch"),
    "C14": ("optimizer_coverage", "params_change", "gradient_flow", "eval_determinism", "batch_independence"),
    "C15": ("overfit_batch", "loss", "initial_loss"),
    "C16": ("overfit_batch", "loss", "initial_loss"),
    "C20": ("params_change",),
    "C21": ("gradient_flow", "gradient_magnitude", "overfit_batch", "output_varies", "initial_loss", "params_change"),
    "C27": ("eval_determinism",),
    "C29": ("overfit_batch",),
    "C31": ("batch_independence",),
    "C33": ("output_finite", "gradient_magnitude", "loss", "overfit_batch"),
    "C34": ("overfit_batch",),
    "C07": ("overfit_batch",),
    "C10": ("initial_loss", "gradient_magnitude", "overfit_batch"),
    "C30": ("overfit_batch",),
    "C01": ("gradient_flow", "input_dependency"),
}
# torch-audit's rules.
TORCH_AUDIT = {
    "C01": ("TA405", "TA103"),
    "C04": ("TA100", "TA102"),
    "C07": ("TA401",),
    "C10": ("TA301",),
    "C12": ("TA304", "TA501"),
    "C13": ("TA104", "TA500", "TA103"),
    "C14": ("TA500", "TA104"),
    "C21": ("TA100", "TA102", "TA103", "TA105", "TA104"),
    "C26": ("TA303", "TA301"),
    "C33": ("TA100", "TA102"),
    "C09": ("TA301",),
    "C20": ("TA104", "TA102"),
}
# mldoct's linter; its classifier of training curves wants the log of a finished run.
MLDOCT = {
    "C11": ("missing_eval",),
    "C20": ("missing_zero_grad",),
    "C15": ("double_softmax",),
    "C28": ("cpu_bottleneck",),
}
# The doctor's checks.
DOCTOR = {
    "C01": ("AR101", "AR102"),
    "C02": ("LR103", "LR105"),
    "C03": ("LR104", "LR105", "LR106", "LR107", "LR108", "LR109"),
    "C04": ("LR101", "LR102", "LR111"),
    "C05": ("DA201", "DA203"),
    "C06": ("TR501", "TR505"),
    "C07": ("TR502", "TR503", "TR505"),
    "C08": ("DA202", "DA203"),
    "C09": ("DA204", "DA205"),
    "C10": ("DA210",),
    "C11": ("EV401", "EV402"),
    "C12": ("AR106", "AR107", "AR108", "AR109"),
    "C13": ("TR511", "TR514"),
    "C14": ("TR512", "TR513"),
    "C15": ("LO301", "LO302", "LO303", "LO306"),
    "C16": ("DA207", "DA215"),
    "C17": ("DA208",),
    "C18": ("DA206",),
    "C19": ("TR525",),
    "C20": ("TR521", "TR522", "TR523"),
    "C21": ("AR110", "AR111"),
    "C22": ("TR531", "TR532"),
    "C23": ("LR111",),
    "C24": ("EV404", "EV405"),
    "C25": ("EV403", "DA213"),
    "C26": ("DA209", "DA216"),
    "C27": ("AR104",),
    "C28": ("DA211",),
    "C29": ("AR112",),
    "C30": ("DA212", "AR114"),
    "C31": ("AR105",),
    "C32": ("DA217",),
    "C33": ("TR524", "TR526", "LO305"),
    "C34": ("AR103",),
}
TOOLS: dict[str, Mapping[str, tuple[str, ...]]] = {
    "doctor": DOCTOR,
    "torchtest2": TORCHTEST2,
    "torch-audit": TORCH_AUDIT,
    "mldoct": MLDOCT,
}


# Codes that count where they are right, and are not held against a tool where they are not: advice on a GPU's speed,
# which is not asked for here, and what is said of the four images that the harness hands over.
SPARED = {"torch-audit": frozenset({"TA200", "TA201", "TA304"})}


class Accepted:
    """The acceptable codes of a fault, for one tool: its own class's, and those of the classes it entails."""

    def __init__(self, table: Mapping[str, tuple[str, ...]], spared: frozenset[str] = frozenset()) -> None:
        self.table = table
        self.spared = spared

    def __call__(self, fault: Mapping[str, Any]) -> frozenset[str]:
        kinds = (fault["kind"], *fault["also"])
        return frozenset(code for kind in kinds for code in self.table.get(kind, ()))


def accepted(tool: str) -> Accepted:
    """What counts as right for a tool."""
    return Accepted(TOOLS[tool], SPARED.get(tool, frozenset()))
