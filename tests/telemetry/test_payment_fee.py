"""A fee is recorded with its payment, and `begin`/`finish` records what the context manager records."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from moneypath.telemetry import Catalogue, CatalogueInvalid, MetricKind, MetricSpec, Recorder, Unit, setup
from moneypath.telemetry.recording.frozen_points import freeze
from moneypath.telemetry.recording.payment_instrument import PaymentInstrument
from moneypath.telemetry.recording.store import PAYMENTS, PointStore

Read = Callable[..., float | None]

TOTAL = "moneypath_payments_total"
SECONDS = "moneypath_payment_duration_seconds"
IN_FLIGHT = "moneypath_payments_in_flight"
COST = "moneypath_cost_micro_units_total"
DROPS = "moneypath_telemetry_drops_total"
LIVE = {"traffic": "live", "cohort": "control"}


def fee(read: Read, provider: str = "north") -> float | None:
    """Return the fees of a provider."""
    return read(COST, component="provider_fee", provider=provider)


def test_fee_is_added_to_the_cost_of_its_provider(recorder: Recorder, read: Read) -> None:
    """Fees of all operations and outcomes of a provider add up with what is counted separately."""
    recorder.counter(COST).inc(5, component="provider_fee", provider="north")
    with recorder.payment("capture") as payment:
        payment.finish("succeeded", "north", fee_micro_units=1250)
    with recorder.payment("authorize", traffic="canary") as payment:
        payment.finish("declined", "north", 250.5)
    with recorder.payment("capture") as payment:
        payment.finish("succeeded", "south", 2**40)
    with recorder.payment("capture") as payment:
        payment.finish("failed")
    assert fee(read) == 1505.5
    assert fee(read, "south") == 2**40
    assert fee(read, "none") == 0
    assert read(COST, component="compute", provider="north") == 0
    assert read("moneypath_telemetry_records_total") == 5


BAD_FEES: list[tuple[Any, str]] = [
    (float("nan"), "not_a_number"),
    (float("inf"), "out_of_range"),
    (2**64, "out_of_range"),
    (-1, "negative"),
    (-0.5, "negative"),
    (-(2**70), "negative"),
    ("12", "not_a_number"),
    (Decimal(3), "not_a_number"),
    (Fraction(1, 3), "not_a_number"),
    ([1], "not_a_number"),
]


@pytest.mark.parametrize(("amount", "reason"), BAD_FEES)
def test_bad_fee_is_a_counted_drop_and_the_payment_stands(
    recorder: Recorder, read: Read, amount: Any, reason: str
) -> None:
    """The payment is recorded whatever the fee is, and nothing raises."""
    with recorder.payment("capture") as payment:
        payment.finish("succeeded", "north", fee_micro_units=amount)
    recorder.begin("capture").finish(0.1, "succeeded", "north", amount)
    assert read(DROPS, reason=reason) == 2
    assert fee(read) == 0
    assert read(TOTAL, operation="capture", outcome="succeeded", provider="north", **LIVE) == 2
    assert read(IN_FLIGHT, operation="capture") == 0


def test_fee_without_its_metric_is_a_counted_drop(catalogue: Catalogue) -> None:
    """A service that records no costs sees that a fee was dropped."""
    names = [name for name in catalogue.metrics if name != COST]
    recorder = setup(catalogue, service="api", metrics=names)
    recorder.begin("capture").finish(0.1, "succeeded", "north", fee_micro_units=1250)
    recorder.begin("capture").finish(0.1, "succeeded", "north")
    text = recorder.render().decode()
    assert 'drops_total{reason="unknown_metric"} 1\n' in text
    assert f'{SECONDS}_count{{operation="capture",outcome="succeeded"}} 2.0\n' in text
    assert COST not in text


def test_direct_form_records_the_same(recorder: Recorder, read: Read) -> None:
    """A started payment is in flight; a finished one is counted and timed by the caller's clock."""
    handle = recorder.begin("refund", traffic="canary", cohort="candidate")
    assert read(IN_FLIGHT, operation="refund") == 1
    handle.finish(0.25, "indeterminate", "south", fee_micro_units=7)
    labels = {"operation": "refund", "outcome": "indeterminate"}
    assert read(TOTAL, **labels, provider="south", traffic="canary", cohort="candidate") == 1
    assert read(f"{SECONDS}_bucket", **labels, le="0.25") == 1
    assert read(f"{SECONDS}_bucket", **labels, le="0.1") == 0
    assert read(f"{SECONDS}_sum", **labels) == 0.25
    assert read(IN_FLIGHT, operation="refund") == 0
    assert fee(read, "south") == 7
    assert read("moneypath_telemetry_records_total") == 1


BAD_SECONDS: list[tuple[Any, str]] = [
    (float("nan"), "not_a_number"),
    (float("inf"), "out_of_range"),
    (float("-inf"), "negative"),
    (1e19, "out_of_range"),
    (10**400, "out_of_range"),
    (-1e-9, "negative"),
    (-5e-324, "negative"),
    ("1", "not_a_number"),
    (None, "not_a_number"),
    (Decimal(1), "not_a_number"),
    (Decimal("NaN"), "not_a_number"),
    (1j, "not_a_number"),
]


@pytest.mark.parametrize(("seconds", "reason"), BAD_SECONDS)
def test_what_is_no_duration_drops_the_payment_once(
    recorder: Recorder, read: Read, seconds: Any, reason: str
) -> None:
    """It leaves flight, is counted as one drop, and its fee is dropped with it."""
    recorder.begin("capture").finish(seconds, "succeeded", "north", 1250)
    assert read(DROPS, reason=reason) == 1
    assert read(IN_FLIGHT, operation="capture") == 0
    assert read("moneypath_telemetry_records_total") == 0
    assert read(f"{SECONDS}_sum", operation="capture", outcome="succeeded") == 0
    assert fee(read) == 0


@pytest.mark.parametrize("seconds", [0, 0.0, -0.0, 5e-324, 10.0, 10.5, 2.0**63])
def test_every_duration_is_taken(recorder: Recorder, read: Read, seconds: float) -> None:
    """From 0 to the largest number that is accepted."""
    recorder.begin("capture").finish(seconds, "succeeded", "north")
    labels = {"operation": "capture", "outcome": "succeeded"}
    assert read(f"{SECONDS}_bucket", **labels, le="+Inf") == 1
    assert read(f"{SECONDS}_bucket", **labels, le="10.0") == (seconds <= 10)
    assert read(f"{SECONDS}_bucket", **labels, le="0.001") == (seconds <= 0.001)
    assert read(f"{SECONDS}_sum", **labels) == seconds


@pytest.mark.parametrize(("since", "reason"), [(1e300, "negative"), (float("nan"), "not_a_number")])
def test_instant_that_is_none_drops_the_payment(
    recorder: Recorder, read: Read, since: float, reason: str
) -> None:
    """An invalid `since` gives no duration."""
    with recorder.payment("capture", since=since) as payment:
        payment.finish("succeeded", "north")
    assert read(DROPS, reason=reason) == 1
    assert read(IN_FLIGHT, operation="capture") == 0


def test_since_of_another_kind_never_raises(recorder: Recorder, read: Read) -> None:
    """Not even if it is not a number."""
    wrong: Any = "noon"
    with recorder.payment("capture", since=wrong) as payment:
        payment.finish("succeeded", "north")
    assert read(DROPS, reason="not_a_number") == 1
    assert read(IN_FLIGHT, operation="capture") == 0


@pytest.mark.parametrize("operation", ["teleport", None, []])
def test_unknown_operation_is_one_drop_in_the_direct_form(
    recorder: Recorder, read: Read, operation: Any
) -> None:
    """The returned handle accepts `finish` and does nothing."""
    recorder.begin(operation).finish(0.1, "succeeded", "north", 1250)
    assert read(DROPS, reason="unknown_value") == 1
    assert read("moneypath_telemetry_records_total") == 0
    assert fee(read) == 0


@pytest.mark.parametrize(("outcome", "provider"), [("lost", "north"), ("failed", "east"), ([], "north")])
def test_unknown_label_is_dropped_in_the_direct_form(
    recorder: Recorder, read: Read, outcome: Any, provider: Any
) -> None:
    """The payment is not in flight any more."""
    recorder.begin("authorize").finish(0.1, outcome, provider)
    assert read(DROPS, reason="unknown_value") == 1
    assert read(IN_FLIGHT, operation="authorize") == 0


def test_payment_handles_follow_to_another_store(catalogue: Catalogue, recorder: Recorder) -> None:
    """A forked child counts from zero through handles that were made before the fork."""
    book = recorder._payments
    assert isinstance(book, PaymentInstrument)
    handle = recorder.begin("authorize")
    handle.finish(0.1, "succeeded", "north", 3)
    before = book.snapshot(freeze(recorder._store))
    store = PointStore()
    book.switch_store(store)
    assert book.snapshot(freeze(store)).records() == 0
    handle.start()
    handle.finish(0.1, "succeeded", "north", 4)
    recorder.begin("authorize")
    after = book.snapshot(freeze(store))
    assert (before.records(), after.records()) == (1, 1)
    assert before.fees() == {("provider_fee", "north"): 3}
    assert after.fees() == {("provider_fee", "north"): 4}
    assert (before.in_flight()["authorize",], after.in_flight()["authorize",]) == (0, 1)


def test_store_without_room_drops_the_payment(catalogue: Catalogue) -> None:
    """Shared memory is limited; a payment that finds no room is counted as a drop."""

    class Full(PointStore):
        def allocate(self, slot: str, key: Any, zero: Any) -> Any:
            return None if slot == PAYMENTS else super().allocate(slot, key, zero)

    recorder = setup(catalogue, service="api")
    assert isinstance(recorder._payments, PaymentInstrument)
    recorder._payments.switch_store(Full())
    recorder.begin("authorize").finish(0.1, "succeeded", "north")
    text = recorder.render().decode()
    assert 'drops_total{reason="series_budget"} 1\n' in text
    assert f'{IN_FLIGHT}{{operation="authorize"}} 0\n' in text


def test_cost_metric_that_cannot_hold_a_fee_is_refused_at_wiring(catalogue: Catalogue) -> None:
    """A custom catalogue is refused before the first payment, with what is missing."""
    rest = [spec for spec in catalogue if spec.name != COST]
    for labels, problem in (
        ({"component": ("compute",), "provider": ("north", "south", "none")}, "provider_fee"),
        ({"component": ("provider_fee",), "provider": ("north", "none")}, "south"),
        ({"component": ("provider_fee",)}, "cannot be recorded as a payment"),
    ):
        cost = MetricSpec(COST, MetricKind.COUNTER, "Cost.", Unit.MICRO_UNITS, labels, (), 10)
        with pytest.raises(CatalogueInvalid, match=problem):
            setup(Catalogue.of([*rest, cost]), service="api")
