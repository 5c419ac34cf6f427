"""Idempotency keys for what is no payment: an operator action is carried out once for each key."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from uuid import UUID

from refpay.db.pool import Connection, Database
from refpay.errors import RefpayError
from refpay.payments import claims_repository
from refpay.payments.answers import ACCEPTED, refusal_answer
from refpay.payments.claims import Claim, Command, Reply, StoredAnswer


async def execute_once(
    database: Database,
    command: Command,
    execute: Callable[[Connection], Awaitable[StoredAnswer]],
    *,
    now: datetime,
    answered: type[RefpayError] | tuple[type[RefpayError], ...] = (),
) -> Reply:
    """Return the action's answer, or the stored one of an earlier request with this key.

    All of it is one transaction, answer and audit record included. A refusal of type `answered` is stored as
    an answer; any other refusal leaves the key free, and 202 leaves it open for the same action. Raises
    KeyReused.
    """
    async with database.transaction() as connection:
        claim = await claim_key(connection, command, now=now)
        if claim is not None and (replay := claim.replay_to(command)) is not None:
            return replay
        try:
            answer = await execute(connection)
        except answered as refusal:
            answer = refusal_answer(refusal, command.correlation_id)
        pending = answer.status == ACCEPTED
        return Reply(answer) if pending else await store_answer(connection, command, answer)


async def claim_key(
    connection: Connection, command: Command, *, now: datetime, operation_id: UUID | None = None
) -> Claim | None:
    """Claim a key if this transaction commits, or lock and return its earlier claim. Raises KeyExpired."""
    return await claims_repository.claim(connection, command, operation_id=operation_id, now=now, lock=True)


async def store_answer(connection: Connection, command: Command, answer: StoredAnswer) -> Reply:
    """Store the definitive answer of a claimed key and return it. The database refuses a second answer."""
    name = command.principal.name
    await claims_repository.store(connection, principal=name, key=command.key, answer=answer)
    return Reply(answer)
