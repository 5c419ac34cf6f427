"""The settlement lever: fetch doubtful reports again; and what people are shown of reconciliation."""

import json
from datetime import datetime
from typing import Final
from uuid import UUID

from refpay.audit.events import AuditEvent, SubjectKind
from refpay.audit.repository import record
from refpay.clock import Clock
from refpay.db.pool import Connection, Database, Row
from refpay.errors import InvariantViolation
from refpay.operations import settlements_repository
from refpay.operations.routing import ProviderUnknown
from refpay.payments import claims_repository
from refpay.payments.claims import Command, Reply, StoredAnswer
from refpay.payments.errors import KeyReused
from refpay.settings import PROVIDER_NAMES

_BREAKS_SHOWN: Final = 100


class Settlements:
    """The door to what was reconciled."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def read(self) -> bytes:
        """Return watermarks, open breaks by class, and the newest of them, as JSON."""
        async with self._database.transaction() as connection:
            providers = await settlements_repository.read_providers(connection)
            sums = await settlements_repository.read_break_sums(connection)
            newest = await settlements_repository.read_newest_breaks(connection, limit=_BREAKS_SHOWN)
        return _dump(
            {
                "providers": [_describe(row) for row in providers],
                "open_breaks": [_describe(row) for row in sums],
                "newest_breaks": [_describe(row) for row in newest],
            }
        )

    async def refetch(self, command: Command, provider: str, *, reason: str) -> Reply:
        """Have doubtful reports of a provider fetched again; changes nothing if there are none.

        Raises ProviderUnknown or KeyReused.
        """
        now = self._clock.now()
        async with self._database.transaction() as connection:
            claim = await claims_repository.claim(connection, command, operation_id=None, now=now)
            if claim is not None:
                if claim.fingerprint != command.fingerprint:
                    raise KeyReused("the idempotency key was used for another request: mint a new one")
                if claim.answer is None:
                    raise InvariantViolation("a refetch is claimed and not answered")
                return Reply(claim.answer, replayed=True)
            answer = await self._refetch(connection, command, provider, reason=reason, now=now)
            await claims_repository.store(
                connection, principal=command.principal.name, key=command.key, answer=answer
            )
        return Reply(answer)

    async def _refetch(
        self, connection: Connection, command: Command, provider: str, *, reason: str, now: datetime
    ) -> StoredAnswer:
        if not await settlements_repository.lock_provider(connection, provider):
            raise ProviderUnknown(f"there is no such provider, allowed: {', '.join(PROVIDER_NAMES)}")
        reports = await settlements_repository.forget_digests(connection, provider)
        if reports:
            event = AuditEvent(
                at=now,
                actor=command.principal.name,
                action="settlement.refetched",
                subject_kind=SubjectKind.PROVIDER,
                subject_id=provider,
                before=None,
                after={"reports": reports, "reason": reason},
                correlation_id=command.correlation_id,
            )
            await record(connection, event)
        return StoredAnswer(200, _dump({"provider": provider, "reports": reports, "changed": reports > 0}))


def _describe(row: Row) -> dict[str, object]:
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def _dump(content: object) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()
