"""Clocks. Everything that needs an instant gets it as a parameter, SQL included."""

import contextlib
import time
from datetime import UTC, datetime
from typing import Annotated, Protocol

from pydantic import PlainValidator


def _read_instant(value: object) -> datetime:
    """Return an ISO 8601 instant with a zone as UTC. Raises ValueError, which does not quote it."""
    with contextlib.suppress(ValueError):
        if isinstance(value, str) and len(value) <= 40:
            instant = datetime.fromisoformat(value)
            # Not the first and the last year: a conversion to another zone could leave the range.
            if instant.tzinfo is not None and 1 < instant.year < 9999:
                return instant.astimezone(UTC)
    raise ValueError("an instant is not ISO 8601 with a zone")


# An instant in the input of another party.
Instant = Annotated[datetime, PlainValidator(_read_instant)]


class Clock(Protocol):
    """Two readings: an instant to store and compare across processes, and seconds to measure durations."""

    def now(self) -> datetime:
        """Return the current instant in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        """Return the current instant in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        return time.monotonic()
