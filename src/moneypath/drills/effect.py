"""Find the instant at which a fault took effect: when it first harmed a payment of a customer or a canary."""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from moneypath.drills.canary import CanaryProbeResult
from moneypath.oracle.acknowledgement_log import read_line
from moneypath.oracle.records import Acknowledgement

EVERY_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Effect:
    """The first harm: who met it, with which HTTP status, and when (monotonic clock)."""

    who: str
    status: int
    at_mono: float


class Canaries(Protocol):
    """Sends canaries, several at once."""

    async def batch(self) -> tuple[CanaryProbeResult, ...]:
        """Send a batch and return all results."""


class Clock(Protocol):
    """Knows the time; an event log does."""

    def now(self) -> float:
        """Return the present instant of the monotonic clock."""

    def mono_at(self, wall: float) -> float:
        """Return the monotonic time of a Unix time."""


@dataclass(slots=True)
class CustomersLog:
    """Reads what was appended to the load's acknowledgement log since the last look, whole lines only."""

    file: Path
    _offset: int = field(init=False)

    def __post_init__(self) -> None:
        self._offset = self.file.stat().st_size if self.file.exists() else 0

    def appended(self) -> Iterator[Acknowledgement]:
        """Yield the new answers; raises FieldInvalid for a line that is none."""
        with self.file.open("rb") as log:
            log.seek(self._offset)
            for line in log:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                row = read_line(line)
                if isinstance(row, Acknowledgement):
                    yield row


@dataclass(slots=True)
class EffectWatcher:
    """Watches customers and canaries from before the fault is commanded; `effects` are the fault's own.

    A failure that is no effect of the fault is counted in `own`, so that whoever finds no effect knows why.
    """

    customers: CustomersLog | None
    canaries: Canaries
    clock: Clock
    effects: Collection[int]
    own: Counter[int] = field(default_factory=Counter)

    async def first(self, within_seconds: float) -> Effect | None:
        """Return the first harm to anybody, None when there is none within the time."""
        deadline = self.clock.now() + within_seconds
        while True:
            canaries = [each for each in await self.canaries.batch() if self._harmed(each)]
            found = [Effect("canary", each.status, each.at_mono) for each in canaries]
            found += [
                Effect("customer", answer.status_code, self.clock.mono_at(answer.at))
                for answer in await asyncio.to_thread(self._answered)
                if answer.status_code in self.effects and answer.status_code and not answer.replayed
            ]
            if found:
                return min(found, key=lambda effect: effect.at_mono)
            if self.clock.now() >= deadline:
                return None
            await asyncio.sleep(EVERY_SECONDS)

    def _answered(self) -> list[Acknowledgement]:
        return [] if self.customers is None else list(self.customers.appended())

    def _harmed(self, result: CanaryProbeResult) -> bool:
        harmed = result.shows(self.effects)
        if not harmed and not result.is_good:
            self.own[result.status] += 1
        return harmed
