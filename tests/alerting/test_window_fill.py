"""How full the longest window is can be asked of any declaration, whatever its objectives are."""

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from moneypath.alerting.analysis import selectors
from moneypath.alerting.history import backfill, payments_selector, window_fill_query
from moneypath.alerting.timing import Scale
from moneypath.path.model import MoneyPath

from .small_declarations import TEN_LINES, parsed, text_with, without_providers

EVENTS_ONLY = """
name: Books
roles: {eng: {}}
targets: [{job: books}]
slos:
  - kind: events
    id: posting-success
    series: moneypath_ledger_writes_total
    select: [{label: kind, values: [posting, reversal]}]
    label: outcome
    good: [committed]
    bad: [failed]
    objective: "0.999"
"""
LATENCY_ONLY = "\n".join(line for line in TEN_LINES.splitlines() if "availability" not in line)
TEXTS = {
    "ten lines": TEN_LINES,
    "without a provider": without_providers(),
    "latency alone": LATENCY_ONLY,
    "events alone": EVENTS_ONLY,
    "an operation of our own": text_with("guide 1"),
}


def counted(path: MoneyPath) -> list[float]:
    """Return the values at the end of a history of the series that the query counts."""
    ((name, matchers),) = selectors(window_fill_query(path, Scale(60)))
    wanted = {matcher.name: set(matcher.value.split("|")) for matcher in matchers}
    text = backfill(path, until=1_790_000_000.25, seconds=10, step=10)
    # Its parser knows one instant of a histogram.
    last = "\n".join(
        line for line in text.splitlines() if line.startswith("#") or line.endswith(" 1790000000.25")
    )
    families = text_string_to_metric_families(f"{last}\n")  # type: ignore[no-untyped-call]  # untyped upstream
    return [
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == name and all(sample.labels.get(label) in values for label, values in wanted.items())
    ]


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_the_query_counts_a_series_that_the_history_fills(text: str) -> None:
    """A series that grows while all is well: an empty one would keep a drill waiting."""
    values = counted(parsed(text))
    assert values
    assert min(values) > 0


def test_without_an_objective_on_payments_there_is_no_past_of_payments() -> None:
    """Then a drill has nothing to compare its own load with."""
    assert payments_selector(parsed(EVENTS_ONLY)) is None
    latency = payments_selector(parsed(LATENCY_ONLY))
    assert latency is not None
    assert latency.startswith('moneypath_payment_duration_seconds_count{operation="authorize"')
    assert payments_selector(parsed(TEN_LINES)) == (
        'moneypath_payments_total{operation="authorize",traffic="live"}'
    )
