"""Apply the ledger's retention policy: move old months to cold storage and back, as the database's owner.

A month leaves only when every entry of it is sealed and its file was read back and compared with the seals.
Its table is dropped and its record written in one transaction, so that an entry is always in one of the two
places. One command runs at a time.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import astuple, fields
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from refpay.ledger.cold_storage import (
    SEALED_END,
    SEALS,
    SUFFIX,
    Archive,
    read_archives,
    read_month,
    stream_live,
    write_month,
)
from refpay.ledger.errors import MonthNotMoved
from refpay.ledger.stored_entries import StoredEntry
from refpay.seals.stored import stream_seals

KEPT_MONTHS: Final = 24
# The name of a partition gives its bounds. The default partition is not a month.
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
_RECORD: Final = """
    INSERT INTO ledger.archive (name, first_id, end_id, entries, digest, archived_at)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (name) DO UPDATE SET entries = excluded.entries, digest = excluded.digest,
        archived_at = excluded.archived_at, restored_at = NULL
"""
_COLUMNS: Final = tuple(field.name for field in fields(StoredEntry))


async def archive_months(
    connection: Any, folder: Path, *, now: datetime, kept_months: int = KEPT_MONTHS
) -> list[Archive]:
    """Move every month older than `kept_months` whole months, and return those that were moved.

    Raises MonthNotMoved for a month that must stay, ColdFileDamaged or OSError for its file. The months
    before it have been moved then; it and those after it have not.
    """
    async with _alone(connection):
        cut = await connection.fetchval(_CUT, now, kept_months)
        old = [row for row in await connection.fetch(_OLD) if row["end_id"].bytes <= cut.bytes]
        return [await _archive(connection, folder, row, now) for row in old]


async def restore_month(connection: Any, folder: Path, name: str, *, now: datetime) -> Archive:
    """Put a month back; its file stays. Raises MonthNotMoved or ColdFileDamaged."""
    async with _alone(connection):
        archive = await find_archive(connection, name)
        async with _changing_months(connection):
            await connection.execute(f"CREATE TABLE ledger.{name} (LIKE ledger.entry INCLUDING ALL)")
            await connection.copy_records_to_table(
                name,
                schema_name="ledger",
                columns=_COLUMNS,
                records=map(attrgetter(*_COLUMNS), read_month(archive.file(folder), expected=archive.digest)),
            )
            await connection.execute(
                f"ALTER TABLE ledger.entry ATTACH PARTITION ledger.{name}"
                f" FOR VALUES FROM ('{archive.first_id}') TO ('{archive.end_id}')"
            )
            await connection.execute("SELECT ledger.close_to_change($1::text::regclass)", f"ledger.{name}")
            await connection.execute("UPDATE ledger.archive SET restored_at = $2 WHERE name = $1", name, now)
    return archive


async def find_archive(connection: Any, name: str) -> Archive:
    """Return a month in cold storage. Raises MonthNotMoved if it is not there."""
    for archive in await read_archives(connection):
        if archive.name == name:
            return archive
    raise MonthNotMoved(f"not in cold storage: {name}")


async def _archive(connection: Any, folder: Path, row: Any, now: datetime) -> Archive:
    name: str = row["name"]
    unsealed = await connection.fetchval(
        f"SELECT count(*) FROM ledger.{name} WHERE (written_in, id) > {SEALED_END}"  # noqa: S608 - a name of ours
    )
    if unsealed:
        raise MonthNotMoved(f"not every entry is sealed: {name}, {unsealed} are not")
    file = folder / f"{name}{SUFFIX}"
    async with (
        connection.transaction(isolation="repeatable_read", readonly=True),
        aclosing(stream_live(connection, table=f"ledger.{name}")) as entries,
    ):
        count, digest = await write_month(file, entries)
    archive = Archive(name, row["first_id"], row["end_id"], count, digest)
    await _read_back(connection, archive, file)
    async with _changing_months(connection):
        await connection.execute(f"ALTER TABLE ledger.entry DETACH PARTITION ledger.{name}")
        if await connection.fetchval(f"SELECT count(*) FROM ledger.{name}") != count:  # noqa: S608 - a name of ours
            raise MonthNotMoved(f"entries were added while it was written: {name}")
        await connection.execute(f"DROP TABLE ledger.{name}")
        await connection.execute(_RECORD, *astuple(archive), now)
    return archive


async def _read_back(connection: Any, archive: Archive, file: Path) -> None:
    """Compare the file with the seals, leaf by leaf. Raises MonthNotMoved at the first difference."""
    written = (entry.leaf() for entry in read_month(file, expected=archive.digest))
    first, end = archive.first_id.bytes, archive.end_id.bytes
    async with connection.transaction():
        # Every seal is read: only if all clocks were right does a month lie in few of them.
        async for seal in stream_seals(connection, SEALS):
            for leaf in seal.leaf_list():
                if first <= leaf[:16] < end and leaf != next(written, None):
                    raise MonthNotMoved(f"differs from what was sealed: {archive.name}; run verify")
    if next(written, None) is not None:
        raise MonthNotMoved(f"holds more than what was sealed: {archive.name}; run verify")


@asynccontextmanager
async def _alone(connection: Any) -> AsyncIterator[None]:
    """Keep other commands from moving months meanwhile. Raises MonthNotMoved if another one is doing so."""
    if not await connection.fetchval("SELECT pg_try_advisory_lock('ledger.archive'::regclass::bigint)"):
        raise MonthNotMoved("another command is moving months: ask again when it has ended")
    try:
        yield
    finally:
        await connection.execute("SELECT pg_advisory_unlock('ledger.archive'::regclass::bigint)")


@asynccontextmanager
async def _changing_months(connection: Any) -> AsyncIterator[None]:
    """Begin a transaction during which the worker creates no new month."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock('ledger.entry'::regclass::bigint)")
        yield
