"""Points that faults were measured to cost, beside what checks expect of the case, from elsewhere.

`benchmarks/doctor/calibrate.py` writes the table, `costs.json` beside this file; without it the checks stand alone.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

TABLE = Path(__file__).with_name("costs.json")
LEAST = 0.3
"""Points below which a warning is a note."""


@dataclass(frozen=True)
class Costs:
    """Measured costs.

    Attributes:
        points: By code.
        source: Where they were measured.
    """

    points: Mapping[str, float] = field(default_factory=dict)
    source: str = ""

    def beside(self, code: str, cost: float) -> float:
        """The mean of what is expected and of what was measured; `cost` where nothing was."""
        return (cost + self.points[code]) / 2 if code in self.points else cost


@lru_cache(maxsize=4)
def measured(table: Path = TABLE) -> Costs:
    """The table; an empty one where there is none."""
    if not table.is_file():
        return Costs()
    document = json.loads(table.read_text(encoding="utf-8"))
    return Costs(document["points"], document["source"])
