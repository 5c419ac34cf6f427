"""The ids of a request go with its event: into the row, onto the message, to consumers, into dead letters."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import asyncpg
import pytest
import pytest_asyncio
from nats.js.api import RawStreamMsg

from moneypath.telemetry import Catalogue, correlation, setup
from moneypath.telemetry.correlation import Context, Trace
from moneypath.telemetry.integrations import messages
from refpay.clock import SystemClock
from refpay.db.pool import Connection, Database
from refpay.ids import mint_id
from refpay.outbox import dead_letters, repository
from refpay.outbox.consuming import Consumer, Effect
from refpay.outbox.events import Event, EventType
from refpay.outbox.relay import relay
from refpay.outbox.streams import DEAD, EVENTS, Queue, Session
from refpay.payments.domain_events import event_headers
from refpay.payments.model import Operation, OperationKind, OperationStatus

if TYPE_CHECKING:
    from tests.refpay.conftest import Broker, Client, RefpayDb

    from refpay.settings import Settings

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
REQUEST = Context("order-12345678", Trace(TRACE_ID, "b7ad6b7169203331", sampled=True, state="a=1"), "pay-1")
HEADERS = {
    "x-correlation-id": "order-12345678",
    "traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01",
    "tracestate": "a=1",
}


def make_event() -> Event:
    """Return an event of an operation of its own."""
    now = datetime.now(UTC)
    return Event(
        id=mint_id(now),
        type=EventType.CAPTURED,
        at=now,
        operation_id=mint_id(now),
        payment_id=mint_id(now),
        merchant="shop",
        provider="north",
        currency="EUR",
        amount_minor=1000,
    )


@pytest_asyncio.fixture(loop_scope="session")
async def database(messaging_settings: "Settings") -> AsyncIterator[Database]:
    """Open a pool on the test's database."""
    opened = await Database.connect(messaging_settings.database, most_connections=4)
    yield opened
    await opened.close()


@pytest_asyncio.fixture(loop_scope="session")
async def session(broker: "Broker") -> AsyncIterator[Session]:
    """Speak to the test's NATS."""
    async with broker.session(ack_wait_seconds=30) as opened:
        yield opened


async def consume(settings: "Settings", database: Database, session: Session, effect: Effect) -> None:
    """Let a consumer take what is there."""
    assert settings.messaging is not None
    recorder = setup(Catalogue.load(settings.catalogue_file), service="refpay-worker")
    consumer = Consumer(
        Queue.NOTIFICATIONS,
        effect,
        database=database,
        settings=settings.messaging,
        clock=SystemClock(),
        observed=messages.Consumer(recorder, Queue.NOTIFICATIONS.value),
    )
    async with asyncio.timeout(30):
        while not (delivered := await consumer.run_once(session)):
            pass
    assert delivered == 1


def context_of(message: RawStreamMsg) -> dict[str, str]:
    """Return a message's headers without those of JetStream and of ours."""
    headers = message.headers or {}
    return {name: value for name, value in headers.items() if not name.startswith(("Nats-", "Moneypath-"))}


async def test_the_id_of_the_request_is_written_with_its_event(api: "Client", db: "RefpayDb") -> None:
    """Each operation's own; the payment's id is in the body alone, which is where it belongs."""
    body = {
        "merchant_reference": "order-1",
        "amount_minor": 1000,
        "currency": "EUR",
        "card_token": "tok_411111_00ff",
    }
    answer = await api.post("/v1/payments", body, x_correlation_id="order-12345678")
    await api.post(f"/v1/payments/{answer.body['id']}/capture", {}, x_correlation_id="order-87654321")
    rows = await db.rows("SELECT headers FROM outbox.event ORDER BY seq")
    assert ["order-12345678" in row["headers"] for row in rows] == [True, False]
    assert "order-87654321" in rows[1]["headers"]
    assert not any(answer.body["id"] in row["headers"] for row in rows)


def test_what_the_worker_settles_keeps_the_id_of_its_request() -> None:
    """Neither the worker's own context nor that of a later request stands in for it."""
    at = datetime.now(UTC)
    some = mint_id(at)
    operation = Operation(
        some, some, OperationKind.CAPTURE, OperationStatus.SUCCEEDED, 700, some, None, None, "shop", "key",
        "order-12345678", at, at, at, at, 0, at,
    )  # fmt: skip
    assert event_headers(operation) == {"x-correlation-id": "order-12345678"}
    with correlation.entered(Context("another-request", REQUEST.trace)):
        assert event_headers(operation) == HEADERS
        assert correlation.current() == "another-request"


async def test_the_context_goes_through_the_relay_to_the_consumer(
    messaging_settings: "Settings", database: Database, session: Session
) -> None:
    """Row, message, handler: one id and one trace, though relay and consumer know nothing of the request."""
    async with database.transaction() as connection:
        with correlation.entered(REQUEST):
            await repository.append(connection, make_event(), messages.context_headers())
    await relay(database, SystemClock(), session)
    assert context_of(await session.stream.get_msg(EVENTS, seq=1)) == HEADERS
    seen: list[Context | None] = []

    async def note(_connection: Connection, _events: Sequence[Event], _now: datetime) -> None:
        seen.append(correlation.active())

    await consume(messaging_settings, database, session, note)
    (context,) = seen
    assert context is not None
    assert (context.correlation_id, context.payment_id) == ("order-12345678", None)
    assert context.trace is not None
    assert context.trace.trace_id == TRACE_ID


async def test_a_dead_letter_and_its_replay_keep_the_context(
    messaging_settings: "Settings", database: Database, session: Session
) -> None:
    """Whoever looks into the letter finds the request, and so does whoever handles it again."""
    async with database.transaction() as connection:
        await repository.append(connection, make_event(), HEADERS)
    await relay(database, SystemClock(), session)

    async def refuse(_connection: Connection, _events: Sequence[Event], _now: datetime) -> None:
        raise asyncpg.DataError("no")

    await consume(messaging_settings, database, session, refuse)
    letter = context_of(await session.stream.get_msg(DEAD, seq=1))
    await dead_letters.replay(session, Queue.NOTIFICATIONS, up_to=1)
    again = context_of(
        await session.stream.get_msg(EVENTS, subject=Queue.NOTIFICATIONS.replay_subject, seq=1, next=True)
    )
    for found in (letter, again):
        assert found["x-correlation-id"] == "order-12345678"
        assert TRACE_ID in found["traceparent"]


async def test_a_row_from_before_is_published_as_it_was(
    database: Database, session: Session, db: "RefpayDb"
) -> None:
    """What an API of the release before wrote has no headers, and needs none."""
    event = make_event()
    await db.rows(
        "INSERT INTO outbox.event (id, operation_id, type, body, at) VALUES ($1, $2, $3, $4, $5)",
        event.id,
        event.operation_id,
        event.type,
        event.encode(),
        event.at,
    )
    await relay(database, SystemClock(), session)
    message = await session.stream.get_msg(EVENTS, seq=1)
    assert (message.headers or {})["Nats-Msg-Id"] == str(event.id)
    assert context_of(message) == {}


@pytest.mark.parametrize("state", ["a=1\r\nb: c", "a=\x00", "ä=1", "a=" + "1" * 600])
async def test_no_tracestate_can_refuse_a_payment(database: Database, db: "RefpayDb", state: str) -> None:
    """Whatever a request brought, its event is written: with the trace, without what cannot be carried."""
    context = Context("order-12345678", Trace(TRACE_ID, "b7ad6b7169203331", sampled=True, state=state))
    async with database.transaction() as connection:
        with correlation.entered(context):
            await repository.append(connection, make_event(), messages.context_headers())
    (row,) = await db.rows("SELECT headers::jsonb ? 'traceparent' AS traced, headers FROM outbox.event")
    assert row["traced"]
    assert "tracestate" not in row["headers"]
