"""Replay: each dead letter goes back once, whoever asks twice and whoever is killed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
import pytest_asyncio
from nats.js.errors import NotFoundError

from refpay.clock import SystemClock
from refpay.db.pool import Database
from refpay.ids import mint_id
from refpay.outbox import dead_letters, replay_requests
from refpay.outbox.dead_letters import carry_out_replays
from refpay.outbox.events import Event, EventType
from refpay.outbox.streams import DEAD, EVENTS, Queue, Session
from refpay.worker.main import open_worker

if TYPE_CHECKING:
    from tests.refpay.conftest import Answer, Broker, Client, RefpayDb

    from refpay.settings import Settings

WITHIN_SECONDS = 30
DEAD_LETTERS = "/v1/operations/dead-letters"


async def until(condition: Callable[[], Any]) -> None:
    """Wait for a condition of another process, which has no event to await."""
    async with asyncio.timeout(WITHIN_SECONDS):
        while not await condition():  # noqa: ASYNC110 - another process has no event of ours
            await asyncio.sleep(0.02)


@pytest_asyncio.fixture(loop_scope="session")
async def database(messaging_settings: "Settings") -> AsyncIterator[Database]:
    """Open a pool on the test's database."""
    opened = await Database.connect(messaging_settings.database, most_connections=4)
    yield opened
    await opened.close()


@pytest_asyncio.fixture(loop_scope="session")
async def session(broker: "Broker") -> AsyncIterator[Session]:
    """Speak to the test's NATS."""
    async with broker.session() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def api(messaging_settings: "Settings", run_api: Any) -> AsyncIterator["Client"]:
    """Run the API, which does not speak to NATS."""
    async with run_api(messaging_settings) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def worker(messaging_settings: "Settings", serve: Any) -> AsyncIterator["Client"]:
    """Run a worker on the test's NATS."""
    async with open_worker(messaging_settings) as app, serve(app) as client:
        yield client


async def ask(api: "Client", queue: str = "notifications", **rest: Any) -> "Answer":
    """Carry the action out."""
    return await api.post(f"{DEAD_LETTERS}/{queue}/replay", {"reason": "repaired"}, by="operator", **rest)


async def depth(session: Session, queue: str = "notifications") -> int:
    """Count a queue's dead letters."""
    _, found = await dead_letters.count_letters(session)
    return sum(number for (name, _), number in found.items() if name == queue)


async def poison(session: Session, number: int = 1) -> None:
    """Publish what neither queue can read."""
    for serial in range(number):
        await session.stream.publish("events.payment.captured", f"poison {serial}".encode())


def dead(session: Session, number: int) -> Callable[[], Any]:
    """Return a condition: both queues have that many dead letters."""

    async def holds() -> bool:
        return [await depth(session, queue) for queue in Queue] == [number, number]

    return holds


def done(api: "Client", key: str, queue: str = "notifications") -> Callable[[], Any]:
    """Return a condition: the replay under that key has ended."""

    async def holds() -> bool:
        return (await ask(api, queue, key=key)).status == 200

    return holds


async def test_what_was_repaired_has_its_effect_once(
    api: "Client", worker: "Client", session: Session, db: "RefpayDb"
) -> None:
    """Set aside for a constraint that is then corrected; replayed: one row, no letter, all on record."""
    owner = await db.connect("refpay_owner")
    await owner.execute("ALTER TABLE messages.notification ADD CONSTRAINT wrong CHECK (merchant <> 'shop')")
    event = make_event().encode().encode()
    await session.stream.publish("events.payment.captured", event, headers={"Nats-Msg-Id": "one"})

    async def set_aside() -> bool:
        return await depth(session) == 1

    await until(set_aside)
    await until(lambda: seen(api, "rejected", 1))
    await owner.execute("ALTER TABLE messages.notification DROP CONSTRAINT wrong")
    await owner.close()
    first = await ask(api, key="repair")
    assert (first.status, first.body["state"], first.body["changed"]) == (202, "requested", True)
    await until(done(api, "repair"))
    answer = await ask(api, key="repair")
    assert (answer.replayed, answer.body["state"], answer.body["found"]) == (True, "done", 1)
    await until(lambda: has_rows(db, 1))
    assert await depth(session) == 0
    await until(lambda: has_rows(db, 1, "messages.compliance_entry"))
    events = await db.rows("SELECT actor, action, subject_id FROM audit.event WHERE subject_kind = 'queue'")
    assert [tuple(event.values()) for event in events] == [
        ("operator", "dead_letters.replay_requested", "notifications")
    ]
    shown = (await api.get(DEAD_LETTERS, by="observer")).body
    assert [(one["queue"], one["state"], one["found"]) for one in shown["replays"]] == [
        ("notifications", "done", 1)
    ]
    await until(lambda: seen(api, "rejected", 0))


async def seen(api: "Client", reason: str, number: int) -> bool:
    """Return whether the API shows that many letters."""
    shown = (await api.get(DEAD_LETTERS, by="observer")).body["dead_letters"]
    return [number] == [
        one["depth"] for one in shown if (one["queue"], one["reason"]) == ("notifications", reason)
    ]


async def has_rows(db: "RefpayDb", number: int, table: str = "messages.notification") -> bool:
    """Return whether a queue had its effect that often."""
    return len(await db.rows(f"SELECT 1 FROM {table}")) == number  # noqa: S608 - a name of ours


def make_event() -> Event:
    """Return an event of an operation of its own."""
    now = datetime.now(UTC)
    ids = [mint_id(now) for _ in range(3)]
    return Event(ids[0], EventType.CAPTURED, now, ids[1], ids[2], "shop", "north", "EUR", 1000)


async def test_poison_comes_back_and_counts_again(api: "Client", worker: "Client", session: Session) -> None:
    """To its own queue alone, with the attempts and the first failure of its whole life."""
    await poison(session, 3)
    await until(dead(session, 3))
    (before, *_) = await letters(session)
    await ask(api, key="again")
    await until(done(api, "again"))
    await until(dead(session, 3))
    for _ in range(3):
        assert (await ask(api, key="again")).body["found"] == 3

    async def counted() -> bool:
        return await total(worker, "notifications") == 6

    await until(counted)
    assert await total(worker, "compliance_log") == 3
    after = [letter for letter in await letters(session) if letter.data == before.data]
    assert [letter.headers["Moneypath-Attempts"] for letter in after] == ["2"]
    for name in ("Moneypath-First-Failed-At", "Moneypath-Subject"):
        assert [letter.headers[name] for letter in after] == [before.headers[name]]


async def total(worker: "Client", queue: str) -> float:
    """Return the counter of malformed messages."""
    return await worker.metric("moneypath_dead_letters_total", queue=queue, reason="malformed")


async def letters(session: Session, queue: str = "notifications") -> list[Any]:
    """Return a queue's letters."""
    found: list[Any] = []
    sequence = 1
    with contextlib.suppress(NotFoundError):
        while True:
            letter = await session.stream.get_msg(DEAD, seq=sequence, subject=f"dead.{queue}.>", next=True)
            found.append(letter)
            sequence = (letter.seq or 0) + 1
    return found


async def test_asking_before_it_begins_asks_for_the_same(api: "Client", db: "RefpayDb") -> None:
    """Without a worker: one request, the second key changes nothing; another queue has its own."""
    first = await ask(api, key="first")
    second = await ask(api, key="second")
    assert (second.status, second.body["changed"], second.body["id"]) == (200, False, first.body["id"])
    replayed = await ask(api, key="second")
    assert (replayed.replayed, replayed.raw) == (True, second.raw)
    again = await ask(api, key="first")
    assert (again.status, again.replayed, again.raw) == (202, True, first.raw)
    other = await ask(api, "compliance_log")
    assert other.body["id"] != first.body["id"]
    at_once = await asyncio.gather(*(ask(api) for _ in range(5)))
    assert {answer.body["id"] for answer in at_once} == {first.body["id"]}
    assert len(await db.rows("SELECT 1 FROM messages.replay")) == 2
    conflict = await api.post(
        f"{DEAD_LETTERS}/notifications/replay", {"reason": "x"}, key="first", by="operator"
    )
    assert (conflict.status, conflict.body["code"]) == (409, "idempotency_key_reused")
    unknown = await ask(api, "nothing")
    assert (unknown.status, unknown.body["code"]) == (404, "queue_unknown")


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("step", ["publish", "delete_msg"])
@pytest.mark.parametrize("survives", [0, 2])
async def test_a_kill_in_the_middle_moves_each_letter_once(
    api: "Client",
    database: Database,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    survives: int,
) -> None:
    """Before a letter is published or before it is deleted: the next process goes on with the rest."""
    await dead_letter_by_hand(session, 5)
    await ask(api, key="killed")
    real = getattr(session.stream, step)
    calls = 0

    async def killed(*arguments: Any, **rest: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > survives:
            raise Killed
        return await real(*arguments, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(session.stream, step, killed)
        with pytest.raises(Killed):
            await carry_out_replays(database, SystemClock(), session)
    # What dies after the replay began is not a part of it.
    await dead_letter_by_hand(session, 1, first=5)
    await carry_out_replays(database, SystemClock(), session)
    assert (await ask(api, key="killed")).body["found"] == 5
    assert await depth(session) == 1
    bodies: list[bytes] = []
    async with asyncio.timeout(WITHIN_SECONDS):
        while len(bodies) < 5:
            for message in await session.fetch(Queue.NOTIFICATIONS):
                bodies.append(message.data)
                await message.ack()
    assert sorted(bodies) == [f"letter {number}".encode() for number in range(5)]
    assert await session.fetch(Queue.COMPLIANCE_LOG) == []
    assert await carry_out_replays(database, SystemClock(), session) == 0


async def dead_letter_by_hand(session: Session, number: int, *, first: int = 0) -> None:
    """Put letters where a consumer would."""
    for serial in range(first, first + number):
        subject = f"dead.notifications.malformed.by-hand-{serial}"
        await session.stream.publish(subject, f"letter {serial}".encode())


async def test_of_two_workers_that_begin_a_replay_the_first_ones_word_holds(
    api: "Client", database: Database
) -> None:
    """The other goes by the same letters, and by none once the replay has ended."""
    asked = UUID((await ask(api)).body["id"])
    now = datetime.now(UTC)
    async with database.transaction() as connection:
        assert await replay_requests.begin(connection, asked, now, 7, 3) == 7
        assert await replay_requests.begin(connection, asked, now, 9, 5) == 7
        await replay_requests.finish(connection, asked, now)
        assert await replay_requests.begin(connection, asked, now, 9, 5) == 0
        request = await replay_requests.read(connection, asked)
    assert request is not None
    assert (request.up_to, request.found) == (7, 3)


async def test_a_letter_published_twice_by_a_crash_dies_once(
    database: Database, session: Session, worker: "Client"
) -> None:
    """Should the window of ids be over: both copies are the same letter again, by their name."""
    await dead_letter_by_hand(session, 1)
    headers = {"Moneypath-Replay-Of": "replay-1-77"}
    for copy in range(2):
        last = await session.stream.publish(
            Queue.NOTIFICATIONS.replay_subject,
            b"still poison",
            headers={**headers, "Nats-Msg-Id": f"copy-{copy}"},
        )

    async def consumed() -> bool:
        info = await session.stream.consumer_info(EVENTS, Queue.NOTIFICATIONS)
        assert info.ack_floor is not None
        return bool(info.ack_floor.stream_seq >= last.seq)

    await until(consumed)
    assert [letter.data for letter in await letters(session)] == [b"letter 0", b"still poison"]

    async def counted() -> bool:
        return await total(worker, "notifications") == 1

    await until(counted)
