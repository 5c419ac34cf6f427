"""Streams entries and seals in the order of sealing, out of the live ledger and cold storage as one book."""

import heapq
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from refpay.ledger.chain import Seal, StoredEntry
from refpay.ledger.cold import SUFFIX, read_month

FIRST: Final = (0, bytes(16))
LAST: Final = (2**64 - 1, b"\xff" * 16)
_PAGE: Final = 1_000
# Where the last seal ends; what stands after it is in none.
SEALED_END: Final = """(
    coalesce((SELECT through_in FROM ledger.seal ORDER BY seq DESC LIMIT 1), '0'),
    coalesce((SELECT through_id FROM ledger.seal ORDER BY seq DESC LIMIT 1),
             '00000000-0000-0000-0000-000000000000'))
"""

_ENTRIES: Final = """
    SELECT written_in::text::bigint AS written_in, id, kind, operation_id, payment_id, posted_at, accounts,
           currencies, amounts_minor
    FROM {table}
    WHERE (written_in, id) > ($1::text::xid8, $2) AND (written_in, id) <= ($3::text::xid8, $4)
    ORDER BY {table}.written_in, id
"""
_SEALS: Final = """
    SELECT seq, entries, through_in::text::bigint AS through_in, through_id, leaves, previous, digest
    FROM ledger.seal WHERE seq >= $1 ORDER BY seq
"""
_ARCHIVES: Final = """
    SELECT name, first_id, end_id, entries, digest FROM ledger.archive WHERE restored_at IS NULL ORDER BY name
"""


@dataclass(frozen=True, slots=True)
class Archive:
    """A month in cold storage; its ids are `first_id` up to but not `end_id`."""

    name: str
    first_id: UUID
    end_id: UUID
    entries: int
    digest: bytes

    def file(self, folder: Path) -> Path:
        """Return where it is."""
        return folder / f"{self.name}{SUFFIX}"


async def read_archives(connection: Any) -> Sequence[Archive]:
    """Return what has left the live ledger."""
    return [Archive(**row) for row in await connection.fetch(_ARCHIVES)]


async def stream_seals(connection: Any, *, first: int = 1) -> AsyncGenerator[Seal, None]:
    """Yield seals; the connection has to be in a transaction."""
    # Few at a time: the leaves of one may be some hundred kilobytes.
    async for row in connection.cursor(_SEALS, first, prefetch=10):
        yield Seal(**row)


async def stream_live(
    connection: Any,
    *,
    after: tuple[int, bytes] = FIRST,
    through: tuple[int, bytes] = LAST,
    table: str = "ledger.entry",
) -> AsyncGenerator[StoredEntry, None]:
    """Yield what stands in the live ledger or one table of it; the connection has to be in a transaction."""
    bounds = (str(after[0]), UUID(bytes=after[1]), str(through[0]), UUID(bytes=through[1]))
    async for row in connection.cursor(_ENTRIES.format(table=table), *bounds, prefetch=_PAGE):
        yield StoredEntry(**row)


async def stream_book(
    connection: Any, archives: Sequence[Archive], folder: Path | None
) -> AsyncGenerator[StoredEntry, None]:
    """Yield every entry, the archived ones out of `folder` unless there is none; raises ColdFileDamaged."""
    cold = iter(()) if folder is None else _merge(archives, folder)
    waiting = next(cold, None)
    async for entry in stream_live(connection):
        while waiting is not None and waiting.place < entry.place:
            yield waiting
            waiting = next(cold, None)
        yield entry
    while waiting is not None:
        yield waiting
        waiting = next(cold, None)


def _merge(archives: Sequence[Archive], folder: Path) -> Iterator[StoredEntry]:
    months = [read_month(archive.file(folder), expected=archive.digest) for archive in archives]
    return heapq.merge(*months, key=lambda entry: entry.place)
