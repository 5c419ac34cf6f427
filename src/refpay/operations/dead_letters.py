"""Ask for a queue's dead letters to be replayed, and read how far a replay is.

The request is stored and the worker carries it out, because the API has no connection to NATS.
"""

from dataclasses import asdict
from typing import Final

from refpay.audit.events import SubjectKind
from refpay.audit.repository import record
from refpay.clock import Clock
from refpay.db.pool import Connection, Database
from refpay.encoding import encode
from refpay.errors import InvariantViolation, RefpayError
from refpay.ids import mint_id
from refpay.outbox import replay_requests
from refpay.outbox.replay_requests import ReplayRequest
from refpay.payments.claims import Claim, Command, Reply, StoredAnswer
from refpay.payments.idempotent_actions import claim_key, store_answer

QUEUES: Final = ("notifications", "compliance_log")
_REQUESTS_SHOWN: Final = 50


class QueueUnknown(RefpayError, code="queue_unknown", status=404):
    """There is no such queue."""


class DeadLetters:
    """Reads dead letters and requests replays."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database, self._clock = database, clock

    async def read(self) -> bytes:
        """Return as JSON what the worker last counted by queue and reason, and the latest replays."""
        async with self._database.transaction() as connection:
            depths = await replay_requests.read_depths(connection)
            requests = await replay_requests.read_newest(connection, limit=_REQUESTS_SHOWN)
        replays = [_describe(request) for request in requests]
        return encode({"dead_letters": depths, "replays": replays})

    async def replay(self, command: Command, queue: str, *, reason: str) -> Reply:
        """Request a replay. The answer is 202 until it is done, then 200 with the same key.

        A request that has not begun covers a second one, which then changes nothing. Raises QueueUnknown or
        KeyReused.
        """
        if queue not in QUEUES:
            raise QueueUnknown(f"The queue is not one of: {', '.join(QUEUES)}.")
        now = self._clock.now()
        asked = (queue, command.principal.name, now, reason, command.correlation_id)
        request = ReplayRequest(mint_id(now), *asked)
        async with self._database.transaction() as connection:
            claim = await claim_key(connection, command, now=now, operation_id=request.id)
            if claim is not None:
                return claim.replay_to(command) or await _answer_again(connection, claim)
            if not await replay_requests.insert(connection, request):
                return await _join(connection, command, queue)
            facts = {"replay": str(request.id), "reason": reason}
            action = "dead_letters.replay_requested"
            await record(connection, command.audit(action, SubjectKind.QUEUE, queue, after=facts, now=now))
        return Reply(_answer(request))


async def _answer_again(connection: Connection, claim: Claim) -> Reply:
    request = claim.operation_id and await replay_requests.read(connection, claim.operation_id)
    if not request:
        raise InvariantViolation("The idempotency key of a replay has no replay.")
    return Reply(_answer(request), replayed=True)


async def _join(connection: Connection, command: Command, queue: str) -> Reply:
    waiting = await replay_requests.read_waiting(connection, queue)
    if waiting is None:
        # It began between the two statements, so a new request is needed, and the key stays free for it.
        raise ReplayBegan(f"A replay of {queue} has just begun: ask again with the same key.")
    answer = StoredAnswer.of(200, {**_describe(waiting), "changed": False})
    return await store_answer(connection, command, answer)


class ReplayBegan(RefpayError, code="replay_began", status=503, retry_after_seconds=1):
    """A replay of this queue has just begun."""

    # So it does not cover this request; asking again makes a new one.


def _answer(request: ReplayRequest) -> StoredAnswer:
    return StoredAnswer.of(200 if request.finished_at else 202, {**_describe(request), "changed": True})


def _describe(request: ReplayRequest) -> dict[str, object]:
    state = "done" if request.finished_at else "running" if request.begun_at else "requested"
    facts = asdict(request) | {"state": state, "see": "/v1/operations/dead-letters"}
    # Internal.
    del facts["correlation_id"], facts["up_to"]
    return facts
