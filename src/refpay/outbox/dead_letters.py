"""Move messages to the dead-letter stream, and replay them."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from nats.aio.msg import Msg
from nats.js import api
from nats.js.errors import NotFoundError, ServiceUnavailableError

from moneypath.telemetry.catalogue.vocabulary import DeadLetterReason
from moneypath.telemetry.integrations.messages import context_headers
from refpay.clock import Clock
from refpay.db.pool import Database
from refpay.outbox import replay_requests
from refpay.outbox.streams import ANSWER_SECONDS, DEAD, EVENTS, Queue, Session

_SUBJECT: Final = "Moneypath-Subject"
_REASON: Final = "Moneypath-Reason"
_FIRST_FAILED_AT: Final = "Moneypath-First-Failed-At"
_ATTEMPTS: Final = "Moneypath-Attempts"
_REPLAY_OF: Final = "Moneypath-Replay-Of"
_MESSAGE_ID: Final = "Nats-Msg-Id"
_REQUESTS_A_ROUND: Final = 10
_STORE_FAILED: Final = 10077
_ONE_PER_SUBJECT: Final = "maximum messages per subject exceeded"


def identify(message: Msg) -> str:
    """Return a message's identity, which is the same in every delivery and process.

    A replayed message is named after its dead letter, so a letter that a crash replays twice is
    dead-lettered once.
    """
    replay_of = (message.headers or {}).get(_REPLAY_OF)
    if replay_of is not None:
        return replay_of
    at = message.metadata
    return f"event-{at.sequence.stream}-{int(at.timestamp.timestamp() * 1_000_000)}"


async def dead_letter(
    session: Session, queue: Queue, message: Msg, reason: DeadLetterReason, *, first_failed_at: datetime
) -> bool:
    """Store a message as a dead letter, then end its deliveries; return whether the letter is new.

    The active trace context is stored with it. If a process dies between the two steps, the next delivery
    stores the same subject and id, so there is still one letter.
    """
    headers = message.headers or {}
    identity = identify(message)
    letter = {
        **context_headers(),
        _MESSAGE_ID: f"{queue}-{identity}",
        _SUBJECT: headers.get(_SUBJECT, message.subject),
        _REASON: reason.value,
        _FIRST_FAILED_AT: headers.get(_FIRST_FAILED_AT, first_failed_at.isoformat()),
        _ATTEMPTS: str(_read_count(headers.get(_ATTEMPTS)) + message.metadata.num_delivered),
    }
    new = await _put(session, f"dead.{queue}.{reason}.{identity}", message.data, letter)
    await message.term()
    return new


async def count_letters(session: Session) -> tuple[int, Mapping[tuple[str, str], int]]:
    """Return the sequence of the last letter, and the number of letters by queue and reason."""
    state = (await session.stream.stream_info(DEAD, subjects_filter="dead.>")).state
    depths: Counter[tuple[str, str]] = Counter()
    for subject, letters in (state.subjects or {}).items():
        _, queue, reason, *_ = subject.split(".")
        depths[queue, reason] += letters
    return state.last_seq, depths


async def replay(session: Session, queue: Queue, *, up_to: int) -> int:
    """Move every letter of a queue with a sequence up to `up_to` back into the queue; return how many.

    Each is published to its queue first and deleted when JetStream has it. If a crash repeats the
    publication, JetStream drops the second one by its id.
    """
    moved = 0
    while (letter := await _first(session, queue)) is not None and (letter.seq or 0) <= up_to:
        microseconds = 0 if letter.time is None else int(letter.time.timestamp() * 1_000_000)
        name = f"replay-{letter.seq}-{microseconds}"
        headers = {key: value for key, value in (letter.headers or {}).items() if key != _REASON}
        await session.stream.publish(
            queue.replay_subject,
            letter.data or b"",
            timeout=ANSWER_SECONDS,
            stream=EVENTS,
            headers={**headers, _MESSAGE_ID: name, _REPLAY_OF: name},
        )
        await session.stream.delete_msg(DEAD, letter.seq or 0)
        moved += 1
    return moved


async def carry_out_replays(database: Database, clock: Clock, session: Session) -> int:
    """Carry out the stored requests for replays; return how many letters were moved.

    It may be killed at any point and run again, because a request's range is fixed before the first letter
    moves. Raises the errors of NATS, and DatabaseUnavailable.
    """
    async with database.transaction() as connection:
        requests = await replay_requests.read_open(connection, limit=_REQUESTS_A_ROUND)
    moved = 0
    for request in requests:
        up_to = request.up_to
        if up_to is None:
            last, depths = await count_letters(session)
            found = sum(depth for (queue, _), depth in depths.items() if queue == request.queue)
            async with database.transaction() as connection:
                # If another worker began it in between, its limit is the one in force.
                up_to = await replay_requests.begin(connection, request.id, clock.now(), last, found)
        moved += await replay(session, Queue(request.queue), up_to=up_to)
        async with database.transaction() as connection:
            await replay_requests.finish(connection, request.id, clock.now())
    return moved


async def _first(session: Session, queue: Queue) -> api.RawStreamMsg | None:
    try:
        return await session.stream.get_msg(DEAD, seq=1, subject=f"dead.{queue}.>", next=True)
    except NotFoundError:
        return None


async def _put(session: Session, subject: str, data: bytes, headers: dict[str, str]) -> bool:
    try:
        answer = await session.stream.publish(
            subject, data, timeout=ANSWER_SECONDS, stream=DEAD, headers=headers
        )
    except ServiceUnavailableError as problem:
        # The letter is older than the duplicate window and still there: its subject shows that it is the
        # same.
        if problem.err_code == _STORE_FAILED and problem.description == _ONE_PER_SUBJECT:
            return False
        raise
    return not answer.duplicate


def _read_count(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else 0
