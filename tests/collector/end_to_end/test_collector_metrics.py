"""The metrics that a service pushes are on the collector's page as on the service's own."""

import asyncio
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from moneypath.telemetry import Catalogue, Recorder, setup
from moneypath.telemetry.otlp import push
from moneypath.telemetry.recording.registry import RENDER_BYTES, RENDER_SECONDS

ROOT = Path(__file__).parents[3]
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]
ROUTING = "moneypath_provider_routing_active"


def series(text: str) -> Series:
    """Parse a page without the collector's own metrics and those of the target."""
    found: Series = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in ("target_info", RENDER_SECONDS, RENDER_BYTES):
                continue
            labels = {k: v for k, v in sample.labels.items() if k not in ("job", "instance")}
            if "le" in labels:
                labels["le"] = repr(float(labels["le"]))
            key = (sample.name, frozenset(labels.items()))
            assert key not in found
            found[key] = float(sample.value)
    return found


def recorded() -> Recorder:
    """Return a recorder of refpay's catalogue with records of each kind."""
    recorder = setup(Catalogue.load(ROOT / "src/refpay/catalogue.json"), service="refpay-api")
    attempt = {"provider": "north", "operation": "capture", "outcome": "failed"}
    recorder.counter("moneypath_provider_attempts_total").inc(3, **attempt)
    recorder.histogram("moneypath_provider_request_duration_seconds").observe(0.25, **attempt)
    recorder.gauge(ROUTING).set(1, provider="north")
    recorder.gauge("moneypath_ledger_imbalance_minor_units").set(2**53, currency="EUR")
    recorder.gauge("moneypath_indeterminate_oldest_timestamp_seconds").set(1795328602.123, provider="south")
    for outcome in ("succeeded", "declined"):
        with recorder.payment("authorize") as payment:
            payment.finish(outcome, "north")
    return recorder


async def until_equal(running: Any, recorder: Recorder) -> Series:
    """Wait until the page equals the recorder's text, and return the page."""
    page: Series = {}
    for _ in range(1200):
        page = series(await running.page(running.collector.prometheus_url))
        if page == series(recorder.render().decode()):
            return page
        await asyncio.sleep(0.05)
    assert page == series(recorder.render().decode())
    return page


async def test_the_collectors_page_says_what_the_services_own_does(run: Any) -> None:
    """Every series of refpay's catalogue has its name, labels and number."""
    recorder = recorded()
    async with run({"exporters": {"prometheus": {"metric_expiration": "3s"}}}) as running:
        url = running.collector.otlp_url
        handle = push(recorder, endpoint=url, interval_seconds=0.5, timeout_seconds=20, instance="host:1")
        try:
            assert len(await until_equal(running, recorder)) > 1000
            text = await running.page(running.collector.prometheus_url)
            own = 'instance="host:1",job="refpay-api"'
            assert f'moneypath_payments_in_flight{{{own},operation="authorize"}} 0' in text
            with recorder.payment("refund") as payment:
                payment.finish("failed", "north")
            # An unknown gauge leaves the page too, once `metric_expiration` has passed.
            recorder.gauge(ROUTING).clear(provider="north")
            page = await until_equal(running, recorder)
            assert not any(name == ROUTING for name, _ in page)
        finally:
            await asyncio.to_thread(handle.close)
