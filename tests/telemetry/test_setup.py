"""A service without a `moneypath.yaml` starts with its providers and currencies."""

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


@pytest.mark.parametrize("slot", ["providers", "currencies", "queues"])
@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("north", "is 'north', not a list of names"),
        (["north", 7], "not a list of names"),
        (None, "is None, not a list of names"),
        (["north", "south", "north"], "has 'north' twice"),
        (["north", ""], "is empty, too long or not printable"),
        (["north", "4111111111111111"], "looks like a card number or a secret"),
        ([f"number_{number}" for number in range(200)], "series_budget: [0-9]+ is exceeded"),
    ],
)
def test_what_is_no_list_of_names_is_refused(slot: str, wrong: object, reason: str) -> None:
    """A single string above all, whose letters would become values."""
    given = {"providers": ["north"], "currencies": ["EUR"], slot: wrong}
    with pytest.raises(CatalogueInvalid, match=reason) as refused:
        setup(service="checkout", **given)  # type: ignore[arg-type]
    assert (
        slot in str(refused.value) or "label" in str(refused.value) or "series_budget" in str(refused.value)
    )
    assert "4111111111111111" not in str(refused.value)


@pytest.mark.parametrize("queue", ["outbox", "payouts"])
def test_a_queue_that_is_there_already_is_refused(queue: str) -> None:
    """A common queue, or one that is named twice."""
    with pytest.raises(CatalogueInvalid, match=f"queues has '{queue}' twice"):
        setup(service="checkout", providers=["north"], currencies=["EUR"], queues=["payouts", queue])


@pytest.mark.parametrize("slot", ["providers", "currencies", "queues"])
def test_both_ways_at_once_are_refused(catalogue: Catalogue, slot: str) -> None:
    """It is unclear which one is meant; a catalogue alone works."""
    with pytest.raises(TelemetryError, match="a catalogue and also providers, currencies or queues"):
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
