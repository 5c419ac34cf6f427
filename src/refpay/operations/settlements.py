"""The settlement lever: fetch doubtful reports again; and what people are shown of reconciliation."""

from datetime import datetime
from typing import Final

from refpay.audit.events import Facts, SubjectKind
from refpay.audit.repository import record
from refpay.clock import Clock
from refpay.db.pool import Connection, Database
from refpay.encoding import encode
from refpay.operations import settlements_repository
from refpay.operations.routing import ProviderUnknown
from refpay.payments.claims import Command, Reply, StoredAnswer
from refpay.payments.once import pull_once
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
        content = {"providers": providers, "open_breaks": sums, "newest_breaks": newest}
        return encode({name: [dict(row) for row in rows] for name, rows in content.items()})

    async def refetch(self, command: Command, provider: str, *, reason: str) -> Reply:
        """Have doubtful reports of a provider fetched again; changes nothing if there are none.

        Raises ProviderUnknown or KeyReused.
        """
        now = self._clock.now()

        async def pull(connection: Connection) -> StoredAnswer:
            return await _refetch(connection, command, provider, reason=reason, now=now)

        return await pull_once(self._database, command, pull, now=now)


async def _refetch(
    connection: Connection, command: Command, provider: str, *, reason: str, now: datetime
) -> StoredAnswer:
    if not await settlements_repository.lock_provider(connection, provider):
        raise ProviderUnknown(f"there is no such provider, allowed: {', '.join(PROVIDER_NAMES)}")
    reports = await settlements_repository.forget_digests(connection, provider)
    if reports:
        facts: Facts = {"reports": reports, "reason": reason}
        event = command.audit("settlement.refetched", SubjectKind.PROVIDER, provider, after=facts, now=now)
        await record(connection, event)
    return StoredAnswer.of(200, {"provider": provider, "reports": reports, "changed": reports > 0})
