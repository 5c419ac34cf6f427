"""The scraped series are exactly the declared ones, within their budgets."""

from collections import Counter as Tally

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from moneypath.telemetry import Catalogue, MetricKind, MetricSpec, Recorder, setup

VOCABULARY = {
    "providers": ("north", "south"),
    "currencies": ("EUR", "JPY"),
    "checks": ("ledger_balance", "wallet"),
    "sql_checks": ("wallet",),
    "schemes": ("visa",),
    "routes": ("/v1/payments",),
    "certificates": ("api.example",),
    "peers": ("ntp.example",),
    "drills": ("drill-006-double-charge",),
}
Series = tuple[str, frozenset[tuple[str, str]]]


@pytest.fixture
def catalogue() -> Catalogue:
    """Return the catalogue with values for every label."""
    return Catalogue.build(VOCABULARY)


def touch_all(recorder: Recorder, catalogue: Catalogue) -> None:
    """Record on every combination that is not precreated."""
    for spec in catalogue:
        for values in spec.combinations():
            labels = dict(zip(spec.labels, values, strict=True))
            if spec.kind is MetricKind.HISTOGRAM:
                recorder.histogram(spec.name).observe(0.1, **labels)
            elif spec.kind is MetricKind.GAUGE:
                recorder.gauge(spec.name).set(1, **labels)


def declared(spec: MetricSpec) -> set[Series]:
    """Return every series of a metric by its declaration."""
    found: set[Series] = set()
    for values in spec.combinations():
        labels = frozenset(zip(spec.labels, values, strict=True))
        if spec.kind is MetricKind.HISTOGRAM:
            edges = [*map(repr, spec.buckets), "+Inf"]
            found |= {(f"{spec.name}_bucket", labels | {("le", edge)}) for edge in edges}
            found |= {(f"{spec.name}_sum", labels), (f"{spec.name}_count", labels)}
        else:
            found.add((spec.name, labels))
    return found


@pytest.mark.parametrize("openmetrics", [False, True])
def test_scraped_series_equal_the_declared_ones(catalogue: Catalogue, openmetrics: bool) -> None:
    """In both formats, read by another implementation."""
    recorder = setup(catalogue, service="shop")
    touch_all(recorder, catalogue)
    text = recorder.render(openmetrics=openmetrics).decode()
    families = (parse_openmetrics if openmetrics else parse_text)(text)
    scraped = Tally(
        (sample.name, frozenset(sample.labels.items())) for family in families for sample in family.samples
    )
    expected = {series for spec in catalogue for series in declared(spec)}
    assert set(scraped) == expected
    assert set(scraped.values()) == {1}


def test_no_metric_can_pass_its_budget(catalogue: Catalogue) -> None:
    """All combinations of closed labels fit the budget; open labels stop adding series at it."""
    for spec in catalogue:
        series = len(declared(spec))
        grows = spec.kind is not MetricKind.GAUGE and not spec.precreate
        assert grows or series <= spec.series_budget, spec.name
