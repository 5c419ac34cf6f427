"""What the executor needs from outside: a query, levers, a clock."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from moneypath.errors import MoneypathError


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of an instant query."""

    labels: Mapping[str, str]
    value: float


class Query(Protocol):
    """Answers an instant PromQL query; raises QueryFailed when it cannot."""

    async def __call__(self, promql: str, /) -> Sequence[Sample]: ...


class QueryFailed(MoneypathError):
    """A query that has no answer: nothing is known, least of all zero."""

    code = "query_failed"


@dataclass(frozen=True, slots=True)
class LeverCall:
    """One pull of a lever.

    `idempotency_key` is minted once per step execution and is the same in every retry of it;
    `reason` goes into the service's audit; `timeout_seconds` bounds all retries together.
    """

    name: str
    arguments: tuple[str, ...]
    idempotency_key: str
    reason: str
    timeout_seconds: float


class Lever(Protocol):
    """Changes the running service and returns its answer as fields.

    An answer with `changed: false` says that all was so before: there is nothing to undo. Raises
    LeverRefused when it certainly had no effect; after any other exception the effect is unknown.
    """

    async def __call__(self, call: LeverCall, /) -> Mapping[str, object]: ...


class LeverRefused(MoneypathError):
    """A lever that was answered with a refusal and certainly had no effect."""

    code = "lever_refused"


class LeverUnanswered(MoneypathError):
    """A lever without a definitive answer: its effect is unknown."""

    code = "lever_unanswered"


class Clock(Protocol):
    """The time that `within` is counted in."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""

    async def sleep(self, seconds: float, /) -> None:
        """Return after `seconds` of this clock."""


class SystemClock:
    """The clock of the event loop's own machine."""

    def monotonic(self) -> float:
        """Return seconds of `time.monotonic`."""
        return time.monotonic()

    async def sleep(self, seconds: float, /) -> None:
        """Return after `seconds`."""
        await asyncio.sleep(seconds)
