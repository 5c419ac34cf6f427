"""Durations as people write them: `30s`, `5m`, `1h`, `30d`."""

import re
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PATTERN: Final = re.compile(r"(\d{1,6})(ms|s|m|h|d)")


def parse_duration(text: object) -> float:
    """Return `text` in seconds; raise ValueError that names the allowed form otherwise."""
    match = _PATTERN.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("is not a duration; allowed: a whole number and ms, s, m, h or d, as in 30s")
    return int(match[1]) * UNITS[match[2]]


def format_duration(seconds: float) -> str:
    """Return `seconds` in the largest units that read well: `8.4 s`, `1 min 5 s`, `2 h 10 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


Duration = Annotated[float, BeforeValidator(parse_duration), Field(ge=0)]
"""Seconds, written as text with a unit; in models only."""
