"""Times as people write them: 90s, 10m, 2h."""

import math
import re

from lowres.errors import UserError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def seconds_of(duration: str | float) -> float:
    """Seconds of a duration.

    >>> seconds_of("1.5h")
    5400.0

    Args:
        duration: Seconds, or a number with s, m or h behind it; several may follow each other: "1h30m".

    Raises:
        UserError: It is not of that form, or not above zero.
    """
    if isinstance(duration, str):
        parts = re.findall(r"(\d+(?:\.\d+)?)\s*([smh])", duration)
        if not parts or re.fullmatch(r"(?:\s*\d+(?:\.\d+)?\s*[smh])+\s*", duration) is None:
            raise UserError(f"the time {duration!r} is not of the form 90s, 10m, 2h or 1h30m")
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    else:
        seconds = float(duration)
    if not 0 < seconds < math.inf:
        raise UserError(f"the time is {duration!r}, but must be above 0")
    return seconds
