"""What the executor needs from outside: queries, operator actions, a clock."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from moneypath.errors import MoneypathError
from moneypath.prometheus import Sample


class Query(Protocol):
    """Answers an instant PromQL query; raises QueryFailed when it cannot."""

    async def __call__(self, promql: str, /) -> Sequence[Sample]: ...


@dataclass(frozen=True, slots=True)
class ActionCall:
    """One call of an operator action.

    `idempotency_key` is made once per execution of a step and is the same in every retry. `reason` goes into
    the service's audit. `timeout_seconds` limits all retries together.
    """

    name: str
    arguments: tuple[str, ...]
    idempotency_key: str
    reason: str
    timeout_seconds: float


class OperatorAction(Protocol):
    """Changes the running service and returns its answer as fields.

    `changed: false` in the answer says that nothing changed, so there is nothing to undo. Raises
    ActionRefused when it certainly had no effect; after any other exception the effect is unknown.
    """

    async def __call__(self, call: ActionCall, /) -> Mapping[str, object]: ...


class ActionRefused(MoneypathError):
    """The service refused an operator action, which certainly had no effect."""

    code = "action_refused"


class ActionUnanswered(MoneypathError):
    """An operator action got no definitive answer: its effect is unknown."""

    code = "action_unanswered"


class Clock(Protocol):
    """The clock that limits are measured on."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""

    async def sleep(self, seconds: float, /) -> None:
        """Return after `seconds` of this clock."""


class SystemClock:
    """The clock of this machine."""

    def monotonic(self) -> float:
        """Return seconds of `time.monotonic`."""
        return time.monotonic()

    async def sleep(self, seconds: float, /) -> None:
        """Return after `seconds`."""
        await asyncio.sleep(seconds)
