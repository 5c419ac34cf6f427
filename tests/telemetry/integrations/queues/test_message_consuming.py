"""Message consumers run in the producer's context, and their outcomes and dead letters are counted."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moneypath.telemetry import Catalogue, LabelsUnknown, MetricUnknown, Recorder, correlation, setup
from moneypath.telemetry.catalogue.vocabulary import DeadLetterReason
from moneypath.telemetry.correlation import Context
from moneypath.telemetry.integrations import messages
from moneypath.telemetry.integrations.messages import Backlog, BacklogGauges, Consumer, read_context

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
Read = Callable[..., float | None]
Counts = Callable[[], tuple[float | None, float | None, float | None]]
Dead = Callable[[], dict[str, float]]


@pytest.fixture
def consumer(recorder: Recorder) -> Consumer:
    """Return a consumer that observes the notifications."""
    return Consumer(recorder, "notifications")


def sent_by(producer: Context) -> dict[str, str]:
    """Return the headers of a message that a producer sends in its context."""
    headers: dict[str, str] = {}
    with correlation.entered(producer):
        correlation.inject(headers)
    return headers


def test_the_consumer_works_in_the_context_of_the_producer(consumer: Consumer, producer: Context) -> None:
    """The producer's ids are active inside the block, the previous ones after it, also after a failure."""
    own = Context("consumer-own-id")
    with correlation.entered(own):
        with consumer.handling(sent_by(producer)):
            inside = correlation.active()
        with pytest.raises(KeyError), consumer.handling(sent_by(producer)):
            raise KeyError
        assert correlation.active() is own
    assert inside is not None
    assert inside.correlation_id == producer.correlation_id
    assert inside.trace is not None
    assert producer.trace is not None
    assert inside.trace.trace_id == producer.trace.trace_id


def test_a_payment_id_does_not_travel(consumer: Consumer, producer: Context) -> None:
    """No header holds it, and the consumer starts without one."""
    headers = sent_by(producer)
    assert "pay-1" not in str(headers)
    with consumer.handling(headers):
        active = correlation.active()
    assert active is not None
    assert active.payment_id is None


def test_a_message_without_a_context_gets_an_id(consumer: Consumer) -> None:
    """Each message gets its own, not that of its consumer."""
    found = set()
    shapes: list[object] = [None, {}, [], (), "text", 7]
    with correlation.entered(Context("consumer-own-id")):
        for headers in shapes:
            with consumer.handling(headers):
                found.add(correlation.current())
    assert len(found) == 6
    assert "consumer-own-id" not in found


@pytest.mark.parametrize(
    "headers",
    [
        {"x-correlation-id": "order-12345678"},
        {"X-Correlation-ID": "order-12345678"},
        {"x-correlation-id": b"order-12345678"},
        [("x-correlation-id", b"order-12345678")],
        (("other", b"\xff"), ("X-Correlation-Id", "order-12345678")),
    ],
)
def test_every_shape_of_headers_is_read(headers: object) -> None:
    """A mapping or pairs, strings or bytes, in any case, as the four libraries give them."""
    assert read_context(headers).correlation_id == "order-12345678"


HOSTILE: list[object] = [
    {"x-correlation-id": b"order-\xff\xfe12345"},
    {"x-correlation-id": "o" * 1_000_000, "traceparent": b"0" * 1_000_000},
    {"x-correlation-id": "order-12345678\r\nx-evil: 1"},
    {"x-correlation-id": 12345678},
    {"x-correlation-id": ["order-12345678"]},
    {"x-correlation-id": None},
    {"x-correlation-id": "4111111111111111"},
    [("x-correlation-id", b"order-12345678"), ("x-correlation-id", b"order-87654321")],
    {"x-correlation-id": "order-12345678", "X-Correlation-Id": "order-12345678"},
    [("x-correlation-id", b"\xff"), ("X-CORRELATION-ID", b"order-12345678")],
    [
        ("x-correlation-id",),
        "x-correlation-id",
        None,
        ("x", "y", "z"),
        (b"x-correlation-id", b"order-12345678"),
    ],
    [(f"h{number}", b"") for number in range(messages.HEADERS_LIMIT)]
    + [("x-correlation-id", b"order-12345678")],
]


@pytest.mark.parametrize("headers", HOSTILE)
def test_hostile_headers_harm_nobody(consumer: Consumer, headers: object) -> None:
    """Not text, too long, repeated, another type, a card number: a new id, and the message is handled."""
    with consumer.handling(headers):
        current = correlation.current()
    assert current is not None
    assert len(current) == 36
    assert "order" not in current


def test_a_line_break_in_the_tracestate_is_not_sent_on() -> None:
    """It would begin another header in the next message or request; the trace itself is kept."""
    headers = {"traceparent": TRACEPARENT, "tracestate": "a=1\r\nauthorization: Bearer x"}
    onward = sent_by(read_context(headers))
    assert onward["traceparent"] == TRACEPARENT
    assert "tracestate" not in onward
    assert sent_by(read_context({**headers, "tracestate": "a=1"}))["tracestate"] == "a=1"


def test_a_value_of_a_megabyte_is_not_even_looked_at() -> None:
    """A later version may append fields, but not that many; a few are ignored."""
    later = f"01{TRACEPARENT[2:]}-"
    assert read_context({"traceparent": later + "x" * 100}).trace is not None
    assert read_context({"traceparent": later + "x" * 1_000_000}).trace is None


HEADER_NAMES = st.sampled_from(["x-correlation-id", "traceparent", "tracestate", "Traceparent"]) | st.text()
HEADER_VALUES = st.text() | st.binary() | st.none() | st.integers() | st.lists(st.text())
HEADER_VALUES |= st.just(TRACEPARENT)


@given(st.dictionaries(HEADER_NAMES, HEADER_VALUES) | st.lists(st.tuples(HEADER_NAMES, HEADER_VALUES)))
def test_whatever_the_headers_hold_there_is_a_context_to_send_on(headers: Any) -> None:
    """Its values are short printable ASCII, so no library refuses the next message."""
    onward = sent_by(read_context(headers))
    assert {"x-correlation-id"} <= set(onward) <= {"x-correlation-id", "traceparent", "tracestate"}
    assert all(len(value) <= 512 and value.isascii() and value.isprintable() for value in onward.values())


def test_headers_passed_on_carry_the_active_context_alone(producer: Context) -> None:
    """A forwarder that copies its headers sends neither two contexts nor parts of an old one."""
    given = [("Traceparent", "old"), ("tracestate", "old"), ("X-Correlation-Id", "old"), ("kind", "refund")]
    with correlation.entered(producer):
        kept, context = messages.outgoing(given)
    assert kept == [("kind", "refund")]
    assert context == {"x-correlation-id": "order-12345678", "traceparent": TRACEPARENT}
    assert messages.outgoing(given) == (given, {})


def test_each_delivery_is_counted_once_with_its_outcome(
    consumer: Consumer, counts: Counts, dead: Dead
) -> None:
    """Handled, failed and dead-lettered, by call or exception; the duration is that of the block."""
    with consumer.handling({}):
        pass
    with consumer.handling({}) as handling:
        handling.fail()
    with pytest.raises(ValueError, match="told"), consumer.handling({}):
        raise ValueError("told")
    with consumer.handling({}):
        messages.set_aside(DeadLetterReason.MALFORMED)
        messages.set_aside(DeadLetterReason.REJECTED)
    with pytest.raises(ValueError, match="told"), consumer.handling({}) as handling:
        handling.set_aside("unknown_type")
        raise ValueError("told")
    assert counts() == (1, 2, 2)
    assert dead() == {"malformed": 1, "unknown_type": 1}


def test_outside_of_a_handling_nothing_is_set_aside(consumer: Consumer, dead: Dead) -> None:
    """Neither before nor after a message is handled."""
    messages.set_aside("malformed")
    with consumer.handling({}):
        pass
    messages.set_aside("malformed")
    assert dead() == {}
    assert messages.current_handling() is None


def test_every_outcome_is_there_before_the_first_message(recorder: Recorder, read: Read) -> None:
    """Series of the observed queue exist, so that the first failure counts; no other queue's do."""
    Consumer(recorder, "notifications")
    assert read("moneypath_message_duration_seconds_count", queue="notifications", outcome="failed") == 0
    assert read("moneypath_message_duration_seconds_count", queue="outbox", outcome="failed") is None


def test_an_unknown_reason_is_a_counted_drop(consumer: Consumer, read: Read, counts: Counts) -> None:
    """It raises in no handler, and the outcome is recorded."""
    with consumer.handling({}):
        messages.set_aside("because")
    with consumer.handling({}):
        messages.set_aside(["a list"])  # type: ignore[arg-type]
    assert read("moneypath_telemetry_drops_total", reason="unknown_value") == 2
    assert (
        read("moneypath_message_duration_seconds_count", queue="notifications", outcome="dead_lettered") == 2
    )


@pytest.mark.parametrize("wire", [Consumer, BacklogGauges])
def test_an_unknown_queue_is_refused_at_wiring(recorder: Recorder, wire: Callable[..., object]) -> None:
    """The hint lists the queues."""
    with pytest.raises(LabelsUnknown) as refused:
        wire(recorder, "refunds")
    assert "refunds" in refused.value.what
    assert "notifications" in refused.value.hint


def test_a_recorder_without_the_metrics_is_refused_at_wiring(catalogue: Catalogue) -> None:
    """The hint says which metric to name."""
    with pytest.raises(MetricUnknown, match="moneypath_message_duration_seconds"):
        Consumer(setup(catalogue, service="worker", metrics=()), "notifications")


async def test_a_backlog_is_shown_or_absent_but_never_old(recorder: Recorder, read: Read) -> None:
    """Depth and age are shown while known; both are cleared if measuring fails, and nothing raises."""
    gauges = BacklogGauges(recorder, "notifications")

    async def read_full() -> Backlog:
        return Backlog(3, 1700000000.5)

    async def read_empty() -> Backlog:
        return Backlog(0)

    async def read_nothing() -> Backlog:
        raise ConnectionError("gone")

    def shown() -> Mapping[str, float | None]:
        names = ("moneypath_queue_depth", "moneypath_queue_oldest_timestamp_seconds")
        return {name: read(name, queue="notifications") for name in names}

    assert await gauges.measure(read_full)
    assert list(shown().values()) == [3, 1700000000.5]
    assert await gauges.measure(read_empty)
    assert list(shown().values()) == [0, None]
    assert await gauges.measure(read_full)
    assert not await gauges.measure(read_nothing)
    assert list(shown().values()) == [None, None]
