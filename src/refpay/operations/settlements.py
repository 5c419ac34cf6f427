"""The settlement lever: fetch doubtful reports again; and what people are shown of reconciliation."""

from datetime import datetime
from typing import Final

from refpay.audit.events import Facts, SubjectKind
from refpay.audit.repository import record
from refpay.clock import Clock
from refpay.db.pool import Connection, Database
from refpay.encoding import encode
from refpay.operations.routing import ProviderUnknown
from refpay.payments.claims import Command, Reply, StoredAnswer
from refpay.payments.once import pull_once
from refpay.settings import PROVIDER_NAMES

_BREAKS_SHOWN: Final = 100
_PROVIDERS: Final = """
    SELECT progress.provider, progress.watermark, progress.next_due,
           (SELECT count(*) FROM reconciliation.report
            WHERE report.provider = progress.provider AND report.state IN ('invalid', 'replayed')) AS refused
    FROM reconciliation.progress ORDER BY progress.provider
"""
_SUMS: Final = """
    SELECT provider, class, currency, count(*) AS breaks, sum(value_minor)::bigint AS value_minor,
           min(first_seen) AS oldest
    FROM reconciliation.break WHERE closed_at IS NULL
    GROUP BY provider, class, currency ORDER BY provider, class, currency
"""
_NEWEST: Final = """
    SELECT id, provider, class, key, movement, sequence, currency, value_minor, first_seen
    FROM reconciliation.break WHERE closed_at IS NULL ORDER BY first_seen DESC, id LIMIT $1
"""
_LOCK: Final = "SELECT provider FROM reconciliation.progress WHERE provider = $1 FOR UPDATE"
# What a movement that is missing should have been in: the reports of its time, and the one after.
_FORGET: Final = """
    UPDATE reconciliation.report SET digest = NULL, refused_digest = NULL
    WHERE provider = $1 AND (digest IS NOT NULL OR refused_digest IS NOT NULL) AND (
        state IN ('invalid', 'replayed')
        OR sequence IN (SELECT sequence FROM reconciliation.break WHERE provider = $1 AND closed_at IS NULL)
        OR EXISTS (
            SELECT FROM reconciliation.break JOIN payments.operation ON operation.id = break.operation_id
            WHERE break.provider = $1 AND break.closed_at IS NULL AND break.class = 'missing_theirs'
              AND report.period_end > operation.created_at - interval '1 second'
              AND report.period_start <= operation.settled_at + (report.period_end - report.period_start)))
    RETURNING sequence
"""


class Settlements:
    """The door to what was reconciled."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def read(self) -> bytes:
        """Return watermarks, open breaks by class, and the newest of them, as JSON."""
        async with self._database.transaction() as connection:
            content = {
                "providers": await connection.fetch(_PROVIDERS),
                "open_breaks": await connection.fetch(_SUMS),
                "newest_breaks": await connection.fetch(_NEWEST, _BREAKS_SHOWN),
            }
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
    if not await lock_provider(connection, provider):
        raise ProviderUnknown(f"there is no such provider, allowed: {', '.join(PROVIDER_NAMES)}")
    reports = len(await connection.fetch(_FORGET, provider))
    if reports:
        facts: Facts = {"reports": reports, "reason": reason}
        event = command.audit("settlement.refetched", SubjectKind.PROVIDER, provider, after=facts, now=now)
        await record(connection, event)
    return StoredAnswer.of(200, {"provider": provider, "reports": reports, "changed": reports > 0})


async def lock_provider(connection: Connection, provider: str) -> bool:
    """Keep the worker from comparing with a provider until this transaction ends; False if there is none."""
    return await connection.fetchval(_LOCK, provider) is not None
