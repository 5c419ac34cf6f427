"""Pulls a lever once for each idempotency key, in one transaction with its answer and its audit record."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from refpay.db.pool import Connection, Database
from refpay.errors import InvariantViolation, RefpayError
from refpay.payments import claims_repository
from refpay.payments.answers import refusal_answer
from refpay.payments.claims import Command, Reply, StoredAnswer
from refpay.payments.errors import KeyReused


async def pull_once(
    database: Database,
    command: Command,
    pull: Callable[[Connection], Awaitable[StoredAnswer]],
    *,
    now: datetime,
    answered: type[RefpayError],
) -> Reply:
    """Return the lever's answer, or the stored one of an earlier pull with this key.

    A refusal of type `answered` is an answer and stored; any other leaves the key free. Raises KeyReused.
    """
    async with database.transaction() as connection:
        claim = await claims_repository.claim(connection, command, operation_id=None, now=now)
        if claim is not None:
            if claim.fingerprint != command.fingerprint:
                raise KeyReused("the idempotency key was used for another request: mint a new one")
            if claim.answer is None:
                raise InvariantViolation("a lever is claimed and not answered")
            return Reply(claim.answer, replayed=True)
        try:
            answer = await pull(connection)
        except answered as refusal:
            answer = refusal_answer(refusal, command.correlation_id)
        await claims_repository.store(
            connection, principal=command.principal.name, key=command.key, answer=answer
        )
    return Reply(answer)
