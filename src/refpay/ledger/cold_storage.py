"""Read the ledger in the order of sealing, out of the live tables and cold storage as one.

Cold storage is one file a month, gzip over JSON Lines, whose last line proves the lines before it.
"""

import gzip
import hashlib
import heapq
import json
import os
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from refpay.ledger.errors import ColdFileDamaged
from refpay.ledger.stored_entries import StoredEntry
from refpay.seals.chain import EPOCH, FIRST, LAST

# The table of the ledger's seals.
SEALS: Final = "ledger.seal"
SUFFIX: Final = ".jsonl.gz"
_FORMAT: Final = "refpay-ledger-1"
_FIELDS: Final = (
    "written_in",
    "id",
    "kind",
    "operation_id",
    "payment_id",
    "posted_at_us",
    "accounts",
    "currencies",
    "amounts_minor",
)
_LINE_MAXIMUM_BYTES: Final = 64 * 1024
_PAGE: Final = 1_000
# The end of the last seal. Entries after it are not sealed.
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
_ARCHIVES: Final = """
    SELECT name, first_id, end_id, entries, digest FROM ledger.archive WHERE restored_at IS NULL ORDER BY name
"""


@dataclass(frozen=True, slots=True)
class Archive:
    """A month in cold storage. Its ids run from `first_id` up to, and not including, `end_id`."""

    name: str
    first_id: UUID
    end_id: UUID
    entries: int
    digest: bytes

    def file(self, folder: Path) -> Path:
        """Return the path of its file."""
        return folder / f"{self.name}{SUFFIX}"


async def write_month(file: Path, entries: AsyncIterator[StoredEntry]) -> tuple[int, bytes]:
    """Write a month in the order of sealing, all or nothing, and synced to disk. Raises OSError.

    Returns the number of entries and the SHA-256 of all their lines, line ends included.
    """
    part = file.with_name(file.name + ".part")
    digest, count = hashlib.sha256(), 0
    with part.open("wb") as raw:
        # No time in the header, so that the same entries give the same file.
        with gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0) as packed:
            packed.write(json.dumps(_head(file)).encode() + b"\n")
            async for entry in entries:
                line = _line(entry)
                digest.update(line)
                packed.write(line)
                count += 1
            packed.write(json.dumps({"entries": count, "sha256": digest.hexdigest()}).encode() + b"\n")
        raw.flush()
        os.fsync(raw.fileno())
    part.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return count, digest.digest()


def read_month(file: Path, *, expected: bytes | None = None) -> Iterator[StoredEntry]:
    """Yield a month's entries in the order of sealing.

    Raises ColdFileDamaged if the file is not as it was written, at the latest after its last entry; no entry
    is proven before all were read. `expected` is the digest that the ledger keeps of the file.
    """
    digest, count, last = hashlib.sha256(), 0, b""
    try:
        with gzip.open(file, "rb") as packed:
            head = json.loads(packed.readline(_LINE_MAXIMUM_BYTES))
            if head != _head(file):
                raise ColdFileDamaged(f"not the file of this month: {file}")
            while line := packed.readline(_LINE_MAXIMUM_BYTES):
                if last:
                    digest.update(last)
                    count += 1
                    yield _entry(json.loads(last))
                last = line
        trailer = json.loads(last)
    except (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error) as problem:
        raise ColdFileDamaged(f"cannot be read: {file} ({type(problem).__name__})") from problem
    if trailer != {"entries": count, "sha256": digest.hexdigest()}:
        raise ColdFileDamaged(f"does not end as it was written: {file}")
    if expected is not None and expected != digest.digest():
        raise ColdFileDamaged(f"is another file than the one that was archived: {file}")


def _head(file: Path) -> dict[str, str]:
    return {"format": _FORMAT, "month": file.name.removesuffix(SUFFIX)}


def _line(entry: StoredEntry) -> bytes:
    value = {name: getattr(entry, name) for name in _FIELDS}
    return json.dumps(value, separators=(",", ":"), default=str).encode() + b"\n"


def _entry(value: dict[str, Any]) -> StoredEntry:
    value["id"], value["operation_id"] = UUID(value["id"]), UUID(value["operation_id"])
    value["payment_id"] = None if value["payment_id"] is None else UUID(value["payment_id"])
    value["posted_at"] = EPOCH + timedelta(microseconds=value.pop("posted_at_us"))
    return StoredEntry(**value)


async def read_archives(connection: Any) -> Sequence[Archive]:
    """Return the months that have left the live ledger."""
    return [Archive(**row) for row in await connection.fetch(_ARCHIVES)]


async def stream_live(
    connection: Any,
    *,
    after: tuple[int, bytes] = FIRST,
    through: tuple[int, bytes] = LAST,
    table: str = "ledger.entry",
) -> AsyncGenerator[StoredEntry, None]:
    """Yield the entries of the live ledger, or of one table of it.

    The connection has to be in a transaction.
    """
    bounds = (str(after[0]), UUID(bytes=after[1]), str(through[0]), UUID(bytes=through[1]))
    async for row in connection.cursor(_ENTRIES.format(table=table), *bounds, prefetch=_PAGE):
        yield StoredEntry(**row)


async def stream_ledger(
    connection: Any, archives: Sequence[Archive], folder: Path | None
) -> AsyncGenerator[StoredEntry, None]:
    """Yield every entry, the archived ones from `folder` if one is given. Raises ColdFileDamaged."""
    months = [read_month(one.file(folder), expected=one.digest) for one in archives] if folder else []
    cold = heapq.merge(*months, key=lambda entry: entry.place)
    waiting = next(cold, None)
    async for entry in stream_live(connection):
        while waiting is not None and waiting.place < entry.place:
            yield waiting
            waiting = next(cold, None)
        yield entry
    while waiting is not None:
        yield waiting
        waiting = next(cold, None)
