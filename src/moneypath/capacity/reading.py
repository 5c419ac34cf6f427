"""Read a window's figures from Prometheus' raw counters, by the names of the catalogue.

Each measure is read by itself: one that cannot be read is unknown, and takes nothing else with it.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, Protocol, TypeVar

from moneypath.capacity.counters import Series, Window, by_label, total
from moneypath.capacity.figures import Cost, Counted, FiredAlert, Reconciliation, Tally
from moneypath.capacity.gate_file import Promises
from moneypath.capacity.histogram import Histogram, histogram
from moneypath.capacity.samples import SamplesUnread
from moneypath.path.objectives import AvailabilitySlo, EventsSlo, LatencySlo
from moneypath.telemetry.catalogue.vocabulary import (
    LedgerKind,
    LedgerOutcome,
    Operation,
    Outcome,
    ProbeResult,
    Traffic,
)

PAYMENTS: Final = "moneypath_payments_total"
RESULTS: Final = "moneypath_authorization_results_total"
LEDGER_WRITES: Final = "moneypath_ledger_writes_total"
PROBE: Final = "moneypath_ledger_probe_total"
COST: Final = "moneypath_cost_micro_units_total"
WATERMARK: Final = "moneypath_reconciliation_watermark_timestamp_seconds"
BREAKS: Final = "moneypath_reconciliation_breaks"

RECONCILED_EVERY_SECONDS: Final = 0.5
UNPAGED: Final = "none"

T = TypeVar("T")


class ReadsSamples(Protocol):
    """What raw samples are read from; Prometheus is."""

    async def samples(self, selector: str, start: float, end: float) -> tuple[Series, ...]: ...

    async def value(self, promql: str) -> float | None: ...


async def read_counted(source: ReadsSamples, promises: Promises, window: Window) -> Counted:
    """Read all that counters and alerts say of the window; what cannot be read stays None."""

    async def read(selector: str) -> tuple[Series, ...]:
        return await source.samples(selector, window.start, window.end)

    live = f'traffic="{Traffic.LIVE}"'
    asked = f'{PAYMENTS}{{operation="{Operation.AUTHORIZE}",{live}}}'
    captured = f'{PAYMENTS}{{operation="{Operation.CAPTURE}",{live},outcome="{Outcome.SUCCEEDED}"}}'

    async def authorizations() -> Tally | None:
        return count_authorizations(promises.availability, window, await read(asked), await read(RESULTS))

    async def latency() -> Histogram | None:
        return histogram(await read(buckets_of(promises.latency)), window)

    async def cost() -> Cost | None:
        spent, payments = total(await read(COST), window), total(await read(captured), window)
        return None if spent is None or payments is None else Cost(spent, payments)

    async def alerts() -> tuple[FiredAlert, ...]:
        return fired(await read('ALERTS{alertstate="firing"}'), window, promises.violations)

    async def ledger_writes() -> Tally | None:
        return count_events(promises.ledger_writes, await read(promises.ledger_writes.series), window)

    async def probe() -> Tally | None:
        return count_outcomes(await read(PROBE), window, "result", bad={ProbeResult.MISSING.value})

    async def postings() -> float | None:
        committed = f'kind="{LedgerKind.POSTING}",outcome="{LedgerOutcome.COMMITTED}"'
        return total(await read(f"{LEDGER_WRITES}{{{committed}}}"), window)

    return Counted(
        authorizations=await _or_unknown(authorizations),
        latency=await _or_unknown(latency),
        ledger_writes=await _or_unknown(ledger_writes),
        probe=await _or_unknown(probe),
        alerts=await _or_unknown(alerts),
        cost=await _or_unknown(cost),
        postings=await _or_unknown(postings),
    )


async def read_reconciliation(
    source: ReadsSamples,
    providers: tuple[str, ...],
    *,
    up_to: float,
    patience_seconds: float,
    now: Callable[[], float] = time.time,
) -> Reconciliation | None:
    """Wait until every provider is reconciled up to an instant (Unix seconds), and return the lag then.

    Without a watermark of every provider the lag is unknown, and there is nothing to wait for.
    """
    deadline = now() + patience_seconds
    known = f"count(count by (provider) ({WATERMARK}))"
    try:
        while await source.value(known) == len(providers):
            watermark = await source.value(f"min(max by (provider) ({WATERMARK}))")
            if watermark is not None and (watermark >= up_to or now() >= deadline):
                breaks = await source.value(f"sum(max by (provider, class) ({BREAKS}))")
                return Reconciliation(max(0.0, now() - watermark), breaks)
            await asyncio.sleep(RECONCILED_EVERY_SECONDS)
    except SamplesUnread:
        pass
    return None


def count_authorizations(
    slo: AvailabilitySlo, window: Window, payments: Iterable[Series], results: Iterable[Series]
) -> Tally | None:
    """Count as the objective's recording rules do: technical declines are bad, up to the live declines."""
    excluded = {outcome.value for outcome in slo.excluded_outcomes}
    series = [each for each in payments if each.labels.get("outcome") not in excluded]
    valid = total(series, window)
    if valid is None:
        return None
    bad = math.fsum(_by(series, window, "outcome").get(outcome.value, 0.0) for outcome in slo.bad_outcomes)
    declined = _by([s for s in series if s.labels["outcome"] == Outcome.DECLINED], window, "provider")
    wanted = {result.value for result in slo.bad_results}
    technical = _by([s for s in results if s.labels.get("result") in wanted], window, "provider")
    bad += math.fsum(min(count, declined.get(provider, 0.0)) for provider, count in technical.items())
    return Tally(valid, bad)


def count_events(slo: EventsSlo, series: Iterable[Series], window: Window) -> Tally | None:
    """Count good and bad events as the objective tells them apart; what is neither is left out."""
    known = {*slo.good, *slo.bad}
    valid = [each for each in series if each.labels.get(slo.label) in known]
    return count_outcomes(valid, window, slo.label, bad=set(slo.bad))


def buckets_of(slo: LatencySlo) -> str:
    """Return the selector of the buckets that the objective is about."""
    chosen = ",".join(f'{match.label}=~"{"|".join(match.values)}"' for match in slo.timed.select)
    return f"{slo.timed.series}_bucket{{{chosen}}}"


def count_outcomes(series: Iterable[Series], window: Window, label: str, *, bad: set[str]) -> Tally | None:
    """Count what has a bad value of `label` among all."""
    counts = _by(series, window, label)
    if not counts:
        return None
    return Tally(math.fsum(counts.values()), math.fsum(counts.get(value, 0.0) for value in bad))


def fired(series: Iterable[Series], window: Window, violations: frozenset[str]) -> tuple[FiredAlert, ...]:
    """Return the alerts that fired in the window, first things first; the watchdog is none."""
    found = []
    for each in series:
        labels = each.labels
        inside = [at for at, _ in each.samples if window.start < at <= window.end]
        if inside and labels.get("severity") != UNPAGED:
            about = ", ".join(labels[name] for name in ("provider", "job", "tier") if name in labels)
            after = inside[0] - window.start
            name, severity = labels.get("alertname", ""), labels.get("severity", "")
            found.append(FiredAlert(name, severity, about, after, integrity=name in violations))
    return tuple(sorted(found, key=lambda alert: (alert.after_seconds, alert.name, alert.about)))


def _by(series: Iterable[Series], window: Window, label: str) -> Mapping[str, float]:
    return {value: total(group, window) or 0.0 for value, group in by_label(series, label).items()}


async def _or_unknown(read: Callable[[], Awaitable[T]]) -> T | None:
    try:
        return await read()
    except SamplesUnread:
        return None
