"""The settlement lever: fetch doubtful reports again; and what people are shown of reconciliation."""

from dataclasses import dataclass

from refpay.audit.events import Facts, SubjectKind
from refpay.audit.repository import record
from refpay.clock import Clock
from refpay.db.pool import Connection, Database
from refpay.encoding import encode
from refpay.operations.routing import require_provider
from refpay.payments.claims import Command, Reply, StoredAnswer
from refpay.payments.once import pull_once
from refpay.reconciliation.levers import forget_doubtful, read_overview
from refpay.settings import PROVIDER_NAMES


@dataclass(frozen=True, slots=True)
class Settlements:
    """The door to what was reconciled."""

    database: Database
    clock: Clock

    async def read(self) -> bytes:
        """Return watermarks, open breaks by class, and the newest of them, as JSON."""
        async with self.database.transaction() as connection:
            return encode(await read_overview(connection))

    async def refetch(self, command: Command, provider: str, *, reason: str) -> Reply:
        """Have doubtful reports of a provider fetched again; changes nothing if there are none.

        Raises ProviderUnknown or KeyReused.
        """
        now = self.clock.now()

        async def pull(connection: Connection) -> StoredAnswer:
            require_provider(provider, PROVIDER_NAMES)
            reports = await forget_doubtful(connection, provider)
            if reports:
                facts: Facts = {"reports": reports, "reason": reason}
                subject = (SubjectKind.PROVIDER, provider)
                await record(
                    connection, command.audit("settlement.refetched", *subject, after=facts, now=now)
                )
            return StoredAnswer.of(200, {"provider": provider, "reports": reports, "changed": reports > 0})

        return await pull_once(self.database, command, pull, now=now)
