"""A service that has no `moneypath.yaml` yet starts from its providers and currencies."""

import pytest

from moneypath.telemetry import Catalogue, CatalogueInvalid, TelemetryError, setup


def test_providers_and_currencies_are_enough() -> None:
    """Without a catalogue, what is recorded is what the starting one declares."""
    recorder = setup(service="checkout", providers=["north", "south"], currencies=["EUR"])
    assert recorder.metrics == tuple(
        Catalogue.start(providers=["north", "south"], currencies=["EUR"]).metrics
    )
    with recorder.payment("authorize") as payment:
        payment.finish("succeeded", "south")
    scrape = recorder.render().decode()
    labels = 'operation="authorize",outcome="succeeded",provider="south",traffic="live",cohort="control"'
    assert f"moneypath_payments_total{{{labels}}} 1" in scrape
    assert 'moneypath_payments_total{operation="refund",outcome="failed",provider="north"' in scrape


def test_metrics_can_still_be_chosen() -> None:
    """A worker that takes no payments exposes none."""
    name = "moneypath_provider_attempts_total"
    recorder = setup(service="worker", providers=["north"], currencies=["EUR"], metrics=[name])
    assert b"moneypath_payments_total" not in recorder.render()
    assert name in recorder.metrics


@pytest.mark.parametrize("missing", ["providers", "currencies"])
def test_what_is_missing_is_named(missing: str) -> None:
    """Before the first record."""
    known = {"providers": ["north"], "currencies": ["EUR"]}
    del known[missing]
    with pytest.raises(CatalogueInvalid, match=missing):
        setup(service="checkout", **known)  # type: ignore[arg-type]


def test_both_ways_at_once_are_refused(catalogue: Catalogue) -> None:
    """Nothing says which of the two is meant; a catalogue alone works as ever."""
    with pytest.raises(TelemetryError, match="a catalogue and providers"):
        setup(catalogue, service="checkout", providers=["north"])
    assert setup(catalogue, service="checkout").metrics == tuple(catalogue.metrics)
