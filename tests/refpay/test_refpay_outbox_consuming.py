"""Consumers: one effect an event, bounded attempts, and one dead letter with its reason."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from nats.aio.msg import Msg

from moneypath.telemetry import Catalogue, setup
from moneypath.telemetry.catalogue.vocabulary import DeadLetterReason as Reason
from moneypath.telemetry.integrations import messages
from refpay.clock import SystemClock
from refpay.db.errors import DatabaseUnavailable
from refpay.db.pool import Connection, Database
from refpay.ids import mint_id
from refpay.outbox import dead_letters
from refpay.outbox.consuming import DELIVERIES_AN_ATTEMPT, EFFECTS, Consumer, Effect, notify
from refpay.outbox.events import Event, EventType
from refpay.outbox.streams import DEAD, EVENTS, Queue, Session

if TYPE_CHECKING:
    from tests.refpay.conftest import Broker, RefpayDb

    from refpay.settings import Settings

WITHIN_SECONDS = 30
TABLES = {
    Queue.NOTIFICATIONS: "messages.notification",
    Queue.COMPLIANCE_LOG: "messages.compliance_entry",
}


def make_event(**changed: Any) -> Event:
    """Return an event of an operation of its own."""
    now = datetime.now(UTC)
    fields = {
        "id": mint_id(now),
        "type": EventType.CAPTURED,
        "at": now,
        "operation_id": mint_id(now),
        "payment_id": mint_id(now),
        "merchant": "shop",
        "provider": "north",
        "currency": "EUR",
        "amount_minor": 1000,
    }
    return Event(**{**fields, **changed})


@pytest_asyncio.fixture(loop_scope="session")
async def database(messaging_settings: "Settings") -> AsyncIterator[Database]:
    """Open a pool on the test's database."""
    opened = await Database.connect(messaging_settings.database, most_connections=4)
    yield opened
    await opened.close()


@pytest_asyncio.fixture(loop_scope="session")
async def session(broker: "Broker") -> AsyncIterator[Session]:
    """Speak to the test's NATS, which gives nothing out again because the machine was slow."""
    async with broker.session(ack_wait_seconds=WITHIN_SECONDS) as opened:
        yield opened


class Bench:
    """One queue's consumer, turned by hand."""

    def __init__(self, database: Database, session: Session, settings: "Settings", db: "RefpayDb") -> None:
        self.database, self.session, self.db = database, session, db
        assert settings.messaging is not None
        self.settings = settings.messaging
        self.recorder = setup(Catalogue.load(settings.catalogue_file), service="refpay-worker")
        self.published = 0

    def consumer(self, queue: Queue = Queue.NOTIFICATIONS, effect: Effect | None = None) -> Consumer:
        """Return a consumer, as a new process would have it."""
        return Consumer(
            queue,
            effect or EFFECTS[queue],
            database=self.database,
            settings=self.settings,
            clock=SystemClock(),
            observed=messages.Consumer(self.recorder, queue.value),
        )

    def counted(self, queue: Queue = Queue.NOTIFICATIONS) -> dict[str, int]:
        """Return what was counted of a queue: its dead letters by reason, its deliveries by outcome."""
        pattern = rf'^moneypath_(?:dead_letters_total|message_duration_seconds_count){{queue="{queue}",'
        found = re.findall(
            pattern + r'(?:reason|outcome)="(\w+)"} (\d+)', self.recorder.render().decode(), re.MULTILINE
        )
        return {name: int(number) for name, number in found if number != "0"}

    async def publish(self, body: bytes | Event) -> None:
        """Publish an event, or anything."""
        raw = body.encode().encode() if isinstance(body, Event) else body
        self.published = (await self.session.stream.publish("events.payment.captured", raw)).seq

    async def take(self) -> Msg:
        """Take the one message of the notifications, as a consumer would."""
        async with asyncio.timeout(WITHIN_SECONDS):
            while not (found := await self.session.fetch(Queue.NOTIFICATIONS)):
                pass
        (message,) = found
        return message

    async def consume(self, queue: Queue = Queue.NOTIFICATIONS, *, until: Callable[[], Any]) -> None:
        """Turn the consumer until a condition holds."""
        consumer = self.consumer(queue)
        async with asyncio.timeout(WITHIN_SECONDS):
            while not await until():
                await consumer.run_once(self.session)

    async def drained(self, queue: Queue = Queue.NOTIFICATIONS) -> bool:
        """Return whether all was dealt with; what is pending is known only a moment after a publication."""
        info = await self.session.stream.consumer_info(EVENTS, queue)
        assert info.ack_floor is not None
        return bool(info.ack_floor.stream_seq >= self.published)

    async def rows(self, queue: Queue = Queue.NOTIFICATIONS) -> int:
        """Count the queue's effects."""
        return len(await self.db.rows(f"SELECT 1 FROM {TABLES[queue]}"))  # noqa: S608

    async def set_aside(self) -> bool:
        """Return whether a letter lies there and nothing waits."""
        return bool(await self.letters()) and await self.drained()

    async def letters(self) -> list[Any]:
        """Return every dead letter."""
        last = (await self.session.stream.stream_info(DEAD)).state.last_seq
        return [await self.session.stream.get_msg(DEAD, seq=number + 1) for number in range(last)]


@pytest.fixture
def bench(database: Database, session: Session, messaging_settings: "Settings", db: "RefpayDb") -> Bench:
    """Wire consumers without a worker."""
    return Bench(database, session, messaging_settings, db)


@pytest.mark.parametrize("queue", Queue)
async def test_each_queue_has_every_event_once(bench: Bench, queue: Queue) -> None:
    """Delivered twice under different message ids, as after the window of ids: one effect all the same."""
    events = [make_event() for _ in range(70)]
    for event in (*events, *events[:10]):
        await bench.publish(event)
    await bench.consume(queue, until=lambda: bench.drained(queue))
    assert await bench.rows(queue) == 70
    assert bench.counted(queue) == {"handled": 80}


async def test_an_effect_without_its_acknowledgement_is_not_repeated(bench: Bench) -> None:
    """The process died between commit and acknowledgement: the message comes again and changes nothing."""
    event = make_event()
    async with bench.database.transaction() as connection:
        await notify(connection, [event], datetime.now(UTC))
    await bench.publish(event)
    await bench.consume(until=bench.drained)
    assert await bench.rows() == 1


async def test_the_compliance_log_is_a_chain(bench: Bench, db: "RefpayDb") -> None:
    """Numbered without gaps, sealed one after the other by two writers; tampering shows."""
    events = [make_event() for _ in range(40)]
    for event in events:
        await bench.publish(event)
    queue = Queue.COMPLIANCE_LOG
    await asyncio.gather(
        *(bench.consume(queue, until=lambda: bench.drained(queue)) for _ in range(2)), return_exceptions=False
    )
    rows = await db.rows("SELECT seq, event_id, body FROM messages.compliance_entry ORDER BY seq")
    assert [row["seq"] for row in rows] == list(range(1, 41))
    assert {row["event_id"] for row in rows} == {event.id for event in events}
    assert {row["body"] for row in rows} == {event.encode() for event in events}
    assert await db.rows("SELECT * FROM messages.compliance_breaks") == []
    connection = await db.connect("postgres")
    try:
        await connection.execute("ALTER TABLE messages.compliance_entry DISABLE TRIGGER ALL")
        await connection.execute(
            "UPDATE messages.compliance_entry SET body = replace(body, '1000', '1') WHERE seq = 7"
        )
        await connection.execute("DELETE FROM messages.compliance_entry WHERE seq = 20")
    finally:
        await connection.close()
    breaks = await db.rows("SELECT seq FROM messages.compliance_breaks ORDER BY seq")
    assert [row["seq"] for row in breaks] == [7, 21]


POISON = [
    (b"not json", Reason.MALFORMED),
    (b"", Reason.MALFORMED),
    (b'{"schema":1}', Reason.MALFORMED),
    (json.dumps({**json.loads(make_event().encode()), "schema": 2}).encode(), Reason.UNKNOWN_TYPE),
    (json.dumps({**json.loads(make_event().encode()), "type": "payment.x"}).encode(), Reason.UNKNOWN_TYPE),
    (make_event(amount_minor=0).encode().encode(), Reason.REJECTED),
    (make_event(amount_minor=2**63).encode().encode(), Reason.REJECTED),
    (make_event(currency="GBP").encode().encode(), Reason.REJECTED),
    (make_event(merchant="null\x00").encode().encode(), Reason.REJECTED),
    # Half a character is no Unicode, and no JSON.
    (make_event(merchant="\ud800").encode().encode(), Reason.MALFORMED),
]


@pytest.mark.parametrize(("raw", "reason"), POISON)
async def test_poison_is_one_dead_letter_and_the_others_pass(
    bench: Bench, raw: bytes, reason: Reason
) -> None:
    """Set aside at its first delivery, whole, with where it came from, why and when; the queue goes on."""
    for body in (make_event(), raw, make_event()):
        await bench.publish(body)
    before = datetime.now(UTC)
    await bench.consume(until=bench.drained)
    assert await bench.rows() == 2
    (letter,) = await bench.letters()
    assert (letter.data or b"") == raw
    assert letter.subject.startswith(f"dead.notifications.{reason}.")
    assert letter.headers["Moneypath-Subject"] == "events.payment.captured"
    assert (letter.headers["Moneypath-Reason"], letter.headers["Moneypath-Attempts"]) == (reason.value, "1")
    assert before <= datetime.fromisoformat(letter.headers["Moneypath-First-Failed-At"]) <= datetime.now(UTC)
    assert bench.counted() == {"handled": 2, "dead_lettered": 1, reason.value: 1}
    assert (await dead_letters.count_letters(bench.session))[1] == {("notifications", reason.value): 1}


async def test_a_crash_between_letter_and_end_of_delivery_leaves_one_letter(bench: Bench) -> None:
    """The letter is there, the message was not terminated: it comes again, and there is still one."""
    await bench.publish(b"poison")

    class Crashed(Exception):
        """The process is gone."""

    message = await bench.take()

    async def crash() -> None:
        raise Crashed

    message.term = crash  # type: ignore[method-assign]
    with pytest.raises(Crashed):
        await dead_letters.dead_letter(
            bench.session, Queue.NOTIFICATIONS, message, Reason.MALFORMED, first_failed_at=datetime.now(UTC)
        )
    assert not await bench.drained()
    await message.nak()  # JetStream has waited long enough
    await bench.consume(until=bench.drained)
    assert len(await bench.letters()) == 1
    assert bench.counted() == {"failed": 1}


async def test_one_letter_even_after_the_window_of_ids(bench: Bench) -> None:
    """The subject alone says that it is the same; the id is forgotten after a while."""
    await bench.publish(b"poison")
    message = await bench.take()
    identity = dead_letters.identify(message)
    await bench.session.stream.publish(f"dead.notifications.malformed.{identity}", b"poison")
    await message.nak()
    await bench.consume(until=bench.drained)
    assert len(await bench.letters()) == 1
    assert bench.counted() == {"failed": 1}


async def break_notifications(db: "RefpayDb") -> None:
    """Have the database fail, not refuse, for one merchant, and count how often it was tried."""
    owner = await db.connect("refpay_owner")
    try:
        await owner.execute(
            "CREATE SEQUENCE messages.tries; GRANT USAGE ON messages.tries TO refpay_app;"
            "CREATE FUNCTION messages.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " PERFORM nextval('messages.tries'); RAISE EXCEPTION 'out of order'; END $$;"
            "CREATE TRIGGER fails BEFORE INSERT ON messages.notification FOR EACH ROW"
            " WHEN (NEW.merchant = 'unlucky') EXECUTE FUNCTION messages.fail()"
        )
    finally:
        await owner.close()


async def tries(db: "RefpayDb") -> int:
    """Return how often the effect was tried; a sequence outlives the rollback."""
    return int((await db.rows("SELECT last_value FROM messages.tries", role="refpay_owner"))[0]["last_value"])


async def test_attempts_are_bounded_and_then_it_is_set_aside(bench: Bench, db: "RefpayDb") -> None:
    """Three deliveries, three tries, one letter that says so; its neighbours are not held up."""
    await break_notifications(db)
    await bench.publish(make_event(merchant="unlucky"))
    await bench.consume(until=bench.set_aside)
    assert await tries(db) == bench.settings.attempts_maximum == 3
    (letter,) = await bench.letters()
    assert letter.headers["Moneypath-Reason"] == "attempts_exhausted"
    assert letter.headers["Moneypath-Attempts"] == "3"
    for body in (make_event(), make_event(merchant="unlucky"), make_event()):
        await bench.publish(body)
    await bench.consume(until=bench.drained)
    assert await bench.rows() == 2
    counted = {"handled": 2, "failed": 4, "dead_lettered": 2, "attempts_exhausted": 2}
    assert bench.counted() == counted


async def test_pauses_grow_with_the_deliveries(bench: Bench, db: "RefpayDb") -> None:
    """Each refusal asks JetStream for a longer pause; measured by what was asked, not by a clock."""
    await break_notifications(db)
    asked: list[tuple[int, float]] = []
    consumer = bench.consumer()
    await bench.publish(make_event(merchant="unlucky"))
    async with asyncio.timeout(WITHIN_SECONDS):
        while not await bench.drained():
            for message in await bench.session.fetch(Queue.NOTIFICATIONS):
                give_back = message.nak

                async def note(
                    delay: float | None = None, message: Any = message, nak: Any = give_back
                ) -> None:
                    asked.append((message.metadata.num_delivered, delay or 0.0))
                    await nak(delay=delay)

                message.nak = note  # type: ignore[method-assign]
                await consumer._handle(bench.session, [(message, make_event(merchant="unlucky"))])
    base = bench.settings.redelivery_seconds
    assert [attempt for attempt, _ in asked] == [1, 2]
    for attempt, delay in asked:
        assert 0.5 * base * 2 ** (attempt - 1) <= delay <= 1.5 * base * 2 ** (attempt - 1)


async def test_a_message_that_kills_its_consumer_is_set_aside_untried(bench: Bench, db: "RefpayDb") -> None:
    """Many more deliveries than attempts and nobody said why: the next one does not try it again."""
    await bench.publish(make_event())
    for _ in range(DELIVERIES_AN_ATTEMPT * bench.settings.attempts_maximum):
        await (await bench.take()).nak()
    await bench.consume(until=bench.drained)
    (letter,) = await bench.letters()
    assert letter.headers["Moneypath-Reason"] == "attempts_exhausted"
    assert await bench.rows() == 0


async def test_an_outage_of_the_database_sets_nothing_aside(bench: Bench) -> None:
    """However often it happens in the middle of a batch, no event pays for it with a dead letter."""

    async def away(_connection: Connection, _events: Any, _now: datetime) -> None:
        raise DatabaseUnavailable("gone")

    for size in (1, 3):
        for _ in range(size):
            await bench.publish(make_event())
        broken = bench.consumer(effect=away)
        for _ in range(2):
            with pytest.raises(DatabaseUnavailable):
                async with asyncio.timeout(WITHIN_SECONDS):
                    while True:
                        await broken.run_once(bench.session)
    await bench.consume(until=bench.drained)
    assert await bench.letters() == []
    assert await bench.rows() == 4
