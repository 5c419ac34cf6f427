"""Recompute a hash chain independently of the database: pure functions over entries and seals in order.

An entry is a ledger entry or an audit record. This shares nothing with the database's `ledger.seal_entries`
and `audit.seal_events` but the format, so that one bug cannot hide in both.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol
from uuid import UUID

GENESIS: Final = bytes(32)
LEAF_BYTES: Final = 48
_NUMBER_MAXIMUM: Final = 2**62
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# The positions before and after every entry.
FIRST: Final = (0, bytes(16))
LAST: Final = (2**64 - 1, b"\xff" * 16)


class DefectKind(StrEnum):
    """The kind of a chain defect."""

    ENTRY_DIFFERS = "entry_differs"
    ENTRY_MISSING = "entry_missing"
    ENTRY_ADDED = "entry_added"
    SEAL_DIFFERS = "seal_differs"
    SEAL_MISSING = "seal_missing"
    SEAL_UNEXPECTED = "seal_unexpected"
    HEAD_UNKNOWN = "head_unknown"
    BALANCE_DIFFERS = "balance_differs"
    CURRENCY_UNBALANCED = "currency_unbalanced"
    POSTED_DIFFERS = "posted_differs"
    ENTRY_UNEXPLAINED = "entry_unexplained"
    FILE_DIFFERS = "file_differs"


@dataclass(frozen=True, slots=True)
class ChainDefect:
    """One place that is not as it was sealed; `subject` names the entry, seal, account or file."""

    kind: DefectKind
    subject: str
    seq: int | None = None


class Entry(Protocol):
    """What a chain is of: a ledger entry or an audit record, as it is stored."""

    @property
    def place(self) -> tuple[int, bytes]:
        """Return its position in the order of sealing."""
        ...

    def leaf(self) -> bytes:
        """Return id and digest as a seal keeps them."""
        ...


@dataclass(frozen=True, slots=True)
class Seal:
    """A seal over a run of entries, chained to the seal before it."""

    seq: int
    entries: int
    through_in: int
    through_id: UUID
    leaves: bytes
    previous: bytes
    digest: bytes

    @property
    def place(self) -> tuple[int, bytes]:
        """Return the position of its last entry."""
        return self.through_in, self.through_id.bytes

    @property
    def head(self) -> str:
        """Return its number and digest, as `verify` takes and prints them."""
        return f"{self.seq}:{self.digest.hex()}"

    @property
    def is_possible(self) -> bool:
        """Return whether a seal can be there. With larger numbers a query would fail, again and again."""
        numbered = 0 < self.seq < _NUMBER_MAXIMUM and 0 <= self.through_in < _NUMBER_MAXIMUM
        return numbered and len(self.digest) == len(GENESIS)

    def computed(self) -> bytes:
        """Return the digest that it must have."""
        inner = hashlib.sha256(self.leaves).digest()
        return hashlib.sha256(self.previous + self.seq.to_bytes(8, "big", signed=True) + inner).digest()

    def leaf_list(self) -> list[bytes]:
        """Return id and digest of each entry, in order."""
        return [self.leaves[i : i + LEAF_BYTES] for i in range(0, len(self.leaves), LEAF_BYTES)]


def check_link(seal: Seal, *, seq: int, previous: bytes) -> list[ChainDefect]:
    """Return the defects of a seal by itself; `seq` and `previous` are those that must come next."""
    if seal.seq != seq:
        return [ChainDefect(DefectKind.SEAL_MISSING, str(seq), seq)]
    whole = len(seal.leaves) == LEAF_BYTES * seal.entries and seal.entries > 0
    # The last leaf proves where the seal ends, so the end cannot be changed without the leaves.
    closed = seal.leaves[-LEAF_BYTES:][:16] == seal.through_id.bytes
    if whole and closed and seal.previous == previous and seal.digest == seal.computed():
        return []
    return [ChainDefect(DefectKind.SEAL_DIFFERS, str(seal.seq), seal.seq)]


def check_run(
    seal: Seal, run: Sequence[bytes], elsewhere: Sequence[tuple[UUID, UUID]] = ()
) -> list[ChainDefect]:
    """Compare a seal with the leaves of the stored entries and return the defects in order.

    An entry that is missing is no defect if its id lies in one of the id ranges `elsewhere`, second id
    excluded.
    """
    if b"".join(run) == seal.leaves:
        return []
    there = {leaf[:16]: leaf for leaf in run}
    sealed = seal.leaf_list()
    findings = []
    for leaf in sealed:
        found, entry_id = there.get(leaf[:16]), UUID(bytes=leaf[:16])
        if found is None:
            if not lies_in(leaf, elsewhere):
                findings.append(ChainDefect(DefectKind.ENTRY_MISSING, str(entry_id), seal.seq))
        elif found != leaf:
            findings.append(ChainDefect(DefectKind.ENTRY_DIFFERS, str(entry_id), seal.seq))
    known = {leaf[:16] for leaf in sealed}
    findings += [
        ChainDefect(DefectKind.ENTRY_ADDED, str(UUID(bytes=leaf[:16])), seal.seq)
        for leaf in run
        if leaf[:16] not in known
    ]
    return findings


def lies_in(leaf: bytes, ranges: Sequence[tuple[UUID, UUID]]) -> bool:
    """Return whether an entry's id lies in one of the id ranges, the second id of each excluded."""
    return any(first.bytes <= leaf[:16] < end.bytes for first, end in ranges)


def count_microseconds(at: datetime | None) -> int | None:
    """Return an instant in microseconds of Unix time, as digested texts have it.

    None is what only somebody who went round the rules can have written.
    """
    return None if at is None else (at - EPOCH) // timedelta(microseconds=1)
