"""A payment is recorded once and completely, and its end is never lost."""

from collections.abc import Callable

import pytest

from moneypath.telemetry import Catalogue, Recorder, setup
from moneypath.telemetry.catalogue.vocabulary import Operation, Outcome

Read = Callable[..., float | None]

TOTAL = "moneypath_payments_total"
SECONDS = "moneypath_payment_duration_seconds"
IN_FLIGHT = "moneypath_payments_in_flight"
LIVE = {"traffic": "live", "cohort": "control"}


def dropped(read: Read, reason: str) -> float | None:
    """Return how many records were dropped for a reason."""
    return read("moneypath_telemetry_drops_total", reason=reason)


def test_one_record_reaches_all_three_metrics(recorder: Recorder, read: Read) -> None:
    """Count, duration and in-flight agree, each with its own labels."""
    labels = {"operation": "authorize", "outcome": "declined"}
    with recorder.payment("authorize") as payment:
        assert read(IN_FLIGHT, operation="authorize") == 1
        payment.finish("declined", "north")
        assert read(IN_FLIGHT, operation="authorize") == 0
    with recorder.payment("authorize", traffic="canary", cohort="candidate") as payment:
        payment.finish("declined", "south")
    assert read(TOTAL, **labels, provider="north", **LIVE) == 1
    assert read(TOTAL, **labels, provider="south", traffic="canary", cohort="candidate") == 1
    assert read(TOTAL, **labels, provider="south", **LIVE) == 0
    assert read(f"{SECONDS}_count", **labels) == 2
    assert read(f"{SECONDS}_count", operation="authorize", outcome="succeeded") == 0
    assert read("moneypath_telemetry_records_total") == 2


def test_duration_ends_with_finish_and_falls_on_its_edge(catalogue: Catalogue) -> None:
    """The clock stops at `finish`, not at the end of the block; an edge value counts below the edge."""
    ticks = iter([10.0, 10.25])
    recorder = setup(catalogue, service="api", clock=lambda: next(ticks))
    with recorder.payment("capture") as payment:
        payment.finish("succeeded", "north")
    text = recorder.render().decode()
    labels = 'operation="capture",outcome="succeeded"'
    assert f'{SECONDS}_bucket{{{labels},le="0.1"}} 0.0\n' in text
    assert f'{SECONDS}_bucket{{{labels},le="0.25"}} 1.0\n' in text
    assert f"{SECONDS}_sum{{{labels}}} 0.25\n" in text


def test_a_payment_is_timed_from_its_arrival_where_that_is_known(catalogue: Catalogue) -> None:
    """`since` is a value of the recorder's clock; the time before the block counts."""
    ticks = iter([10.0, 12.0])
    recorder = setup(catalogue, service="api", clock=lambda: next(ticks))
    arrived = recorder.now()
    with recorder.payment("authorize", since=arrived) as payment:
        payment.finish("failed")
    text = recorder.render().decode()
    assert f'{SECONDS}_sum{{operation="authorize",outcome="failed"}} 2.0\n' in text


def test_members_of_the_closed_sets_are_labels_too(recorder: Recorder, read: Read) -> None:
    """An enumeration's member and its string are the same label."""
    with recorder.payment(Operation.REFUND) as payment:
        payment.finish(Outcome.SUCCEEDED, "north")
    assert read(TOTAL, operation="refund", outcome="succeeded", provider="north", **LIVE) == 1


def test_exception_without_finish_is_recorded_as_failed_and_passes_on(recorder: Recorder, read: Read) -> None:
    """The caller gets the exception, and the payment counts as failed."""
    with pytest.raises(ZeroDivisionError), recorder.payment("capture"):
        raise ZeroDivisionError
    assert read(TOTAL, operation="capture", outcome="failed", provider="none", **LIVE) == 1
    assert read(IN_FLIGHT, operation="capture") == 0


def test_exception_after_finish_changes_nothing(recorder: Recorder, read: Read) -> None:
    """The first outcome counts."""
    with pytest.raises(ZeroDivisionError), recorder.payment("capture") as payment:
        payment.finish("succeeded", "north")
        raise ZeroDivisionError
    assert read(TOTAL, operation="capture", outcome="succeeded", provider="north", **LIVE) == 1
    assert read(TOTAL, operation="capture", outcome="failed", provider="none", **LIVE) == 0


def test_block_left_without_an_outcome_is_a_counted_drop(recorder: Recorder, read: Read) -> None:
    """Any outcome would be a guess, so a drop is counted and nothing stays in flight."""
    with recorder.payment("capture"):
        pass
    assert dropped(read, "unfinished") == 1
    assert read(IN_FLIGHT, operation="capture") == 0
    assert read("moneypath_telemetry_records_total") == 0


def test_second_finish_is_a_counted_drop(recorder: Recorder, read: Read) -> None:
    """A payment has one outcome."""
    with recorder.payment("authorize") as payment:
        payment.finish("succeeded", "north")
        payment.finish("failed", "north")
    assert dropped(read, "finished_twice") == 1
    assert read(TOTAL, operation="authorize", outcome="failed", provider="north", **LIVE) == 0
    assert read(IN_FLIGHT, operation="authorize") == 0


@pytest.mark.parametrize(
    ("outcome", "provider", "traffic"),
    [
        ("lost", "north", "live"),
        ("failed", "east", "live"),
        ("failed", "north", "test"),
        ([], "north", "live"),
    ],
)
def test_unknown_label_is_dropped_and_leaves_nothing_in_flight(
    recorder: Recorder, read: Read, outcome: str, provider: str, traffic: str
) -> None:
    """The payment has ended although it cannot be recorded."""
    with recorder.payment("authorize", traffic=traffic) as payment:
        payment.finish(outcome, provider)
    assert dropped(read, "unknown_value") == 1
    assert read(IN_FLIGHT, operation="authorize") == 0
    assert read("moneypath_telemetry_records_total") == 0


@pytest.mark.parametrize("operation", ["teleport", "", None, []])
def test_unknown_operation_is_one_drop_and_breaks_nothing(
    recorder: Recorder, read: Read, operation: str
) -> None:
    """An undeclared operation is counted once, however it ends."""
    with recorder.payment(operation) as payment:
        payment.finish("succeeded", "north")
    assert dropped(read, "unknown_value") == 1
    assert dropped(read, "finished_twice") == 0
    assert read("moneypath_telemetry_records_total") == 0


def test_every_combination_exists_before_the_first_payment(recorder: Recorder, read: Read) -> None:
    """The first failure is an increase from 0, because the series exists before."""
    text = recorder.render().decode()
    assert sum(line.startswith(f"{TOTAL}{{") for line in text.splitlines()) == 6 * 7 * 3 * 3 * 2
    assert sum(line.startswith(f"{SECONDS}_count") for line in text.splitlines()) == 6 * 7
    assert read(IN_FLIGHT, operation="payout") == 0


def test_fused_and_single_counts_add_up(recorder: Recorder, read: Read) -> None:
    """A payment counted with `inc` and one recorded as a whole are in one series."""
    labels = {"operation": "authorize", "outcome": "failed"}
    recorder.counter(TOTAL).inc(2, **labels, provider="none", **LIVE)
    recorder.histogram(SECONDS).observe(0.5, **labels)
    with recorder.payment("authorize") as payment:
        payment.finish("failed")
    assert read(TOTAL, **labels, provider="none", **LIVE) == 3
    assert read(f"{SECONDS}_count", **labels) == 2
