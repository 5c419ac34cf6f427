"""Recording takes declared labels, counts the others as drops, and never raises."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from moneypath.telemetry import Catalogue, CatalogueInvalid, LabelsUnknown, MetricUnknown, Recorder, setup
from moneypath.telemetry.errors import TelemetryError
from moneypath.telemetry.tracing import Tracer

Read = Callable[..., float | None]

ATTEMPTS = "moneypath_provider_attempts_total"
ATTEMPT = {"provider": "north", "operation": "capture", "outcome": "failed"}
DURATION = "moneypath_provider_request_duration_seconds"
ROUTING = "moneypath_provider_routing_active"


def drops(read: Read) -> dict[str, float]:
    """Return the reasons for which records were dropped."""
    reasons = (
        "unknown_metric",
        "unknown_label",
        "unknown_value",
        "not_a_number",
        "negative",
        "out_of_range",
        "series_budget",
        "unfinished",
        "finished_twice",
    )
    counted = {reason: read("moneypath_telemetry_drops_total", reason=reason) for reason in reasons}
    assert None not in counted.values()
    return {reason: count for reason, count in counted.items() if count}


def test_counter_counts_by_family_and_by_handle(recorder: Recorder, read: Read) -> None:
    """Both ways reach the same series, in any order of the labels."""
    counter = recorder.counter(ATTEMPTS)
    assert read(ATTEMPTS, **ATTEMPT) == 0
    counter.inc(1, **ATTEMPT)
    counter.inc(1, **dict(reversed(ATTEMPT.items())))
    counter.bind(**ATTEMPT).inc(2.5)
    counter.inc(amount=0, **ATTEMPT)
    assert read(ATTEMPTS, **ATTEMPT) == 4.5
    assert read(ATTEMPTS, **{**ATTEMPT, "provider": "south"}) == 0
    assert read("moneypath_telemetry_records_total") == 4
    assert drops(read) == {}


def test_histogram_puts_an_edge_value_into_its_own_bucket(recorder: Recorder, read: Read) -> None:
    """Buckets are `less or equal`, so a request exactly at the threshold is within it."""
    handle = recorder.histogram(DURATION).bind(**ATTEMPT)
    for seconds in (0, 0.25, 0.2500001, 11.0):
        handle.observe(seconds)
    recorder.histogram(DURATION).observe(0.25, **ATTEMPT)
    counts = {
        edge: read(f"{DURATION}_bucket", le=edge, **ATTEMPT) for edge in ("0.001", "0.1", "0.25", "0.5")
    }
    assert counts == {"0.001": 1, "0.1": 1, "0.25": 3, "0.5": 4}
    assert read(f"{DURATION}_bucket", le="10.0", **ATTEMPT) == 4
    assert read(f"{DURATION}_bucket", le="+Inf", **ATTEMPT) == 5
    assert read(f"{DURATION}_count", **ATTEMPT) == 5
    assert read(f"{DURATION}_sum", **ATTEMPT) == pytest.approx(11.7500001)


def test_gauge_is_absent_until_set_and_again_after_clear(recorder: Recorder, read: Read) -> None:
    """An unknown value is absent, never 0; a cleared gauge can be set again."""
    gauge = recorder.gauge(ROUTING)
    assert read(ROUTING, provider="north") is None
    gauge.set(0, provider="north")
    assert read(ROUTING, provider="north") == 0
    assert read(ROUTING, provider="south") is None
    gauge.clear(provider="north")
    assert read(ROUTING, provider="north") is None
    gauge.bind(provider="north").set(True)
    assert read(ROUTING, provider="north") == 1


def test_gauge_without_a_number_becomes_absent(recorder: Recorder, read: Read) -> None:
    """A gauge that must be 0 must not keep reporting 0 when its source fails."""
    gauge = recorder.gauge("moneypath_duplicate_charges")
    gauge.set(0)
    gauge.set(float("nan"))
    assert read("moneypath_duplicate_charges") is None
    assert drops(read) == {"not_a_number": 1}
    gauge.set(-2.5)
    assert read("moneypath_duplicate_charges") == -2.5


def test_amount_of_money_is_written_digit_by_digit(recorder: Recorder) -> None:
    """An integer of minor units is not rounded to a float."""
    recorder.gauge("moneypath_ledger_imbalance_minor_units").set(2**53 + 1, currency="EUR")
    line = b'moneypath_ledger_imbalance_minor_units{currency="EUR"} 9007199254740993\n'
    assert line in recorder.render()


BAD_NUMBERS: list[tuple[Any, str]] = [
    (float("nan"), "not_a_number"),
    (float("inf"), "out_of_range"),
    (10**400, "out_of_range"),
    (1e19, "out_of_range"),
    (-1, "negative"),
    (-0.001, "negative"),
    (-(10**400), "negative"),
    (float("-inf"), "negative"),
    ("1", "not_a_number"),
    (None, "not_a_number"),
    (Decimal(1), "not_a_number"),
    (Decimal("NaN"), "not_a_number"),
    ([1], "not_a_number"),
    (1j, "not_a_number"),
]


@pytest.mark.parametrize(("value", "reason"), BAD_NUMBERS)
def test_bad_number_is_dropped_and_counted(recorder: Recorder, read: Read, value: Any, reason: str) -> None:
    """An invalid number never raises and reaches no series. Its reason is counted; valid records go on."""
    recorder.counter(ATTEMPTS).inc(value, **ATTEMPT)
    recorder.histogram(DURATION).observe(value, **ATTEMPT)
    assert read(ATTEMPTS, **ATTEMPT) == 0
    assert read(f"{DURATION}_count", **ATTEMPT) == 0
    assert read(f"{DURATION}_sum", **ATTEMPT) == 0
    assert drops(read) == {reason: 2}
    recorder.counter(ATTEMPTS).inc(1, **ATTEMPT)
    recorder.histogram(DURATION).observe(0.5, **ATTEMPT)
    assert (read(ATTEMPTS, **ATTEMPT), read(f"{DURATION}_sum", **ATTEMPT)) == (1, 0.5)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, "1", None, Decimal(1)])
def test_gauge_never_raises(recorder: Recorder, read: Read, value: Any) -> None:
    """The same holds for gauges."""
    recorder.gauge(ROUTING).set(value, provider="north")
    assert read(ROUTING, provider="north") is None
    assert sum(drops(read).values()) == 1


BAD_LABELS: list[tuple[dict[str, Any], str]] = [
    ({}, "unknown_label"),
    ({"provider": "north"}, "unknown_label"),
    ({**ATTEMPT, "extra": "x"}, "unknown_label"),
    ({"provider": "north", "operation": "capture", "result": "failed"}, "unknown_label"),
    ({**ATTEMPT, "provider": "east"}, "unknown_value"),
    ({**ATTEMPT, "provider": "none"}, "unknown_value"),
    ({**ATTEMPT, "provider": ["north"]}, "unknown_value"),
    ({**ATTEMPT, "provider": None}, "unknown_value"),
]


@pytest.mark.parametrize(("labels", "reason"), BAD_LABELS)
def test_unknown_labels_are_dropped_when_recording_and_refused_when_binding(
    recorder: Recorder, read: Read, labels: dict[str, Any], reason: str
) -> None:
    """A wrong label is counted while recording; binding it raises an error with the declared labels."""
    recorder.counter(ATTEMPTS).inc(1, **labels)
    recorder.histogram(DURATION).observe(0.1, **labels)
    assert drops(read) == {reason: 2}
    with pytest.raises(LabelsUnknown, match=rf"{ATTEMPTS}: {reason}[\s\S]*declared labels: provider="):
        recorder.counter(ATTEMPTS).bind(**labels)
    assert drops(read) == {reason: 2}


def test_gauge_with_unknown_labels_is_dropped(recorder: Recorder, read: Read) -> None:
    """Setting and clearing a provider that is not declared changes nothing."""
    unhashable: Any = ["north"]
    recorder.gauge(ROUTING).set(1, provider="east")
    recorder.gauge(ROUTING).clear(provider="east")
    recorder.gauge(ROUTING).set(1, provider=unhashable)
    recorder.gauge(ROUTING).clear(provider=unhashable)
    assert drops(read) == {"unknown_value": 4}


def test_series_stop_at_the_budget(vocabulary: dict[str, tuple[str, ...]]) -> None:
    """A metric adds series up to its budget; existing series keep counting."""
    recorder = setup(Catalogue.build(vocabulary), service="api")
    histogram = recorder.histogram("http_server_request_duration_seconds")
    histogram.close_label("http_route", tuple(f"/r{number}" for number in range(1000)))
    rest = {"http_request_method": "GET", "http_response_status_code": "200"}
    for number in range(1000):
        histogram.observe(0.1, http_route=f"/r{number}", **rest)
    histogram.observe(0.1, http_route="/r0", **rest)
    lines = [line for line in recorder.render().decode().splitlines() if line.startswith("http_server")]
    assert 3900 < len(lines) <= 4000
    assert any(line.endswith(" 2.0") for line in lines)
    dropped = 1000 - len(lines) // 16
    assert f'drops_total{{reason="series_budget"}} {dropped}\n' in recorder.render().decode()
    with pytest.raises(LabelsUnknown, match="budget of 4000 series"):
        histogram.bind(http_route="/r999", **rest)


def test_open_label_takes_its_values_at_wiring(catalogue: Catalogue, recorder: Recorder, read: Read) -> None:
    """The service sets its routes; before that, and for any other route, a record is dropped."""
    histogram = recorder.histogram("http_server_request_duration_seconds")
    labels = {"http_request_method": "GET", "http_response_status_code": "200", "http_route": "/a"}
    histogram.observe(0.1, **labels)
    histogram.close_label("http_route", ("/a",))
    histogram.observe(0.1, **labels)
    histogram.observe(0.1, **{**labels, "http_route": "/b"})
    assert read("http_server_request_duration_seconds_count", **labels) == 1
    assert drops(read) == {"unknown_value": 2}
    with pytest.raises(CatalogueInvalid, match="not declared"):
        histogram.close_label("http_request_method", ("GET", "BREW"))
    with pytest.raises(CatalogueInvalid, match="no label"):
        histogram.close_label("route", ("/a",))


@pytest.mark.parametrize("name", ["moneypath_nothing_total", ROUTING, DURATION])
def test_family_of_another_kind_or_name_is_refused(recorder: Recorder, name: str) -> None:
    """The error lists the counters that exist."""
    with pytest.raises(MetricUnknown, match=rf"counter {name}[\s\S]*moneypath_payments_total"):
        recorder.counter(name)


def test_service_exposes_only_what_it_records(catalogue: Catalogue) -> None:
    """The worker exposes no zeros for the API's metrics; the metrics about telemetry are always there."""
    worker = setup(catalogue, service="refpay-worker", metrics=[ROUTING, ATTEMPTS])
    text = worker.render().decode()
    assert ATTEMPTS in text
    assert "moneypath_payments_total" not in text
    assert "moneypath_telemetry_records_total" in text
    with pytest.raises(MetricUnknown, match="refpay-worker"):
        worker.counter("moneypath_payments_total")
    with worker.payment("authorize") as payment:
        payment.finish("succeeded", "north")
    assert 'drops_total{reason="unknown_metric"} 1\n' in worker.render().decode()


def test_setup_refuses_unknown_metrics_services_and_half_a_payment(catalogue: Catalogue) -> None:
    """Each mistake raises one sentence before the first request."""
    with pytest.raises(MetricUnknown, match="moneypath_nothing"):
        setup(catalogue, service="api", metrics=["moneypath_nothing"])
    with pytest.raises(TelemetryError, match="not a service name"):
        setup(catalogue, service="The API")
    with pytest.raises(CatalogueInvalid, match="recorded in all of"):
        setup(catalogue, service="api", metrics=["moneypath_payments_total"])


def test_recorders_share_nothing(catalogue: Catalogue) -> None:
    """Two recorders in one process are independent."""
    one, two = setup(catalogue, service="one"), setup(catalogue, service="two")
    one.counter(ATTEMPTS).inc(1, **ATTEMPT)
    with one.payment("authorize") as payment:
        payment.finish("succeeded", "north")
    assert b" 1.0\n" in one.render()
    assert b" 1.0\n" not in two.render()


class Hostile:
    """An object that raises whatever is done with it."""

    def _raise(self, *_: object) -> Any:
        raise RuntimeError("hostile")

    __add__ = __radd__ = __lt__ = __le__ = __gt__ = __ge__ = __rshift__ = __bool__ = __float__ = _raise
    __eq__ = __hash__ = __sub__ = __rsub__ = _raise


class HostileText(str):
    """A string that raises when it is hashed, as a lazily loaded one may."""

    __slots__ = ()

    def __hash__(self) -> int:
        raise RuntimeError("hostile")


class HostileNumber(int):
    """A number that raises when it is compared."""

    def _raise(self, *_: object) -> Any:
        raise RuntimeError("hostile")

    __lt__ = __le__ = __gt__ = __ge__ = __rshift__ = __radd__ = __rsub__ = _raise


# As a duration and as an instant the second one does well: floats compare themselves with it.
@pytest.mark.parametrize(("value", "refused"), [(Hostile(), 6), (HostileNumber(3), 4)])
def test_a_value_that_raises_anything_is_dropped_and_counted(
    recorder: Recorder, read: Read, value: Any, refused: int
) -> None:
    """No exception reaches a payment, and no payment stays in flight."""
    recorder.counter(ATTEMPTS).inc(value, **ATTEMPT)
    recorder.histogram(DURATION).observe(value, **ATTEMPT)
    recorder.gauge(ROUTING).set(value, provider="north")
    with recorder.payment("capture") as payment:
        payment.finish("succeeded", "north", fee_micro_units=value)
    with recorder.payment("capture", since=value) as payment:
        payment.finish("succeeded", "north")
    recorder.begin("capture").finish(value, "succeeded", "north")
    assert drops(read) == {"not_a_number": refused}
    assert read("moneypath_payments_in_flight", operation="capture") == 0
    assert read(ATTEMPTS, **ATTEMPT) == 0


@pytest.mark.parametrize("value", [Hostile(), HostileText("north")])
def test_a_label_that_raises_anything_is_dropped_and_counted(
    recorder: Recorder, read: Read, value: Any
) -> None:
    """The same holds for labels, of metrics and of payments."""
    recorder.counter(ATTEMPTS).inc(1, **{**ATTEMPT, "provider": value})
    recorder.histogram(DURATION).observe(1, **{**ATTEMPT, "provider": value})
    recorder.gauge(ROUTING).set(1, provider=value)
    recorder.gauge(ROUTING).clear(provider=value)
    for labels in ((value,), ("capture", value), ("capture", "live", value)):
        with recorder.payment(*labels) as payment:
            payment.finish("succeeded", "north")
        recorder.begin(*labels).finish(0.1, "succeeded", "north")
    for end in ((value, "north"), ("succeeded", value)):
        with recorder.payment("capture") as payment:
            payment.finish(*end)
        recorder.begin("capture").finish(0.1, *end)
    assert drops(read) == {"unknown_value": 14}
    assert read("moneypath_payments_in_flight", operation="capture") == 0


def test_a_traced_payment_lets_no_error_of_a_label_out(catalogue: Catalogue) -> None:
    """With a tracer the span looks the outcome up as well."""
    wrong: Any = HostileText("succeeded")
    recorder = setup(catalogue, service="api", shared=False, tracer=Tracer())
    with recorder.payment("capture") as payment:
        payment.finish(wrong, "north")
    scrape = recorder.render().decode()
    assert 'moneypath_telemetry_drops_total{reason="unknown_value"} 1' in scrape
    assert 'moneypath_payments_in_flight{operation="capture"} 0' in scrape


def test_an_instant_too_large_for_a_clock_is_dropped(recorder: Recorder, read: Read) -> None:
    """An integer too large for a float raises when it is subtracted from one."""
    with recorder.payment("capture", since=10**400) as payment:
        payment.finish("succeeded", "north")
    assert sum(drops(read).values()) == 1
    assert read("moneypath_payments_in_flight", operation="capture") == 0
