"""Says why a training's accuracy is low: examines a script, objects, a network or a log.

Layer above `runs`. A recorder writes down what a loop does (`recorder`, cut short by `cutting`), facts are gathered
once (`setup`, `network`, `pipeline`, `rates`), checks read them (`checks`), and a report ranks what they find.
"""

from lowres.doctor.findings import CHECKS, Check, Edit, Finding, Fix, Found, Place, check
from lowres.doctor.logs import examine_log
from lowres.doctor.objects import diagnose, watch
from lowres.doctor.report import Report
from lowres.doctor.script import examine_script
from lowres.doctor.setup import Setup
from lowres.doctor.single import examine_network
from lowres.doctor.target import examine_target
from lowres.doctor.terminal import explain

__all__ = [
    "CHECKS",
    "Check",
    "Edit",
    "Finding",
    "Fix",
    "Found",
    "Place",
    "Report",
    "Setup",
    "check",
    "diagnose",
    "examine_log",
    "examine_network",
    "examine_script",
    "examine_target",
    "explain",
    "watch",
]
