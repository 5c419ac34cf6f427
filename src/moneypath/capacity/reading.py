"""Read a window's figures from Prometheus' raw counters.

Each measure is read by itself: one that cannot be read is unknown, and does not affect the others.
"""

import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from itertools import pairwise
from typing import Final, Protocol, TypeVar

from moneypath.alerting.matchers import pattern
from moneypath.capacity.counters import Window, by_label, total
from moneypath.capacity.figures import Cost, FiredAlert, Reconciliation, Tally, WindowCounts
from moneypath.capacity.gate_file import DeclaredObjectives
from moneypath.capacity.histogram import Histogram, histogram
from moneypath.path.objectives import AvailabilitySlo, EventsSlo, LatencySlo
from moneypath.polling import poll_until
from moneypath.prometheus import QueryFailed, Series
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
# Rules are evaluated at least every 5 s; one evaluation may be missed.
LONGEST_PAUSE_SECONDS: Final = 11.0

T = TypeVar("T")


class SampleSource(Protocol):
    """Reads raw samples and values; a Prometheus client does."""

    async def raw_samples(self, selector: str, start: float, end: float) -> tuple[Series, ...]: ...

    async def value(self, promql: str, /) -> float | None: ...


async def read_counted(source: SampleSource, objectives: DeclaredObjectives, window: Window) -> WindowCounts:
    """Read the counters and alerts of the window; what cannot be read stays None."""

    async def read(selector: str) -> tuple[Series, ...]:
        return await source.raw_samples(selector, window.start, window.end)

    live = f'traffic="{Traffic.LIVE}"'
    asked = f'{PAYMENTS}{{operation="{Operation.AUTHORIZE}",{live}}}'
    captured = f'{PAYMENTS}{{operation="{Operation.CAPTURE}",{live},outcome="{Outcome.SUCCEEDED}"}}'

    async def authorizations() -> Tally | None:
        return count_authorizations(objectives.availability, window, await read(asked), await read(RESULTS))

    async def latency() -> Histogram | None:
        return histogram(await read(buckets_of(objectives.latency)), window)

    async def cost() -> Cost | None:
        spent, payments = total(await read(COST), window), total(await read(captured), window)
        return None if spent is None or payments is None else Cost(spent, payments)

    async def alerts() -> tuple[FiredAlert, ...] | None:
        series = await read('ALERTS{alertstate="firing"}')
        beating = beats(series, window, objectives.watchdog)
        return fired(series, window, objectives.violations) if beating else None

    async def ledger_writes() -> Tally | None:
        return count_events(objectives.ledger_writes, await read(objectives.ledger_writes.series), window)

    async def probe() -> Tally | None:
        return count_outcomes(await read(PROBE), window, "result", bad={ProbeResult.MISSING.value})

    async def postings() -> float | None:
        committed = f'kind="{LedgerKind.POSTING}",outcome="{LedgerOutcome.COMMITTED}"'
        return total(await read(f"{LEDGER_WRITES}{{{committed}}}"), window)

    return WindowCounts(
        authorizations=await _or_unknown(authorizations),
        latency=await _or_unknown(latency),
        ledger_writes=await _or_unknown(ledger_writes),
        probe=await _or_unknown(probe),
        alerts=await _or_unknown(alerts),
        cost=await _or_unknown(cost),
        postings=await _or_unknown(postings),
    )


async def read_reconciliation(
    source: SampleSource,
    providers: tuple[str, ...],
    *,
    up_to: float,
    patience_seconds: float,
    now: Callable[[], float] = time.time,
) -> Reconciliation | None:
    """Wait until every provider is reconciled up to an instant (Unix seconds), and return the lag then.

    Returns None at once when a provider has no watermark: then the lag is unknown.
    """
    deadline = now() + patience_seconds
    known = f"count(count by (provider) ({WATERMARK}))"
    oldest = f"min(max by (provider) ({WATERMARK}))"

    async def watermark() -> float | None:
        return await source.value(oldest) if await source.value(known) == len(providers) else None

    try:
        at = await poll_until(
            watermark,
            lambda at: at is None or at >= up_to or now() >= deadline,
            every_seconds=RECONCILED_EVERY_SECONDS,
            within_seconds=patience_seconds,
        )
        if at is not None:
            breaks = await source.value(f"sum(max by (provider, class) ({BREAKS}))")
            return Reconciliation(max(0.0, now() - at), breaks)
    except QueryFailed:
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
    bad = math.fsum(
        _totals_by(series, window, "outcome").get(outcome.value, 0.0) for outcome in slo.bad_outcomes
    )
    declined = _totals_by([s for s in series if s.labels["outcome"] == Outcome.DECLINED], window, "provider")
    wanted = {result.value for result in slo.bad_results}
    technical = _totals_by([s for s in results if s.labels.get("result") in wanted], window, "provider")
    bad += math.fsum(min(count, declined.get(provider, 0.0)) for provider, count in technical.items())
    return Tally(valid, bad)


def count_events(slo: EventsSlo, series: Iterable[Series], window: Window) -> Tally | None:
    """Count good and bad events by the objective's values; other values are left out."""
    known = {*slo.good, *slo.bad}
    valid = [each for each in series if each.labels.get(slo.label) in known]
    return count_outcomes(valid, window, slo.label, bad=set(slo.bad))


def buckets_of(slo: LatencySlo) -> str:
    """Return the selector of the objective's buckets."""
    chosen = ",".join(f'{match.label}=~"{pattern(match.values)}"' for match in slo.histogram.select)
    return f"{slo.histogram.series}_bucket{{{chosen}}}"


def count_outcomes(series: Iterable[Series], window: Window, label: str, *, bad: set[str]) -> Tally | None:
    """Count all events, and those with a bad value of `label`."""
    counts = _totals_by(series, window, label)
    if not counts:
        return None
    return Tally(math.fsum(counts.values()), math.fsum(counts.get(value, 0.0) for value in bad))


def fired(series: Iterable[Series], window: Window, violations: frozenset[str]) -> tuple[FiredAlert, ...]:
    """Return the alerts that fired in the window, in the order of time, without the watchdog."""
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


def beats(series: Iterable[Series], window: Window, watchdog: str) -> bool:
    """Return whether the alert `watchdog` fired throughout the window.

    It does as long as alerts are evaluated at all.
    """
    times = sorted(
        at
        for each in series
        if each.labels.get("alertname") == watchdog
        for at, _ in each.samples
        if window.start < at <= window.end
    )
    edges = (window.start, *times, window.end)
    gaps = (later - earlier for earlier, later in pairwise(edges))
    return bool(times) and all(gap <= LONGEST_PAUSE_SECONDS for gap in gaps)


def _totals_by(series: Iterable[Series], window: Window, label: str) -> Mapping[str, float]:
    return {value: total(group, window) or 0.0 for value, group in by_label(series, label).items()}


async def _or_unknown(read: Callable[[], Awaitable[T]]) -> T | None:
    try:
        return await read()
    except QueryFailed:
        return None
