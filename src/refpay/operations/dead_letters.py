"""The replay lever: ask for a queue's dead letters to be moved back, and see what became of it.

The request is written down; the worker carries it out, because the API does not speak to NATS.
"""

import json
from datetime import datetime
from typing import Final
from uuid import UUID

from refpay.audit.events import AuditEvent, SubjectKind
from refpay.audit.repository import record
from refpay.clock import Clock
from refpay.db.pool import Connection, Database
from refpay.errors import InvariantViolation, RefpayError
from refpay.ids import mint_id
from refpay.outbox import replay_repository
from refpay.outbox.replay_repository import ReplayRequest
from refpay.payments import claims_repository
from refpay.payments.claims import Claim, Command, Reply, StoredAnswer
from refpay.payments.errors import KeyReused

QUEUES: Final = ("notifications", "compliance_log")
_REQUESTS_SHOWN: Final = 50
_ACCEPTED: Final = 202


class QueueUnknown(RefpayError, code="queue_unknown", status=404):
    """There is no such queue."""

    title = "There is no such queue"


class DeadLetters:
    """The door to what was set aside."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def read(self) -> bytes:
        """Return what the worker last saw, by queue and reason, and the latest requests, as JSON."""
        async with self._database.transaction() as connection:
            depths = await replay_repository.read_depths(connection)
            requests = await replay_repository.read_newest(connection, limit=_REQUESTS_SHOWN)
        letters = [
            {
                "queue": seen.queue,
                "reason": seen.reason,
                "depth": seen.depth,
                "observed_at": seen.observed_at.isoformat(),
            }
            for seen in depths
        ]
        return _dump({"dead_letters": letters, "replays": [_describe(request) for request in requests]})

    async def replay(self, command: Command, queue: str, *, reason: str) -> Reply:
        """Ask for a replay: 202 while it is not done, 200 with the same key when it is.

        A request that has not begun covers a second one, which changes nothing. Raises QueueUnknown or
        KeyReused.
        """
        if queue not in QUEUES:
            raise QueueUnknown(f"there is no such queue, allowed: {', '.join(QUEUES)}")
        now = self._clock.now()
        request = ReplayRequest(
            id=mint_id(now),
            queue=queue,
            requested_by=command.principal.name,
            requested_at=now,
            reason=reason,
            correlation_id=command.correlation_id,
        )
        async with self._database.transaction() as connection:
            claim = await claims_repository.claim(connection, command, operation_id=request.id, now=now)
            if claim is not None:
                return await _answer_again(connection, command, claim)
            if not await replay_repository.insert(connection, request):
                return await _join(connection, command, queue)
            await record(connection, _requested(request, now))
        return Reply(_answer(request))


async def _answer_again(connection: Connection, command: Command, claim: Claim) -> Reply:
    if claim.fingerprint != command.fingerprint:
        raise KeyReused("the idempotency key was used for another request: mint a new one")
    if claim.answer is not None:
        return Reply(claim.answer, replayed=True)
    request = await _read(connection, claim.operation_id)
    return Reply(_answer(request), replayed=True)


async def _join(connection: Connection, command: Command, queue: str) -> Reply:
    waiting = await replay_repository.read_waiting(connection, queue)
    if waiting is None:
        # It began between the two statements; then a new request has to be made, with a key that is free.
        raise ReplayBegan(f"a replay of {queue} has just begun: ask again with the same key")
    answer = StoredAnswer(200, _dump({**_describe(waiting), "changed": False}))
    await claims_repository.store(
        connection, principal=command.principal.name, key=command.key, answer=answer
    )
    return Reply(answer)


class ReplayBegan(RefpayError, code="replay_began", status=503, retry_after_seconds=1):
    """The request that would have covered this one began a moment ago."""

    title = "A replay of this queue has just begun"


async def _read(connection: Connection, request_id: UUID | None) -> ReplayRequest:
    request = None if request_id is None else await replay_repository.read(connection, request_id)
    if request is None:
        raise InvariantViolation("an idempotency key of a replay stands for nothing")
    return request


def _answer(request: ReplayRequest) -> StoredAnswer:
    status = _ACCEPTED if request.finished_at is None else 200
    return StoredAnswer(status, _dump({**_describe(request), "changed": True}))


def _requested(request: ReplayRequest, now: datetime) -> AuditEvent:
    return AuditEvent(
        at=now,
        actor=request.requested_by,
        action="dead_letters.replay_requested",
        subject_kind=SubjectKind.QUEUE,
        subject_id=request.queue,
        before=None,
        after={"replay": str(request.id), "reason": request.reason},
        correlation_id=request.correlation_id,
    )


def _describe(request: ReplayRequest) -> dict[str, str | int | None]:
    return {
        "id": str(request.id),
        "queue": request.queue,
        "state": _state(request),
        "requested_by": request.requested_by,
        "requested_at": request.requested_at.isoformat(),
        "reason": request.reason,
        "begun_at": None if request.begun_at is None else request.begun_at.isoformat(),
        "finished_at": None if request.finished_at is None else request.finished_at.isoformat(),
        "found": request.found,
        "see": "/v1/operations/dead-letters",
    }


def _state(request: ReplayRequest) -> str:
    if request.finished_at is not None:
        return "done"
    return "requested" if request.begun_at is None else "running"


def _dump(content: object) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()
