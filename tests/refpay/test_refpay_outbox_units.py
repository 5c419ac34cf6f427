"""Small parts of the outbox alone: events as bytes, pauses, and which event an operation gives."""

import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refpay.errors import InvariantViolation
from refpay.money import Currency
from refpay.operations.dead_letters import QUEUES
from refpay.outbox.events import Event, EventMalformed, EventType, EventUnknown, decode
from refpay.outbox.nats_connection import (
    MessagingAction,
    NatsConnection,
    backoff_seconds,
    pause_seconds,
)
from refpay.outbox.streams import Queue, Session
from refpay.payments.domain_events import make_event
from refpay.payments.model import Operation, OperationKind, OperationStatus, Payment, PaymentStatus
from refpay.settings import MessagingSettings

AT = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)
SOME_ID = UUID("0198c0de-0000-7000-8000-000000000000")
EVENT = Event(SOME_ID, EventType.CAPTURED, AT, SOME_ID, SOME_ID, "shop", "north", "EUR", 1000)


@pytest.fixture
def messaging_settings() -> MessagingSettings:
    """Return settings of a NATS that nobody connects to."""
    return MessagingSettings(
        url="nats://127.0.0.1:1",
        monitoring_url="http://127.0.0.1:1",
        user="refpay",
        password="none",
        allow_unsafe=True,
    )


@given(
    st.uuids(),
    st.sampled_from(EventType),
    st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=st.just(UTC)),
    st.text(max_size=40),
    st.integers(1, 2**63 - 1),
)
def test_what_is_written_is_read(
    event_id: UUID, kind: EventType, at: datetime, merchant: str, amount: int
) -> None:
    """Every event survives its bytes."""
    event = Event(event_id, kind, at, event_id, event_id, merchant, "north", "EUR", amount)
    assert decode(event.encode().encode()) == event


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_refused(raw: bytes) -> None:
    """No other exception escapes, whatever comes off the wire."""
    with pytest.raises((EventMalformed, EventUnknown)):
        decode(raw)


@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        ({"schema": 2}, EventUnknown),
        ({"type": "payment.forgotten"}, EventUnknown),
        ({"schema": True}, EventMalformed),
        ({"schema": None}, EventMalformed),
        ({"type": ["payment.captured"]}, EventMalformed),
        ({"id": "1"}, EventMalformed),
        ({"id": 1}, EventMalformed),
        ({"at": "2026-11-20T12:00:00"}, EventMalformed),
        ({"at": 5}, EventMalformed),
        ({"at": "0001-01-01T00:00:00+23:59"}, EventMalformed),
        ({"at": "9999-12-31T23:59:59-23:59"}, EventMalformed),
        ({"amount_minor": 1.0}, EventMalformed),
        ({"amount_minor": True}, EventMalformed),
        ({"merchant": None}, EventMalformed),
        ({}, None),
        # Values are for the database to refuse, and an unknown key is a newer writer's.
        ({"amount_minor": 0, "colour": "blue"}, None),
    ],
)
def test_what_cannot_be_read_is_told_from_what_is_not_known(
    changed: dict[str, object], refusal: type[Exception] | None
) -> None:
    """A newer schema or type is not malformed: the reader is old."""
    raw = json.dumps({**json.loads(EVENT.encode()), **changed}).encode()
    if refusal is None:
        assert decode(raw).id == EVENT.id
    else:
        with pytest.raises(refusal):
            decode(raw)


@pytest.mark.parametrize("raw", [b"", b"[]", b"not json", b"\xff", b"{}" * 5000, b"[" * 8000])
def test_nonsense_is_malformed(raw: bytes) -> None:
    """Nothing, no object, no JSON, no UTF-8, too much, too deep."""
    with pytest.raises(EventMalformed):
        decode(raw)


@given(st.integers(0, 10**6), st.floats(0.01, 60), st.floats(0, 1))
def test_pauses_double_within_their_bounds(failures: int, base: float, draw: float) -> None:
    """Half to one and a half of base x 2^(n-1), never above one and a half of the cap, never none."""
    pause = backoff_seconds(failures, base_seconds=base, cap_seconds=60, draw=draw)
    middle = min(60, base * 2 ** min(max(failures, 1) - 1, 30))
    assert 0.5 * middle <= pause <= 1.5 * middle
    assert backoff_seconds(failures + 1, base_seconds=base, cap_seconds=60, draw=draw) >= pause


def test_a_pause_never_looks_like_a_stuck_loop() -> None:
    """However often NATS failed, the worker comes round within its readiness window of 10 s."""
    assert max(pause_seconds(failures) for failures in range(200)) <= 5


async def test_a_connection_is_tried_again_with_growing_pauses(
    messaging_settings: MessagingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They begin small again after each connection, and an error that is not of NATS ends the attempts."""
    pauses: list[float] = []
    ends = iter([OSError(), OSError(), OSError(), None, OSError(), ZeroDivisionError()])

    async def note(seconds: float) -> None:
        pauses.append(seconds)

    async def hold(_self: NatsConnection) -> None:
        if problem := next(ends):
            raise problem

    monkeypatch.setattr(NatsConnection, "_hold", hold)
    monkeypatch.setattr("refpay.outbox.nats_connection.random.random", lambda: 0.5)
    with pytest.raises(ZeroDivisionError):
        await NatsConnection(messaging_settings, note).run()
    assert pauses == [0.1, 0.2, 0.4, 0.1, 0.1]


async def test_an_action_that_fails_is_followed_by_a_growing_pause(
    messaging_settings: MessagingSettings,
) -> None:
    """Errors of NATS are not raised, a success resets the pause, and without a connection nothing runs."""
    pauses: list[float] = []
    runs = iter([OSError(), OSError(), None, OSError()])

    async def note(seconds: float) -> None:
        pauses.append(seconds)

    async def act(_session: object) -> None:
        if problem := next(runs):
            raise problem

    connection = NatsConnection(messaging_settings, note)
    action = MessagingAction("relay", connection, act, sleep=note)
    await action()
    connection.session = Session(stream=None, subscriptions={})  # type: ignore[arg-type]
    for _ in range(4):
        await action()
    assert next(runs, "all ran") == "all ran"
    assert len(pauses) == 3
    assert 0.05 <= pauses[0] <= 0.15
    assert 0.1 <= pauses[1] <= 0.3
    assert 0.05 <= pauses[2] <= 0.15


def test_the_closed_sets_agree() -> None:
    """The queues of the action are those that consume."""
    assert list(QUEUES) == [queue.value for queue in Queue]


AT_ONCE = (
    OperationKind.CHARGEBACK,
    OperationKind.CHARGEBACK_REVERSAL,
    OperationKind.SUSPENSE_RELEASE,
)
UNDOS = (OperationKind.UNDO_AUTHORIZE, OperationKind.UNDO_CAPTURE)
NEVER = tuple(itertools.product(AT_ONCE, (OperationStatus.DECLINED, OperationStatus.FAILED)))


@pytest.mark.parametrize("kind", OperationKind)
@pytest.mark.parametrize("status", OperationStatus)
def test_every_final_operation_has_a_type_of_its_own(kind: OperationKind, status: OperationStatus) -> None:
    """What is not final has none; what asks nobody never fails, and an undo does not say how it failed."""
    operation = Operation(
        SOME_ID, SOME_ID, kind, status, 700, SOME_ID, None, None, "shop", "key", "correlation",
        AT, AT, AT + timedelta(seconds=1), AT, 0, AT,
    )  # fmt: skip
    payment = Payment(
        SOME_ID,
        "shop",
        "order",
        PaymentStatus.CAPTURED,
        1000,
        Currency.JPY,
        "411111",
        "south",
        AT,
        captured_minor=1000,
    )
    if not status.final or (kind, status) in NEVER:
        with pytest.raises(InvariantViolation):
            make_event(payment, operation, AT)
        return
    event = make_event(payment, operation, AT)
    assert (event.amount_minor, event.currency, event.merchant, event.at) == (700, "JPY", "shop", AT)
    others = {
        make_event(payment, replace_kind(operation, other, final), AT).type
        for other in OperationKind
        for final in OperationStatus
        if final.final
        and (other, final) not in {(kind, status), *NEVER}
        and not (other is kind and kind in UNDOS)
    }
    assert event.type not in others
    assert "411111" not in event.encode()


def replace_kind(operation: Operation, kind: OperationKind, status: OperationStatus) -> Operation:
    """Return the operation as another kind with another end."""
    return replace(operation, kind=kind, status=status)
