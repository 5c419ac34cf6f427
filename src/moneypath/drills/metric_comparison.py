"""The metrics as a fourth witness of a drill: what was compared, as the event log keeps and judges it."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Final, Protocol, Self

from moneypath.incidents.events import Event, EventLog
from moneypath.incidents.timeline import Kind
from moneypath.oracle.acknowledgement_log import read_acknowledgement_log
from moneypath.oracle.errors import AcknowledgementLogInvalid
from moneypath.oracle.metric_expectations import Sender
from moneypath.oracle.metric_totals import ComparedTotal, Family, family_of

MAX_SHOWN: Final = 8
UNCOMPARED: Final = "metrics_uncompared"
"""The key under which a log's first event says why nobody compares the metrics of this target."""


@dataclass(frozen=True, slots=True)
class MetricComparison:
    """Every series against every witness of it, or the `reason` why nothing could be compared.

    `deaths` counts the processes that began anew during the run of `seconds`.
    """

    rows: tuple[ComparedTotal, ...] = ()
    deaths: int = 0
    seconds: float = 0.0
    reason: str = ""

    @classmethod
    def read(cls, payload: Mapping[str, Any]) -> Self:
        """Return the comparison that an event of the log holds."""
        rows = tuple(_read_row(*row) for row in payload["rows"])
        return cls(rows, payload["deaths"], payload["seconds"], payload["reason"])

    @property
    def lies(self) -> tuple[str, ...]:
        """Return why the metrics are not to be believed: a sentence for each series and witness."""
        if self.reason:
            return (f"metrics were not compared: {self.reason}",)
        shown = {family_of(row.series) for row in self.rows if row.least > 0}
        missing = [family for family in Family if family not in shown]
        found = [f"metrics were not compared: no witness saw {family}" for family in missing]
        return (*found, *(f"metrics lie: {row.describe()}" for row in self.rows if not row.equal))

    @property
    def payload(self) -> dict[str, Any]:
        """Return it as an event of the log holds it.

        Counts are floats there: the log masks whole numbers whose digits, joined, are those of a card.
        """
        return {
            "rows": [_row(row) for row in self.rows],
            "deaths": self.deaths,
            "seconds": round(self.seconds, 3),
            "reason": self.reason,
        }

    def record(self, log: EventLog) -> None:
        """Append it to the log."""
        log.append(Kind.METRICS_COMPARED, "metrics", self.payload, source="prometheus")


def _row(row: ComparedTotal) -> list[str | float | None]:
    return [float(value) if isinstance(value, int) else value for value in astuple(row)]


def _read_row(
    series: str, witness: str, least: float, most: float | None, seen: float | None, lost: float
) -> ComparedTotal:
    return ComparedTotal(series, witness, int(least), None if most is None else int(most), seen, int(lost))


class MetricWitness(Protocol):
    """Compares the metrics of one run with what others say of it."""

    async def begin(self) -> None:
        """Note where every count stands before the first request."""

    async def compare(self, senders: Sequence[Sender]) -> MetricComparison:
        """Compare once everything is drained; `senders` are all that sent payments since `begin`."""
        ...


async def compare_metrics(witness: MetricWitness, logs: Mapping[Path, str]) -> MetricComparison:
    """Compare the metrics with every sender of a run, whose logs are given with their kind of traffic."""
    try:
        senders = [
            Sender((await asyncio.to_thread(read_acknowledgement_log, file)).acknowledgements, traffic)
            for file, traffic in logs.items()
        ]
    except AcknowledgementLogInvalid as error:
        return MetricComparison(reason=error.what)
    return await witness.compare(senders)


def is_uncompared(events: Sequence[Event]) -> bool:
    """Tell whether the log said from the first that the metrics of this target have no witness."""
    return bool(events and events[0].payload.get(UNCOMPARED))


def metric_failures(events: Sequence[Event]) -> Iterator[str]:
    """Yield each lie of the metrics, judged by the numbers of the log; without a comparison, that."""
    compared = [event.payload for event in events if event.kind == Kind.METRICS_COMPARED]
    if not compared:
        yield "metrics were never compared with clients and books"
        return
    lies = MetricComparison.read(compared[-1]).lies
    yield from lies[:MAX_SHOWN]
    if len(lies) > MAX_SHOWN:
        yield f"metrics lie: {len(lies) - MAX_SHOWN} more series"
