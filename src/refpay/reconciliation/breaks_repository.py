"""Store breaks, and lines that cannot be matched yet."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from uuid import UUID

from refpay.db.pool import Connection
from refpay.ids import mint_id
from refpay.reconciliation.model import Break, BreakClass, BreakId

_OPEN = """
    SELECT id, key, class, movement, occurrence, currency, value_minor, sequence, operation_id
    FROM reconciliation.break
    WHERE closed_at IS NULL AND provider = $1 AND key = ANY($2::text[])
"""
_INSERT = """
    INSERT INTO reconciliation.break (
        id, provider, key, class, movement, occurrence, currency, value_minor, sequence, operation_id,
        first_seen)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""
_CHANGE = """
    UPDATE reconciliation.break SET currency = $2, value_minor = $3, sequence = $4, operation_id = $5
    WHERE id = $1
"""
_CLOSE = "UPDATE reconciliation.break SET closed_at = $2 WHERE id = ANY($1::uuid[])"
_KEYS = """
    SELECT DISTINCT key FROM reconciliation.{}
    WHERE {} IS NULL AND provider = $1 AND key > $2 ORDER BY key LIMIT $3
"""
_AWAITED = """
    SELECT id, sequence, key FROM reconciliation.awaited
    WHERE ended_at IS NULL AND provider = $1 AND key = ANY($2::text[])
"""
_AWAIT = "INSERT INTO reconciliation.awaited (id, provider, sequence, key, since) VALUES ($1, $2, $3, $4, $5)"
_END = "UPDATE reconciliation.awaited SET ended_at = $2 WHERE id = ANY($1::uuid[])"
# What has not ended of a revision that is not in force holds nothing up.
_FIRST_OPEN = """
    SELECT least(
        (SELECT min(sequence) FROM reconciliation.awaited WHERE ended_at IS NULL AND provider = $1),
        (SELECT min(sequence) FROM reconciliation.import JOIN reconciliation.report
             USING (provider, sequence, revision) WHERE ended_at IS NULL AND provider = $1))
"""
# Of one provider, or of all if $1 is null.
SUMS = """
    SELECT provider, class, currency, count(*) AS breaks, sum(value_minor) AS value_minor,
           min(first_seen) AS oldest
    FROM reconciliation.break WHERE closed_at IS NULL AND ($1::text IS NULL OR provider = $1)
    GROUP BY provider, class, currency ORDER BY provider, class, currency
"""

Place = tuple[int, str]


@dataclass(frozen=True, slots=True)
class BreakSum:
    """The open breaks of one provider, class and currency."""

    break_class: BreakClass
    currency: str
    breaks: int
    value_minor: int
    oldest: datetime


async def read_open(
    connection: Connection, provider: str, keys: Collection[str]
) -> dict[BreakId, tuple[UUID, tuple[object, ...]]]:
    """Return the open breaks of these keys, each with its row id and its changeable facts."""
    return {
        BreakId(key, BreakClass(name), movement, occurrence): (row_id, tuple(facts))
        for row_id, key, name, movement, occurrence, *facts in await connection.fetch(
            _OPEN, provider, list(keys)
        )
    }


async def insert_breaks(
    connection: Connection, provider: str, found: Sequence[Break], *, now: datetime
) -> None:
    """Insert new breaks, each with the report that shows it or should have."""
    rows = [(mint_id(now), provider, *astuple(one.id), *one.facts, now) for one in found]
    await connection.executemany(_INSERT, rows)


async def change_break(connection: Connection, row_id: UUID, found: Break) -> None:
    """Update the facts of an open break. Since when it is open does not change."""
    await connection.execute(_CHANGE, row_id, *found.facts)


async def close_breaks(connection: Connection, row_ids: Sequence[UUID], *, now: datetime) -> None:
    """Close breaks for good."""
    await connection.execute(_CLOSE, list(row_ids), now)


async def read_open_keys(
    connection: Connection, provider: str, *, after: str, limit: int, awaited: bool = False
) -> Sequence[str]:
    """Return keys after `after` that have an open break, or with `awaited`, an awaited line."""
    place = ("awaited", "ended_at") if awaited else ("break", "closed_at")
    rows = await connection.fetch(_KEYS.format(*place), provider, after, limit)
    return [row["key"] for row in rows]


async def read_awaited(connection: Connection, provider: str, keys: Collection[str]) -> Mapping[Place, UUID]:
    """Return where lines of these keys are awaited, by report and key."""
    rows = await connection.fetch(_AWAITED, provider, list(keys))
    return {(row["sequence"], row["key"]): row["id"] for row in rows}


async def change_awaited(
    connection: Connection,
    provider: str,
    *,
    begun: Sequence[Place],
    ended: Sequence[UUID],
    now: datetime,
) -> None:
    """Store which lines are awaited from now on, and which no longer are."""
    await connection.executemany(_AWAIT, [(mint_id(now), provider, *place, now) for place in begun])
    if ended:
        await connection.execute(_END, list(ended), now)


async def read_first_open(connection: Connection, provider: str) -> int | None:
    """Return the first report that has an awaited line, or a line in force that is not compared yet."""
    found = await connection.fetchval(_FIRST_OPEN, provider)
    return None if found is None else int(found)


async def read_sums(connection: Connection, provider: str) -> Sequence[BreakSum]:
    """Return the open breaks by class and currency."""
    return [
        BreakSum(
            BreakClass(row["class"]), row["currency"], row["breaks"], int(row["value_minor"]), row["oldest"]
        )
        for row in await connection.fetch(SUMS, provider)
    ]
