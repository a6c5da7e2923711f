"""What a fault operator and a look-alike are, and the registers they enter.

An operator edits a clean program's text. It names the fault's class in the catalogue, its tier, and the points it is
held to cost there (an estimate where the catalogue has no figure), which rank the faults of a program that has
several. `also` names the classes that follow from the same edit and are therefore right answers, too: a rate a
hundred times too high also shows as a network that has died.
"""

from collections.abc import Callable
from dataclasses import dataclass

from source import STYLES, Source

Edit = Callable[[Source], Source]


@dataclass(frozen=True)
class Fault:
    """An operator: a fault that it puts into a clean program."""

    name: str
    kind: str
    tier: int
    cost: float
    touches: str
    bases: tuple[str, ...]
    styles: tuple[str, ...]
    also: tuple[str, ...]
    apply: Edit
    what: str

    @property
    def kinds(self) -> frozenset[str]:
        """The catalogue's classes that are a right diagnosis."""
        return frozenset({self.kind, *self.also})


@dataclass(frozen=True)
class Twin:
    """A look-alike: an edit that leaves a program sound, though it resembles a fault."""

    name: str
    like: str
    bases: tuple[str, ...]
    styles: tuple[str, ...]
    apply: Edit
    what: str


FAULTS: dict[str, Fault] = {}
TWINS: dict[str, Twin] = {}


def fault(
    kind: str,
    *,
    tier: int,
    cost: float,
    touches: str,
    bases: tuple[str, ...],
    styles: tuple[str, ...] = tuple(STYLES),
    also: tuple[str, ...] = (),
) -> Callable[[Edit], Edit]:
    """Registers an edit as a fault operator; of those that touch the same thing a program gets one."""

    def register(edit: Edit) -> Edit:
        name = edit.__name__.replace("_", "-")
        FAULTS[name] = Fault(name, kind, tier, cost, touches, bases, styles, also, edit, str(edit.__doc__))
        return edit

    return register


def twin(like: str, *, bases: tuple[str, ...], styles: tuple[str, ...] = tuple(STYLES)) -> Callable[[Edit], Edit]:
    """Registers an edit as a look-alike of the class `like`."""

    def register(edit: Edit) -> Edit:
        name = edit.__name__.replace("_", "-")
        TWINS[name] = Twin(name, like, bases, styles, edit, str(edit.__doc__))
        return edit

    return register
