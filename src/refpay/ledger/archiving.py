"""The retention policy: old months leave for cold storage, and come back; as the owner of the database.

A month leaves only when every entry of it is sealed and its file was read back against the seals. Its table
goes and its record comes in one transaction; at no time is an entry in neither place.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from refpay.ledger.chain import LEAF_BYTES, StoredEntry
from refpay.ledger.cold import SUFFIX, read_month, write_month
from refpay.ledger.errors import MonthKept
from refpay.ledger.reading import Archive, read_archives, stream_live

KEPT_MONTHS: Final = 24
_BATCH: Final = 1_000
# Its bounds are those of its name; the default partition is none of a month.
_OLD: Final = """
    SELECT child.relname AS name,
           ledger.first_id(to_date(right(child.relname, 7), 'YYYY_MM')::timestamp
                           AT TIME ZONE 'UTC') AS first_id,
           ledger.first_id((to_date(right(child.relname, 7), 'YYYY_MM') + interval '1 month')
                           AT TIME ZONE 'UTC') AS end_id
    FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
    WHERE inhparent = 'ledger.entry'::regclass AND child.relname ~ '^entry_[0-9]{4}_[0-9]{2}$'
    ORDER BY child.relname
"""
_CUT: Final = """
    SELECT ledger.first_id(date_trunc('month', $1::timestamptz, 'UTC') - make_interval(months => $2))
"""
_UNSEALED: Final = """
    SELECT count(*) FROM ledger.{name} WHERE (written_in, id) > (
        coalesce((SELECT through_in FROM ledger.seal ORDER BY seq DESC LIMIT 1), '0'),
        coalesce((SELECT through_id FROM ledger.seal ORDER BY seq DESC LIMIT 1),
                 '00000000-0000-0000-0000-000000000000'))
"""
# Every seal, for few months lie in few of them only where the clocks were right.
_LEAVES: Final = "SELECT leaves FROM ledger.seal ORDER BY seq"
_RECORD: Final = """
    INSERT INTO ledger.archive (name, first_id, end_id, entries, digest, archived_at)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (name) DO UPDATE SET entries = excluded.entries, digest = excluded.digest,
        archived_at = excluded.archived_at, restored_at = NULL
"""
_COLUMNS: Final = (
    *("id", "kind", "operation_id", "payment_id", "posted_at", "written_in"),
    *("accounts", "currencies", "amounts_minor"),
)


async def archive_months(
    connection: Any, folder: Path, *, now: datetime, kept_months: int = KEPT_MONTHS
) -> list[Archive]:
    """Move every month that is older than `kept_months` whole ones; returns those that left.

    Raises MonthKept for one that must stay, ColdFileDamaged or OSError for its file; those before it are gone
    then, it and those after it are not.
    """
    cut = await connection.fetchval(_CUT, now, kept_months)
    old = [row for row in await connection.fetch(_OLD) if row["end_id"].bytes <= cut.bytes]
    return [await _archive(connection, folder, row, now) for row in old]


async def restore_month(connection: Any, folder: Path, name: str, *, now: datetime) -> Archive:
    """Put a month back; its file stays. Raises MonthKept, ColdFileDamaged."""
    archive = await find_archive(connection, name)
    async with connection.transaction():
        # No more than one of these at a time, and no month made anew meanwhile.
        await connection.execute("SELECT pg_advisory_xact_lock('ledger.entry'::regclass::bigint)")
        await connection.execute(f"CREATE TABLE ledger.{name} (LIKE ledger.entry INCLUDING ALL)")
        for batch in _batches(read_month(archive.file(folder), expected=archive.digest)):
            await connection.executemany(
                f"INSERT INTO ledger.{name} ({', '.join(_COLUMNS)})"  # noqa: S608 - a name that was matched
                " VALUES ($1, $2, $3, $4, $5, $6::text::xid8, $7, $8, $9)",
                [_row(entry) for entry in batch],
            )
        await connection.execute(
            f"ALTER TABLE ledger.entry ATTACH PARTITION ledger.{name}"
            f" FOR VALUES FROM ('{archive.first_id}') TO ('{archive.end_id}')"
        )
        await connection.execute("SELECT ledger.close_to_change($1::text::regclass)", f"ledger.{name}")
        await connection.execute("UPDATE ledger.archive SET restored_at = $2 WHERE name = $1", name, now)
    return archive


async def find_archive(connection: Any, name: str) -> Archive:
    """Return a month in cold storage; raises MonthKept if it is not there."""
    for archive in await read_archives(connection):
        if archive.name == name:
            return archive
    raise MonthKept(f"not in cold storage: {name}")


async def _archive(connection: Any, folder: Path, row: Any, now: datetime) -> Archive:
    name: str = row["name"]
    if unsealed := await connection.fetchval(_UNSEALED.format(name=name)):
        raise MonthKept(f"not every entry is sealed: {name}, {unsealed} are not")
    file = folder / f"{name}{SUFFIX}"
    async with (
        connection.transaction(isolation="repeatable_read", readonly=True),
        aclosing(stream_live(connection, table=f"ledger.{name}")) as entries,
    ):
        trailer = await write_month(file, entries)
    archive = Archive(name, row["first_id"], row["end_id"], trailer.entries, trailer.digest)
    await _read_back(connection, archive, file)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock('ledger.entry'::regclass::bigint)")
        await connection.execute(f"ALTER TABLE ledger.entry DETACH PARTITION ledger.{name}")
        if await connection.fetchval(f"SELECT count(*) FROM ledger.{name}") != trailer.entries:  # noqa: S608
            raise MonthKept(f"entries were added while it was written: {name}")
        await connection.execute(f"DROP TABLE ledger.{name}")
        await connection.execute(
            _RECORD, name, archive.first_id, archive.end_id, trailer.entries, trailer.digest, now
        )
    return archive


async def _read_back(connection: Any, archive: Archive, file: Path) -> None:
    """Compare the file with the seals, leaf by leaf; raises MonthKept at the first difference."""
    written = (entry.leaf() for entry in read_month(file, expected=archive.digest))
    first, end = archive.first_id.bytes, archive.end_id.bytes
    async with connection.transaction():
        async for row in connection.cursor(_LEAVES, prefetch=10):
            for leaf in _split(row["leaves"]):
                if first <= leaf[:16] < end and leaf != next(written, None):
                    raise MonthKept(f"differs from what was sealed: {archive.name}; run verify")
    if next(written, None) is not None:
        raise MonthKept(f"holds more than what was sealed: {archive.name}; run verify")


def _split(leaves: bytes) -> Iterator[bytes]:
    return (leaves[i : i + LEAF_BYTES] for i in range(0, len(leaves), LEAF_BYTES))


def _batches(entries: Iterable[StoredEntry]) -> Iterator[Sequence[StoredEntry]]:
    batch: list[StoredEntry] = []
    for entry in entries:
        batch.append(entry)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    yield batch


def _row(entry: StoredEntry) -> tuple[object, ...]:
    return (
        *(entry.id, entry.kind, entry.operation_id, entry.payment_id, entry.posted_at, str(entry.written_in)),
        *(entry.accounts, entry.currencies, entry.amounts_minor),
    )
