"""A service without a `moneypath.yaml` starts with its providers and currencies."""

import re
from functools import partial
from typing import Any

import pytest

from moneypath.telemetry import Catalogue, CatalogueInvalid, TelemetryError, setup


def test_providers_and_currencies_are_enough() -> None:
    """Without a catalogue the starting one is recorded."""
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
    """The error comes before the first record."""
    known = {"providers": ["north"], "currencies": ["EUR"]}
    del known[missing]
    with pytest.raises(CatalogueInvalid, match=missing):
        setup(service="checkout", **known)  # type: ignore[arg-type]


def test_a_team_names_its_queues() -> None:
    """They are added to the common ones and exist from the first scrape."""
    start = partial(setup, service="checkout", providers=["north"], currencies=["EUR"])
    scrape = start(queues=["payouts", "refunds"]).render().decode()
    for queue in ("outbox", "notifications", "compliance_log", "payouts", "refunds"):
        assert f'moneypath_dead_letters_total{{queue="{queue}",reason="malformed"}} 0' in scrape
    assert 'queue="payouts"' not in start().render().decode()


@pytest.mark.parametrize("count", [15, 60])
def test_a_team_of_many_providers_records_with_each(count: int) -> None:
    """Budgets follow from what is declared; each provider counts, and nothing is dropped."""
    names = [f"provider-{number}" for number in range(count)]
    recorder = setup(service="checkout", providers=names, currencies=["EUR", "USD", "JPY"])
    for name in names:
        for result in ("approved", "soft_decline"):
            recorder.counter("moneypath_authorization_results_total").inc(
                1, provider=name, method="card", scheme="visa", currency="EUR", result=result
            )
    scrape = recorder.render().decode()
    for name in names:
        assert f'provider="{name}",method="card",scheme="visa",currency="EUR",result="approved"}} 1' in scrape
    assert 'moneypath_telemetry_drops_total{reason="series_budget"} 0' in scrape


def test_more_series_than_the_limit_are_refused_with_what_makes_them() -> None:
    """The error names the largest metrics, the values of each of their labels, and what to do."""
    providers = [f"provider-{number}" for number in range(60)]
    currencies = [f"C{first}{second}" for first in "ABC" for second in "ABCDEFGHIJ"]
    with pytest.raises(CatalogueInvalid) as refused:
        setup(service="checkout", providers=providers, currencies=currencies)
    told = str(refused.value)
    assert "series_limit 100000" in told
    assert (
        "moneypath_provider_request_duration_seconds 40320 (provider 60 x operation 6 x outcome 7 x 16"
        in told
    )
    assert "moneypath_authorization_results_total 36000 (provider 60 x method 1" in told
    found = re.search(r"makes ([0-9]+) series[\s\S]*at least ([0-9]+) if", told)
    assert found is not None
    least = int(found[1])
    assert found[2] == found[1]
    setup(service="checkout", providers=providers, currencies=currencies, series_limit=least)
    with pytest.raises(CatalogueInvalid, match=f"series_limit {least - 1}"):
        setup(service="checkout", providers=providers, currencies=currencies, series_limit=least - 1)


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "many"])
def test_a_limit_that_is_no_number_of_series_is_refused(limit: object) -> None:
    """Nothing is guessed from it."""
    with pytest.raises(CatalogueInvalid, match=r"series_limit is .*, allowed: a whole number from 1"):
        setup(service="checkout", providers=["north"], currencies=["EUR"], series_limit=limit)  # type: ignore[arg-type]


@pytest.mark.parametrize("slot", ["providers", "currencies", "queues", "operations", "traffic", "cohorts"])
@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("north", "is 'north', not a list of names"),
        (["north", 7], "not a list of names"),
        (None, "is None, not a list of names"),
        (["north", "south", "north"], "has 'north' twice"),
        (["north", ""], "is empty, too long or not printable"),
        (["north", "4111111111111111"], "looks like a card number or a secret"),
    ],
)
def test_what_is_no_list_of_names_is_refused(slot: str, wrong: object, reason: str) -> None:
    """A single string above all, whose letters would become values."""
    given = {"providers": ["north"], "currencies": ["EUR"], slot: wrong}
    with pytest.raises(CatalogueInvalid, match=reason) as refused:
        setup(service="checkout", **given)  # type: ignore[arg-type]
    assert slot in str(refused.value) or "label" in str(refused.value)
    assert "4111111111111111" not in str(refused.value)


@pytest.mark.parametrize("queue", ["outbox", "payouts"])
def test_a_queue_that_is_there_already_is_refused(queue: str) -> None:
    """A common queue, or one that is named twice."""
    with pytest.raises(CatalogueInvalid, match=f"queues has '{queue}' twice"):
        setup(service="checkout", providers=["north"], currencies=["EUR"], queues=["payouts", queue])


@pytest.mark.parametrize("slot", ["providers", "currencies", "queues"])
def test_both_ways_at_once_are_refused(catalogue: Catalogue, slot: str) -> None:
    """It is unclear which one is meant; a catalogue alone works."""
    with pytest.raises(TelemetryError, match=f"a catalogue and also {slot}"):
        setup(catalogue, service="checkout", **{slot: ["north"]})  # type: ignore[arg-type]
    assert setup(catalogue, service="checkout").metrics == tuple(catalogue.metrics)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"catalogue": "catalogue.json"}, "catalogue is a str[\\s\\S]*Catalogue.load"),
        ({"catalogue": {}}, "catalogue is a dict"),
        ({"service": None}, "None is not a service name"),
        ({"shared": "/run/workers"}, "shared is '/run/workers'[\\s\\S]*Path"),
        ({"clock": 5.0}, "clock 5.0 cannot be called"),
    ],
)
def test_what_is_of_another_kind_is_refused_at_start_up(
    catalogue: Catalogue, wrong: dict[str, Any], reason: str
) -> None:
    """With one sentence and not a TypeError; the right types work."""
    given: dict[str, Any] = {"catalogue": catalogue, "service": "checkout", "shared": False}
    with pytest.raises(TelemetryError, match=reason):
        setup(**{**given, **wrong})
    assert setup(**given).metrics == tuple(catalogue.metrics)
