"""What faults were measured to cost, beside what checks expect of the case, from elsewhere.

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
        factors: By code: by how much a fault costs more, or less, than its check expects.
        source: Where they were measured.
    """

    factors: Mapping[str, float] = field(default_factory=dict)
    source: str = ""

    def weigh(self, code: str, cost: float, bounds: tuple[float, float]) -> float:
        """The points that a check expects of a case, times the factor of its code, within what the register allows."""
        if code not in self.factors:
            return cost
        low, high = bounds
        return min(max(round(cost * self.factors[code], 1), low), high)


@lru_cache(maxsize=4)
def measured(table: Path = TABLE) -> Costs:
    """The table; an empty one where there is none."""
    if not table.is_file():
        return Costs()
    document = json.loads(table.read_text(encoding="utf-8"))
    return Costs(document["factors"], document["source"])
