"""Watch the harm to customers, and record when it begins, when it ends and that it stays so."""

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from moneypath.drills.expected import Harm
from moneypath.incidents.events import EventLog
from moneypath.incidents.timeline import Kind
from moneypath.prometheus import Sample
from moneypath.runbooks.holding import HoldTracker, counted
from moneypath.runbooks.ports import Query

EVERY_SECONDS: Final = 0.2
MAX_VALUES: Final = 10


class _State(StrEnum):
    FINE = "fine"
    HARMED = "harmed"
    UNKNOWN = "unknown"


_KINDS: Final = {
    _State.FINE: Kind.HARM_ENDED,
    _State.HARMED: Kind.HARM_STARTED,
    _State.UNKNOWN: Kind.HARM_UNKNOWN,
}


class HarmWatcher:
    """Records each change between harmed, fine and unknown, and once that an end has lasted.

    Every event carries the events counted so far, so that whoever reads the log can tell on how much an end
    rests. Without samples, or with a counter that went back, nothing is known: neither harm nor recovery.
    """

    def __init__(self, harm: Harm, log: EventLog, *, scale: int) -> None:
        self._harm, self._log = harm, log
        self._hold_seconds = harm.hold.real_seconds(scale)
        self._state = _State.FINE
        self._count: float | None = None
        self._tracker = HoldTracker()
        self._begun = False
        self._over = False

    async def run(self, query: Query) -> None:
        """Watch until cancelled."""
        while True:
            samples = await query(self._harm.query)
            self.look(samples, counted(await query(self._harm.hold.counter)))
            await asyncio.sleep(EVERY_SECONDS)

    def look(self, samples: Sequence[Sample], count: float | None) -> None:
        """Take one look at the harm and at the counter of its evidence."""
        state = self._judge(samples, count)
        self._count = count
        changed, self._state = state is not self._state, state
        self._begun = self._begun or state is _State.HARMED
        if not self._begun:
            return  # before harm there is nothing that could end
        if changed:
            # The very instants of the log, so that the log alone says how long it lasted.
            self._over = False
            self._tracker = HoldTracker()
            event = self._record(_KINDS[state], samples, count)
            self._tracker.look(right=state is _State.FINE, count=count, at=event)
        elif state is _State.FINE and not self._over:
            held = self._tracker.look(right=True, count=count, at=self._log.now())
            if held.satisfies(self._hold_seconds, self._harm.hold.min_events):
                self._over = True
                self._record(Kind.HARM_STAYED_ENDED, samples, count)

    def _judge(self, samples: Sequence[Sample], count: float | None) -> _State:
        went_back = count is not None and self._count is not None and count < self._count
        if not samples or count is None or went_back:
            return _State.UNKNOWN
        return _State.FINE if self._harm.expectation.evaluate(samples).satisfied else _State.HARMED

    def _record(self, kind: Kind, samples: Sequence[Sample], count: float | None) -> float:
        harm = self._harm
        values = [round(sample.value, 6) for sample in samples][:MAX_VALUES]
        payload = {
            "query": harm.query, "title": harm.title, "unit": harm.unit, "values": values, "evidence": count
        }  # fmt: skip
        return self._log.append(kind, "customers", payload, source="prometheus").ts_mono
