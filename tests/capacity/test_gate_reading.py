"""From raw series to figures: what counts, what is bad, and what stays unknown."""

import asyncio
from collections.abc import Mapping

import pytest

from moneypath.capacity.counters import Window
from moneypath.capacity.figures import Tally
from moneypath.capacity.reading import (
    BREAKS,
    COST,
    LEDGER_WRITES,
    PAYMENTS,
    PROBE,
    RESULTS,
    buckets_of,
    count_authorizations,
    count_events,
    fired,
    read_counted,
    read_reconciliation,
)
from moneypath.prometheus import QueryFailed, Series

from .changed_figures import PROMISES

WINDOW = Window(10.0, 20.0, 22.0)


def _counted(value: float, **labels: str) -> Series:
    """Return a counter that stood at 7 at the window's start and has counted `value` in it."""
    return Series(labels, [(10.0, 7.0), (22.0, 7.0 + value), (23.0, 999.0)])


class Fake:
    """Gives series by the metric that a selector begins with; those in `broken` cannot be read."""

    def __init__(self, series: Mapping[str, tuple[Series, ...]], broken: tuple[str, ...] = ()) -> None:
        self.series, self.broken = series, broken
        self.asked: list[tuple[str, float, float]] = []

    async def raw_samples(self, selector: str, start: float, end: float) -> tuple[Series, ...]:
        self.asked.append((selector, start, end))
        name = selector.partition("{")[0]
        if name in self.broken:
            raise QueryFailed(name)
        return self.series.get(name, ())

    async def value(self, promql: str) -> float | None:
        raise NotImplementedError(promql)


def test_excluded_outcomes_are_not_valid_and_bad_ones_are_bad() -> None:
    """As the recording rules of the objective count."""
    payments = [
        _counted(90, outcome="succeeded", provider="north"),
        _counted(6, outcome="declined", provider="north"),
        _counted(1, outcome="failed", provider="none"),
        _counted(2, outcome="indeterminate", provider="south"),
        _counted(1, outcome="shed", provider="none"),
        _counted(50, outcome="rejected", provider="none"),
        _counted(50, outcome="blocked", provider="none"),
    ]
    assert count_authorizations(PROMISES.availability, WINDOW, payments, []) == Tally(100, 4)


def test_technical_declines_are_bad_up_to_the_live_declines() -> None:
    """Per provider: the series of results also counts the canary."""
    payments = [
        _counted(3, outcome="declined", provider="north"),
        _counted(5, outcome="declined", provider="south"),
    ]
    results = [
        _counted(4, provider="north", result="technical_decline"),
        _counted(2, provider="south", result="technical_decline"),
        _counted(9, provider="south", result="hard_decline"),
    ]
    assert count_authorizations(PROMISES.availability, WINDOW, payments, results) == Tally(8, 5)


def test_every_end_of_a_ledger_write_but_a_commit_is_bad() -> None:
    """Unknown is bad; a conflict that is tried again has not ended."""
    series = [
        _counted(90, outcome="committed"),
        _counted(3, outcome="failed"),
        _counted(2, outcome="rejected"),
        _counted(1, outcome="unknown"),
        _counted(40, outcome="conflict_retried"),
    ]
    assert count_events(PROMISES.ledger_writes, series, WINDOW) == Tally(96, 6)


def test_the_buckets_are_those_that_the_objective_selects() -> None:
    """Rejected and blocked authorizations are answered without a provider, and would look fast."""
    selector = buckets_of(PROMISES.latency)
    assert selector.startswith("moneypath_payment_duration_seconds_bucket{")
    assert 'operation=~"authorize"' in selector
    assert "rejected" not in selector


def test_alerts_count_when_they_fire_inside_the_window() -> None:
    """Not before it, not after it, and the watchdog never."""

    def alert(name: str, *times: float, severity: str = "critical") -> Series:
        return Series(
            {"alertname": name, "severity": severity, "provider": "north"}, [(t, 1.0) for t in times]
        )

    found = fired(
        [
            alert("Later", 15.0, 16.0),
            alert("Already", 8.0, 11.0),
            alert("Before", 9.0, 10.0),
            alert("After", 22.5),
            alert("Watchdog", 15.0, severity="none"),
            alert("Ticket", 21.0, severity="warning"),
        ],
        WINDOW,
        frozenset({"Later"}),
    )
    assert [each.name for each in found if each.integrity] == ["Later"]
    assert [(each.name, each.after_seconds) for each in found] == [
        ("Already", 1.0),
        ("Later", 5.0),
        ("Ticket", 11.0),
    ]
    assert found[0].about == "north"


async def test_the_window_is_asked_for_exactly() -> None:
    """Every query is over the same start and end, and only live authorizations are asked for."""
    fake = Fake({})
    await read_counted(fake, PROMISES, WINDOW)
    assert {(start, end) for _, start, end in fake.asked} == {(WINDOW.start, WINDOW.end)}
    assert 'operation="authorize",traffic="live"' in next(
        selector for selector, *_ in fake.asked if selector.startswith(PAYMENTS)
    )


async def test_what_cannot_be_read_is_unknown_and_takes_nothing_with_it() -> None:
    """One refused query, one unknown measure."""
    series = {
        PAYMENTS: (_counted(5, outcome="succeeded", provider="north"),),
        LEDGER_WRITES: (_counted(5, outcome="committed"),),
        PROBE: (_counted(5, result="found"),),
        COST: (_counted(500, component="compute"),),
    }
    counted = await read_counted(Fake(series, broken=(LEDGER_WRITES,)), PROMISES, WINDOW)
    assert counted.ledger_writes is None
    assert counted.postings is None
    assert counted.authorizations == Tally(5, 0)
    assert counted.probe == Tally(5, 0)
    assert counted.cost is not None
    assert counted.cost.per_transaction == 100
    assert (await read_counted(Fake(series, broken=(RESULTS,)), PROMISES, WINDOW)).authorizations is None
    nothing = await read_counted(Fake({}), PROMISES, WINDOW)
    assert (nothing.authorizations, nothing.probe, nothing.cost, nothing.latency) == (None,) * 4
    assert nothing.alerts is None


@pytest.mark.parametrize(
    ("times", "beats"),
    [
        ((), False),
        ((5.0, 9.5), False),
        ((11.0, 20.0), True),
        ((11.5,), True),
        ((21.5, 22.5), False),
        ((10.5, 11.0), True),
    ],
)
async def test_without_the_watchdogs_beat_nothing_is_known_of_alerts(
    times: tuple[float, ...], beats: bool
) -> None:
    """No series at all, or one that stopped, is not "no alert"."""
    watchdog = Series({"alertname": "MoneyPathWatchdog", "severity": "none"}, [(at, 1.0) for at in times])
    other = Series({"alertname": "Ticket", "severity": "warning"}, [(at, 1.0) for at in (11.0, 20.0)])
    fake = Fake({"ALERTS": (watchdog, other) if times else (other,)})
    alerts = (await read_counted(fake, PROMISES, WINDOW)).alerts
    assert (alerts is not None) is beats
    assert not beats or [each.name for each in alerts or ()] == ["Ticket"]


async def test_a_watchdog_that_pauses_in_the_middle_is_unknown() -> None:
    """What fired in the pause was not seen."""
    window = Window(0.0, 60.0, 60.0)
    for times, known in ((range(1, 61), True), ([*range(1, 20), *range(40, 61)], False)):
        watchdog = Series(
            {"alertname": "MoneyPathWatchdog", "severity": "none"}, [(float(at), 1.0) for at in times]
        )
        counted = await read_counted(Fake({"ALERTS": (watchdog,)}), PROMISES, window)
        assert (counted.alerts is not None) is known


class Reconciling:
    """A reconciliation whose watermark moves by 3 s each time it is asked; the clock moves with it."""

    def __init__(self, *, providers: int = 2, watermark: float = 0.0, step: float = 3.0) -> None:
        self.providers, self.watermark, self.step = providers, watermark, step
        self.now = 30.0

    async def raw_samples(self, selector: str, start: float, end: float) -> tuple[Series, ...]:
        raise NotImplementedError

    async def value(self, promql: str) -> float | None:
        await asyncio.sleep(0)
        if promql.startswith("count"):
            return float(self.providers) or None
        if BREAKS in promql:
            return 1.0
        self.watermark += self.step
        self.now += 1.0
        return self.watermark


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Polls do not wait; time is the fake's."""
    monkeypatch.setattr("moneypath.capacity.reading.RECONCILED_EVERY_SECONDS", 0.0)


@pytest.mark.usefixtures("hasty")
async def test_reconciliation_is_awaited_up_to_the_end_of_the_load() -> None:
    """Then lag and breaks are read."""
    source = Reconciling(watermark=12.0)
    found = await read_reconciliation(
        source, ("north", "south"), up_to=20.0, patience_seconds=30.0, now=lambda: source.now
    )
    assert found is not None
    assert source.watermark == 21.0
    assert (found.lag_seconds, found.breaks) == (12.0, 1.0)


@pytest.mark.usefixtures("hasty")
async def test_a_stuck_reconciliation_is_a_lag_and_not_unknown() -> None:
    """After the patience the lag is what it is."""
    source = Reconciling(watermark=12.0, step=0.0)
    found = await read_reconciliation(
        source, ("north", "south"), up_to=20.0, patience_seconds=5.0, now=lambda: source.now
    )
    assert found is not None
    assert found.lag_seconds == 23.0


@pytest.mark.parametrize("providers", [0, 1])
async def test_a_provider_without_watermark_makes_the_lag_unknown(providers: int) -> None:
    """The slowest may be the one that is missing."""
    source = Reconciling(providers=providers)
    assert (
        await read_reconciliation(
            source, ("north", "south"), up_to=20.0, patience_seconds=5.0, now=lambda: source.now
        )
        is None
    )
