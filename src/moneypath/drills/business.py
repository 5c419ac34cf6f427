"""The business metrics of a drill: read from Prometheus before, during and after the fault.

Which metrics there are follows from the declaration, and the log says which they were. What Prometheus does
not know is None, never 0.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from moneypath.alerting.business_metrics import BusinessMetric, BusinessUnit
from moneypath.incidents.events import Event, EventLog
from moneypath.incidents.timeline import Kind
from moneypath.runbooks.ports import Query

EVERY_SECONDS: Final = 1.0
LISTED_AS: Final = "business_metrics"
"""The key under which a log's first event lists the metrics of its drill."""


class Phase(StrEnum):
    """When the metrics were read; `during` holds the worst of each, from the first fault to the undo."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class BusinessRow:
    """One metric over the phases of a drill; None is unknown. `currency` is empty where none belongs."""

    id: str
    title: str
    unit: str
    currency: str
    before: float | None
    during: float | None
    after: float | None


class BusinessWatcher:
    """Reads the metrics each second, keeps the worst values, and records a phase when told to."""

    def __init__(
        self, metrics: Sequence[BusinessMetric], query: Query, log: EventLog, *, currency: str
    ) -> None:
        self._metrics, self._query, self._log, self._currency = metrics, query, log, currency
        self._worst: dict[str, float | None] = {}

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            await self.sample()
            await asyncio.sleep(EVERY_SECONDS)

    async def sample(self) -> None:
        """Read once, and remember what is worse than before."""
        values = await read(self._metrics, self._query)
        for metric in self._metrics:
            self._worst[metric.id] = worse(metric, self._worst.get(metric.id), values[metric.id])

    async def record(self, phase: Phase) -> None:
        """Record the present values; for `during`, the worst since the last record."""
        if phase is not Phase.DURING:
            self._worst.clear()
        await self.sample()
        values = dict(self._worst)
        self._worst.clear()
        payload = {"phase": phase.value, "values": values, "currency": self._currency}
        self._log.append(Kind.MEASURED, "business metrics", payload, source="prometheus")


def listed(metrics: Sequence[BusinessMetric]) -> list[dict[str, str]]:
    """Return the metrics as the first event of a log lists them."""
    return [{"id": metric.id, "title": metric.title, "unit": metric.unit.value} for metric in metrics]


def worse(metric: BusinessMetric, one: float | None, other: float | None) -> float | None:
    """Return the worse of two values of a metric; a known value is worse than an unknown one."""
    known = [value for value in (one, other) if value is not None]
    return (max(known) if metric.higher_is_worse else min(known)) if known else None


async def read(metrics: Sequence[BusinessMetric], query: Query) -> Mapping[str, float | None]:
    """Return every metric's value now; raises QueryFailed when Prometheus cannot be asked."""
    values: dict[str, float | None] = {}
    for metric in metrics:
        samples = await query(metric.query)
        known = [sample.value for sample in samples if sample.value == sample.value]  # NaN is no answer
        values[metric.id] = known[0] if known else None
    return values


def rows(events: Sequence[Event]) -> tuple[BusinessRow, ...]:
    """Return what the log holds of every metric that it lists."""
    seen = {event.payload.get("phase"): event.payload for event in events if event.kind == Kind.MEASURED}
    currency = next((str(payload.get("currency", "")) for payload in seen.values()), "")
    return tuple(
        BusinessRow(
            id=metric["id"],
            title=metric["title"],
            unit=metric["unit"],
            currency=currency if metric["unit"] == BusinessUnit.MICRO_UNITS else "",
            before=_value(seen, Phase.BEFORE, metric["id"]),
            during=_value(seen, Phase.DURING, metric["id"]),
            after=_value(seen, Phase.AFTER, metric["id"]),
        )
        for metric in (events[0].payload.get(LISTED_AS, ()) if events else ())
    )


def failures(events: Sequence[Event]) -> Iterator[str]:
    """Yield a sentence for each metric that was not known before or after the fault."""
    found = rows(events)
    if not found:
        yield "the log lists no business metric"
    for row in found:
        for phase, value in ((Phase.BEFORE, row.before), (Phase.AFTER, row.after)):
            if value is None:
                yield f"{row.title} was not known {phase} the fault"


def _value(seen: Mapping[Any, Mapping[str, Any]], phase: Phase, name: str) -> float | None:
    values = seen.get(phase, {}).get("values")
    value = values.get(name) if isinstance(values, Mapping) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
