"""Where time comes from; everything that needs an instant is handed one, SQL included."""

import contextlib
import time
from datetime import UTC, datetime
from typing import Annotated, Protocol

from pydantic import PlainValidator


def _read_instant(value: object) -> datetime:
    """Return an ISO 8601 instant with its zone as UTC; raises ValueError, which does not quote it."""
    with contextlib.suppress(ValueError):
        if isinstance(value, str) and len(value) <= 40:
            instant = datetime.fromisoformat(value)
            # In the first and the last year there is, a step aside may lead out of what can be told.
            if instant.tzinfo is not None and 1 < instant.year < 9999:
                return instant.astimezone(UTC)
    raise ValueError("an instant is not ISO 8601 with a zone")


# As somebody else may state one.
Instant = Annotated[datetime, PlainValidator(_read_instant)]


class Clock(Protocol):
    """Two readings: an instant to store and compare across processes, and seconds to measure with."""

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
