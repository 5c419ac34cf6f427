"""Refund what a provider charged twice.

Each extra movement is refunded once, however often the action is repeated. It moves money, so a second
person has to approve the refunds.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from refpay.audit.events import AuditEvent, Facts, SubjectKind
from refpay.audit.repository import record
from refpay.clock import Clock
from refpay.db.pool import Connection, Database
from refpay.errors import RefpayError
from refpay.identity import approvals
from refpay.identity.approvals import Actor, Approval, ApprovalCommand
from refpay.money import Currency, Money
from refpay.operations.routing import require_provider
from refpay.payments.approvals import await_approval
from refpay.payments.claims import Command, Reply, StoredAnswer
from refpay.payments.idempotent_actions import claim_key, store_answer
from refpay.payments.intents import Deadlines
from refpay.providers.errors import ProviderOutcomeUnknown, ProviderRefused
from refpay.providers.port import Call, CallKind, Provider, ProviderResult
from refpay.reconciliation.operator_actions import Duplicate, insert_repair, read_duplicates

# More in one action would take longer than a caller waits; repeating the action takes the rest.
DUPLICATES_MAXIMUM: Final = 100
_CONCURRENT_REFUNDS: Final = 8


class DuplicatesLeft(RefpayError, code="duplicates_left", status=502, retryable=True):
    """Not every double charge could be refunded."""

    # A provider did not confirm every refund; asking again sends the same ones.


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Refunds double charges. Nothing is sent after the provider's `last_send`."""

    database: Database
    providers: Mapping[str, Provider]
    clock: Clock
    deadlines: Mapping[str, Deadlines]

    async def refund(self, command: Command, provider: str, *, reason: str) -> Reply:
        """Refund every extra movement that the provider has reported and that is not ours.

        The key of each refund is stored before it is sent, so an action that was cut off sends the same
        refunds when it is repeated; those were approved already. New refunds are answered with 202 and the
        approval that they need. The idempotency key stays free, and the same request carries them out once
        they are approved. Raises ProviderUnknown, KeyReused, or DuplicatesLeft if a refund failed.
        """
        now = self.clock.now()
        async with self.database.transaction() as connection:
            claim = await claim_key(connection, command, now=now)
            if claim is not None and (replay := claim.replay_to(command)) is not None:
                return replay
            duplicates = await self._plan(connection, command, provider, reason=reason, now=now)
        if isinstance(duplicates, Approval):
            return Reply(await_approval(provider, duplicates))
        left = await self._refund_all(provider, duplicates, deadline=now + self.deadlines[provider].last_send)
        if left:
            raise DuplicatesLeft(
                f"{provider} did not confirm {left} of {len(duplicates)} refunds: ask again."
            )
        return await self._store(command, _describe(provider, duplicates))

    async def _plan(
        self, connection: Connection, command: Command, provider: str, *, reason: str, now: datetime
    ) -> Sequence[Duplicate] | Approval:
        require_provider(provider, self.providers)
        found = await read_duplicates(connection, provider, limit=DUPLICATES_MAXIMUM, now=now)
        planned = [duplicate for duplicate in found if duplicate.ordered]
        fresh = [duplicate for duplicate in found if not duplicate.ordered]
        if not fresh:
            return planned
        requester = Actor(command.principal.name, command.correlation_id, now)
        approved, pending = await _approved(connection, provider, fresh, requester, reason)
        if pending is not None:
            return pending
        for duplicate in approved:
            await insert_repair(connection, provider, duplicate, now=now)
            await record(connection, _audit(command, provider, duplicate, reason, now))
        return [*planned, *approved]

    async def _refund_all(self, provider: str, duplicates: Sequence[Duplicate], *, deadline: datetime) -> int:
        """Return how many refunds the provider did not confirm."""
        semaphore = asyncio.Semaphore(_CONCURRENT_REFUNDS)

        async def refund(duplicate: Duplicate) -> bool:
            async with semaphore:
                return await self._refund(provider, duplicate, deadline)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(refund(duplicate)) for duplicate in duplicates]
        return sum(not task.result() for task in tasks)

    async def _refund(self, provider: str, duplicate: Duplicate, deadline: datetime) -> bool:
        call = Call(
            kind=CallKind.REFUND,
            key=duplicate.repair_key,
            deadline=deadline,
            reference=duplicate.reference,
            money=Money(duplicate.amount_minor, Currency(duplicate.currency)),
            parent=duplicate.movement,
        )
        try:
            answer = await self.providers[provider].perform(call)
        except (ProviderRefused, ProviderOutcomeUnknown):
            return False
        return answer.result is ProviderResult.DONE

    async def _store(self, command: Command, answer: StoredAnswer) -> Reply:
        async with self.database.transaction() as connection:
            claim = await claim_key(connection, command, now=self.clock.now())
            if claim is not None and (replay := claim.replay_to(command)) is not None:
                # The same request was sent twice at once; the first stored answer is the answer to both.
                return replay
            return await store_answer(connection, command, answer)


async def _approved(
    connection: Connection, provider: str, fresh: Sequence[Duplicate], requester: Actor, reason: str
) -> tuple[Sequence[Duplicate], Approval | None]:
    """Return the refunds that a second person has approved, or the approval that is pending.

    Movements reported since the request are left to the next action. If any other has changed, a new approval
    is requested for all.
    """
    requested = _refund_command(provider, fresh)
    if found := await approvals.find_open(connection, requested, requester):
        movements = {movement for movement, *_ in found.content["refunds"]}
        same = [duplicate for duplicate in fresh if duplicate.movement in movements]
        if await approvals.use(connection, found, _refund_command(provider, same), requester):
            return same, None
        if found.is_for(_refund_command(provider, same), approvals.ApprovalStatus.PENDING):
            return (), found
    return (), await approvals.request(connection, requested, requester, reason=reason)


def _refund_command(provider: str, duplicates: Sequence[Duplicate]) -> ApprovalCommand:
    refunds = sorted([one.movement, one.amount_minor, one.currency] for one in duplicates)
    return ApprovalCommand("duplicates.refund", SubjectKind.PROVIDER, provider, {"refunds": refunds})


def _audit(command: Command, provider: str, duplicate: Duplicate, reason: str, now: datetime) -> AuditEvent:
    one, repaired = duplicate, {"movement": duplicate.movement, "repair_key": str(duplicate.repair_key)}
    facts: Facts = {**repaired, "amount_minor": one.amount_minor, "currency": one.currency, "reason": reason}
    return command.audit("duplicate.repair_ordered", SubjectKind.PROVIDER, provider, after=facts, now=now)


def _describe(provider: str, duplicates: Sequence[Duplicate]) -> StoredAnswer:
    money = Counter[str]()
    for duplicate in duplicates:
        money[duplicate.currency] += duplicate.amount_minor
    content = {"provider": provider, "refunded": len(duplicates), "changed": bool(duplicates)}
    return StoredAnswer.of(200, {**content, "minor_units": dict(sorted(money.items()))})
