"""The four business metrics of a drill: read from Prometheus before, during and after the fault.

Authorization latency, ledger write success and durability, reconciliation lag and breaks, cost per
transaction. What Prometheus does not know is None, never 0.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from moneypath.incidents.events import Event, EventLog
from moneypath.incidents.timeline import Kind
from moneypath.runbooks.ports import Query

EVERY_SECONDS: Final = 1.0


class Phase(StrEnum):
    """When it was read; `during` holds the worst of each, from the first fault to the undo."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"


class Unit(StrEnum):
    """What a value counts. Micro-units are millionths of the reporting currency."""

    SECONDS = "seconds"
    RATIO = "ratio"
    COUNT = "count"
    MICRO_UNITS = "micro_units"


@dataclass(frozen=True, slots=True)
class Measure:
    """One number; `query` gives one sample, or none when it is not known."""

    id: str
    title: str
    unit: Unit
    query: str
    higher_is_worse: bool = True

    def worse(self, one: float | None, other: float | None) -> float | None:
        """Return the worse of two values; a known one is worse than an unknown one."""
        known = [value for value in (one, other) if value is not None]
        return (max(known) if self.higher_is_worse else min(known)) if known else None


MEASURES: Final = (
    Measure(
        "latency_p95", "p95 authorization latency", Unit.SECONDS, "max(path:authorization_latency:p95_5m)"
    ),
    Measure(
        "latency_p99", "p99 authorization latency", Unit.SECONDS, "max(path:authorization_latency:p99_5m)"
    ),
    Measure(
        *("ledger_write_success", "Ledger write success", Unit.RATIO),
        *("min(path:ledger_write_success:ratio_rate5m)", False),
    ),
    Measure(
        *("ledger_durability", "Ledger durability", Unit.RATIO),
        *("min(path:ledger_durability:ratio_rate5m)", False),
    ),
    Measure(
        "reconciliation_lag", "Reconciliation lag", Unit.SECONDS, "max(provider:reconciliation_lag:seconds)"
    ),
    Measure(
        *("reconciliation_breaks", "Reconciliation breaks", Unit.COUNT),
        "sum(max by (provider, class) (moneypath_reconciliation_breaks))",
    ),
    Measure(
        *("cost_per_transaction", "Cost per transaction", Unit.MICRO_UNITS),
        "max(path:cost_per_transaction:micro_units_rate5m)",
    ),
)


@dataclass(frozen=True, slots=True)
class BusinessRow:
    """One measure over the phases of a drill; None is unknown. `currency` is empty where none belongs."""

    id: str
    title: str
    unit: str
    currency: str
    before: float | None
    during: float | None
    after: float | None


class BusinessWatcher:
    """Reads the measures each second, keeps the worst, and records a phase when told."""

    def __init__(self, query: Query, log: EventLog, *, currency: str) -> None:
        self._query, self._log, self._currency = query, log, currency
        self._worst: dict[str, float | None] = {}

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY_SECONDS)

    async def look(self) -> None:
        """Read once, and remember what is worse than before."""
        values = await read(self._query)
        for measure in MEASURES:
            self._worst[measure.id] = measure.worse(self._worst.get(measure.id), values[measure.id])

    async def record(self, phase: Phase) -> None:
        """Record what is true now; for `during`, the worst since the last record."""
        if phase is not Phase.DURING:
            self._worst.clear()
        await self.look()
        values = dict(self._worst)
        self._worst.clear()
        payload = {"phase": phase.value, "values": values, "currency": self._currency}
        self._log.append(Kind.MEASURED, "business metrics", payload, source="prometheus")


async def read(query: Query) -> Mapping[str, float | None]:
    """Return every measure's value now; raises QueryFailed when Prometheus cannot be asked."""
    values: dict[str, float | None] = {}
    for measure in MEASURES:
        samples = await query(measure.query)
        known = [sample.value for sample in samples if sample.value == sample.value]  # NaN is no answer
        values[measure.id] = known[0] if known else None
    return values


def rows(events: Sequence[Event]) -> tuple[BusinessRow, ...]:
    """Return what the log holds of every measure."""
    seen = {event.payload.get("phase"): event.payload for event in _measured(events)}
    currency = next((str(payload.get("currency", "")) for payload in seen.values()), "")
    return tuple(
        BusinessRow(
            one.id,
            one.title,
            one.unit,
            currency if one.unit is Unit.MICRO_UNITS else "",
            *(_value(seen.get(phase, {}).get("values"), one.id) for phase in Phase),
        )
        for one in MEASURES
    )


def failures(events: Sequence[Event]) -> Iterator[str]:
    """Yield a sentence for each measure that was not known before or after the fault."""
    for row in rows(events):
        for phase, value in ((Phase.BEFORE, row.before), (Phase.AFTER, row.after)):
            if value is None:
                yield f"{row.title} was not known {phase} the fault"


def _measured(events: Sequence[Event]) -> Iterator[Event]:
    return (event for event in events if event.kind == Kind.MEASURED)


def _value(values: object, name: str) -> float | None:
    value = values.get(name) if isinstance(values, Mapping) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
