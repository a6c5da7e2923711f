"""Ladders: recipes in order, each adding one change, run with several seeds, with a verdict for each rung."""

from lowres.ladder.catalogue import list_ladders, load_ladder
from lowres.ladder.cells import Cell, Plan, plan
from lowres.ladder.definition import Ladder, Rung, read_ladder
from lowres.ladder.foreman import Progress
from lowres.ladder.runner import CellsFailed, Unkept, climb, folder_of
from lowres.ladder.table import Row, Table

__all__ = [
    "Cell",
    "CellsFailed",
    "Ladder",
    "Plan",
    "Progress",
    "Row",
    "Rung",
    "Table",
    "Unkept",
    "climb",
    "folder_of",
    "list_ladders",
    "load_ladder",
    "plan",
    "read_ladder",
]
