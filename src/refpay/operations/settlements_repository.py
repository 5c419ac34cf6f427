"""What people are shown of reconciliation, and what the refetch lever changes."""

from collections.abc import Sequence
from typing import Final

from refpay.db.pool import Connection, Row

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


async def read_providers(connection: Connection) -> Sequence[Row]:
    """Return how far reconciliation is with each provider, and how many reports cannot be used."""
    return await connection.fetch(_PROVIDERS)


async def read_break_sums(connection: Connection) -> Sequence[Row]:
    """Return the open breaks by provider, class and currency."""
    return await connection.fetch(_SUMS)


async def read_newest_breaks(connection: Connection, *, limit: int) -> Sequence[Row]:
    """Return the newest open breaks."""
    return await connection.fetch(_NEWEST, limit)


async def lock_provider(connection: Connection, provider: str) -> bool:
    """Keep the worker from comparing with a provider until this transaction ends; False if there is none."""
    return await connection.fetchval(_LOCK, provider) is not None


async def forget_digests(connection: Connection, provider: str) -> int:
    """Have every report that has an open break or cannot be used fetched again; return how many."""
    return len(await connection.fetch(_FORGET, provider))
