"""A registry of prometheus_client exposes our metrics with the numbers of our own renderer."""

import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics_exposition
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.registry import DuplicateTimeseries

from moneypath.telemetry import Catalogue, Recorder, correlation, setup
from moneypath.telemetry.integrations.prometheus_client import RecorderCollector

# They ship without annotations of their own.
parse_openmetrics: Callable[[str], Iterable[Metric]] = openmetrics_parser.text_string_to_metric_families
openmetrics_latest: Callable[[CollectorRegistry], bytes] = openmetrics_exposition.generate_latest

VOCABULARY = {
    "providers": ("north", "south"),
    "currencies": ("EUR", "JPY"),
    "checks": ("ledger_balance",),
    "schemes": ("visa",),
}
TRACE = correlation.Trace("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", sampled=True)
# What rendering costs differs between two renderings.
COST = "moneypath_telemetry_render_"


@pytest.fixture
def recorder() -> Recorder:
    """Return a recorder with records of each kind."""
    recorder = setup(Catalogue.build(VOCABULARY), service="api")
    recorder.gauge("moneypath_ledger_imbalance_minor_units").set(-7, currency="JPY")
    attempt = {"provider": "south", "operation": "query", "outcome": "indeterminate"}
    recorder.histogram("moneypath_provider_request_duration_seconds").observe(0.0425, **attempt)
    recorder.counter("moneypath_provider_attempts_total").inc(2.5, **attempt)
    with correlation.entered(correlation.Context("a-correlation-id", TRACE)):
        handle = recorder.begin("authorize")
        handle.finish(0.3, "succeeded", "north", fee_micro_units=1250)
    return recorder


@pytest.fixture
def registry(recorder: Recorder) -> CollectorRegistry:
    """Return a registry with a metric of the team and our recorder."""
    registry = CollectorRegistry(auto_describe=True)
    Counter("their_own_total", "Theirs.", registry=registry).inc(3)
    registry.register(RecorderCollector(recorder))
    return registry


Labels = frozenset[tuple[str, str]]
Sample = tuple[str, Labels, float, tuple[Labels, float] | None]


def read(families: Iterable[Metric]) -> tuple[dict[str, tuple[str, str, str]], set[Sample]]:
    """Return types, help and units by family, and all samples except those that must differ."""
    described: dict[str, tuple[str, str, str]] = {}
    samples: set[Sample] = set()
    for family in families:
        if family.name.startswith((COST, "their_own")):
            continue
        described[family.name] = (family.type, family.documentation, family.unit)
        for sample in family.samples:
            shown = sample.exemplar and (frozenset(sample.exemplar.labels.items()), sample.exemplar.value)
            samples.add((sample.name, frozenset(sample.labels.items()), sample.value, shown))
    return described, samples


def test_text_of_the_registry_equals_our_own(recorder: Recorder, registry: CollectorRegistry) -> None:
    """Both endpoints have the same names, labels, types, help and values."""
    theirs = read(parse_text(generate_latest(registry).decode()))
    assert theirs == read(parse_text(recorder.render().decode()))
    assert len(theirs[1]) > 1000
    assert b"their_own_total 3.0\n" in generate_latest(registry)


def test_openmetrics_of_the_registry_equals_our_own(recorder: Recorder, registry: CollectorRegistry) -> None:
    """Units and exemplars are equal as well."""
    theirs = read(parse_openmetrics(openmetrics_latest(registry).decode()))
    assert theirs == read(parse_openmetrics(recorder.render(openmetrics=True).decode()))
    assert sum(sample[3] is not None for sample in theirs[1]) == 2


def test_registry_shows_the_numbers_of_the_moment(recorder: Recorder, registry: CollectorRegistry) -> None:
    """Nothing is cached between scrapes, and an absent gauge stays absent."""
    labels = {"provider": "south", "operation": "query", "outcome": "indeterminate"}
    name = "moneypath_provider_attempts_total"
    assert registry.get_sample_value(name, labels) == 2.5
    recorder.counter(name).inc(1, **labels)
    assert registry.get_sample_value(name, labels) == 3.5
    assert registry.get_sample_value("moneypath_ledger_imbalance_minor_units", {"currency": "EUR"}) is None


def test_second_owner_of_a_name_is_refused(recorder: Recorder, registry: CollectorRegistry) -> None:
    """Registering twice, or a metric of the same name before or after, is an error at the start."""
    with pytest.raises(DuplicateTimeseries, match="moneypath_payments"):
        registry.register(RecorderCollector(recorder))
    with pytest.raises(ValueError, match="moneypath_queue_depth"):
        Gauge("moneypath_queue_depth", "Not ours.", registry=registry)
    other = CollectorRegistry()
    Gauge("moneypath_queue_depth", "Not ours.", registry=other)
    with pytest.raises(DuplicateTimeseries, match="moneypath_queue_depth"):
        other.register(RecorderCollector(recorder))


def test_registering_reads_no_numbers(registry: CollectorRegistry, recorder: Recorder) -> None:
    """Names come from the declaration, so the name of an absent gauge is taken as well."""
    described = {metric.name for metric in RecorderCollector(recorder).describe()}
    assert "moneypath_duplicate_charges" in described
    assert b"moneypath_duplicate_charges" not in generate_latest(registry)


def test_example_runs() -> None:
    """It ends by itself, without a Python warning, and shows both kinds of metrics at one endpoint."""
    example = Path(__file__).parents[3] / "examples" / "prometheus_client_endpoint.py"
    run = subprocess.run(
        [sys.executable, "-W", "error", str(example)], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    for line in (
        "orders_total 2.0",
        'moneypath_cost_micro_units_total{component="provider_fee",provider="north"} 5000.0',
        'moneypath_payments_total{cohort="control",operation="authorize",outcome="succeeded",'
        'provider="north",traffic="live"} 2.0',
    ):
        assert line in run.stdout.splitlines()
