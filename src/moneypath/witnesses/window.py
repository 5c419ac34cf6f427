"""The time that an audit judges, and the margin around it that it reads to find counterparts."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

# What a timestamp of PostgreSQL and of Python can be.
_LAST: Final = datetime(9999, 12, 31, tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class Window:
    """From `since` on and before `until`, in Unix seconds; what is `settle` outside of it is read too.

    The two records of one movement may be that far apart. What lies in the margin is a counterpart of what
    is inside, and not judged itself: its own counterpart may lie beyond. Without an `is_bounded` end all that
    is later is read and counted too, so that a row with a time of the future does not go unseen.
    """

    since: float = -math.inf
    until: float = math.inf
    settle: float = 0.0
    is_bounded: bool = True

    @property
    def is_partial(self) -> bool:
        """Whether earlier rows are left out, so that what they build up to is not known."""
        return self.since > -math.inf

    @property
    def is_cut(self) -> bool:
        """Whether any row may be left out or is not judged."""
        return self.since > -math.inf or self.until < math.inf

    @property
    def reads_from(self) -> float:
        """Return the earliest time that is read."""
        return self.since - self.settle

    @property
    def reads_to(self) -> float:
        """Return the time before which is read."""
        return self.until + self.settle if self.is_bounded else math.inf

    def reads(self, at: float) -> bool:
        """Tell whether a row of this time is read."""
        return self.reads_from <= at < self.reads_to

    def judges(self, at: float) -> bool:
        """Tell whether what happened at this time is judged."""
        return self.since <= at < self.until


def read_time(value: str | float | None) -> float | None:
    """Return a time in Unix seconds: a number, or ISO 8601 with an offset; None if it is neither."""
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return _read_iso(value)
    elif value is None:
        return None
    else:
        number = value
    return number if math.isfinite(number) and abs(number) <= _LAST else None


def _read_iso(text: str) -> float | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if at.tzinfo is None else at.timestamp()


def show_time(at: float) -> str:
    """Return a time as people read it, in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
