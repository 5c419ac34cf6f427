"""Fetch doubtful settlement reports again, and read the state of reconciliation."""

from dataclasses import dataclass

from refpay.audit.events import Facts, SubjectKind
from refpay.audit.repository import record
from refpay.clock import Clock
from refpay.db.pool import Connection, Database
from refpay.encoding import encode
from refpay.operations.routing import require_provider
from refpay.payments.claims import Command, Reply, StoredAnswer
from refpay.payments.idempotent_actions import execute_once
from refpay.reconciliation.operator_actions import read_overview, refetch_doubtful
from refpay.settings import PROVIDER_NAMES


@dataclass(frozen=True, slots=True)
class SettlementReports:
    """Reads the state of reconciliation and has reports fetched again."""

    database: Database
    clock: Clock

    async def read(self) -> bytes:
        """Return watermarks, open breaks by class, and the newest open breaks, as JSON."""
        async with self.database.transaction() as connection:
            return encode(await read_overview(connection))

    async def refetch(self, command: Command, provider: str, *, reason: str) -> Reply:
        """Have the doubtful reports of a provider fetched again. Changes nothing if there are none.

        Raises ProviderUnknown or KeyReused.
        """
        now = self.clock.now()

        async def execute(connection: Connection) -> StoredAnswer:
            require_provider(provider, PROVIDER_NAMES)
            reports = await refetch_doubtful(connection, provider)
            if reports:
                facts: Facts = {"reports": reports, "reason": reason}
                subject = (SubjectKind.PROVIDER, provider)
                await record(
                    connection, command.audit("settlement.refetched", *subject, after=facts, now=now)
                )
            return StoredAnswer.of(200, {"provider": provider, "reports": reports, "changed": reports > 0})

        return await execute_once(self.database, command, execute, now=now)
