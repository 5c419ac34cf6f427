"""Cold storage: one file a month, gzip over JSON Lines, whose last line proves the ones before it."""

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from refpay.ledger.chain import EPOCH, StoredEntry
from refpay.ledger.errors import ColdFileDamaged

SUFFIX: Final = ".jsonl.gz"
_FORMAT: Final = "refpay-ledger-1"
_FIELDS: Final = (
    *("written_in", "id", "kind", "operation_id", "payment_id", "posted_at_us"),
    *("accounts", "currencies", "amounts_minor"),
)
_LINE_MAXIMUM_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Trailer:
    """What closes a file; `digest` is the SHA-256 of every line of an entry, its end included."""

    entries: int
    digest: bytes


async def write_month(file: Path, entries: AsyncIterator[StoredEntry]) -> Trailer:
    """Write a month in the order of sealing, all or nothing, and synced; raises OSError."""
    part = file.with_name(file.name + ".part")
    digest, count = hashlib.sha256(), 0
    with part.open("wb") as raw:
        # Without a time in its head: the same entries make the same file.
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
    return Trailer(count, digest.digest())


def read_month(file: Path, *, expected: bytes | None = None) -> Iterator[StoredEntry]:
    """Yield a month's entries in the order of sealing.

    Raises ColdFileDamaged where the file is not as it was written, at the latest after its last entry:
    nothing is known of an entry before all were read. `expected` is the digest that the ledger keeps of it.
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
