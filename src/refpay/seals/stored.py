"""Say what a chain is in the database, and read its seals."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from uuid import UUID

from refpay.seals.chain import Entry, Seal

# More entries are never in one seal that the service makes.
SEALED_MAXIMUM: Final = 2_000
_SEALS: Final = """
    SELECT seq, entries, through_in::text::bigint AS through_in, through_id, leaves, previous, digest
    FROM {table} WHERE seq >= $1 ORDER BY seq
"""


class StreamEntries(Protocol):
    """Yields the stored entries between two positions in the order of sealing, the first one excluded."""

    def __call__(
        self, connection: Any, *, after: tuple[int, bytes], through: tuple[int, bytes]
    ) -> AsyncIterator[Entry]:
        """The connection has to be in a transaction."""
        ...


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of seals. `seals` is its table, `seal` takes an instant and how many entries at most.

    `read_moved` returns the id ranges of entries that are rightly not in the database any more, the second id
    of each excluded.
    """

    name: str
    seals: str
    seal: str
    stream_entries: StreamEntries
    read_moved: Callable[[Any], Awaitable[Sequence[tuple[UUID, UUID]]]]


async def stream_seals(connection: Any, table: str, *, first: int = 1) -> AsyncIterator[Seal]:
    """Yield seals in order. The connection has to be in a transaction."""
    # Few at a time: the leaves of one seal may take hundreds of kilobytes.
    async for row in connection.cursor(_SEALS.format(table=table), first, prefetch=10):
        yield Seal(**row)


async def read_head(connection: Any, table: str) -> str | None:
    """Return number and digest of the newest seal, or None if there is none."""
    head: str | None = await connection.fetchval(
        f"SELECT seq || ':' || encode(digest, 'hex') FROM {table} ORDER BY seq DESC LIMIT 1"  # noqa: S608 - ours
    )
    return head


async def read_digest(connection: Any, table: str, seq: int) -> bytes | None:
    """Return the digest of a seal, or None if there is no such seal."""
    digest: bytes | None = await connection.fetchval(f"SELECT digest FROM {table} WHERE seq = $1", seq)  # noqa: S608
    return digest
