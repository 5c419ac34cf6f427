"""The chain over the audit trail: what is sealed and how, and how all of it is verified."""

import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from refpay.seals.chain import FIRST, LAST, count_microseconds
from refpay.seals.stored import Chain
from refpay.seals.verification import VerificationReport, walk_chain

CHECK: Final = "audit_chain"
_PAGE: Final = 1_000
_EVENTS: Final = """
    SELECT written_in::text::bigint AS written_in, id, seq, at, actor, action, subject_kind, subject_id,
           before::text AS before, after::text AS after, correlation_id
    FROM audit.event
    WHERE (written_in, id) > ($1::text::xid8, $2) AND (written_in, id) <= ($3::text::xid8, $4)
    ORDER BY event.written_in, event.id
"""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An audit record as it is stored; `before` and `after` are the text that PostgreSQL gives."""

    written_in: int
    id: UUID
    seq: int
    at: datetime
    actor: str
    action: str
    subject_kind: str
    subject_id: str
    before: str | None
    after: str
    correlation_id: str

    @property
    def place(self) -> tuple[int, bytes]:
        """Return its position in the order of sealing."""
        return self.written_in, self.id.bytes

    def leaf(self) -> bytes:
        """Return id and digest as a seal keeps them.

        The digested text is that of SQL's `audit.event_text`.
        """
        said = (self.actor, self.action, self.subject_kind, self.subject_id, self.before, self.after)
        ids = (str(self.written_in), str(self.id), self.seq, count_microseconds(self.at))
        text = json.dumps([*ids, *said, self.correlation_id], ensure_ascii=False)
        return self.id.bytes + hashlib.sha256(text.encode()).digest()


async def stream_events(
    connection: Any, *, after: tuple[int, bytes] = FIRST, through: tuple[int, bytes] = LAST
) -> AsyncIterator[StoredEvent]:
    """Yield audit records in the order of sealing. The connection has to be in a transaction."""
    bounds = (str(after[0]), UUID(bytes=after[1]), str(through[0]), UUID(bytes=through[1]))
    async for row in connection.cursor(_EVENTS, *bounds, prefetch=_PAGE):
        yield StoredEvent(**row)


async def _read_moved(_connection: Any) -> Sequence[tuple[UUID, UUID]]:
    """Return nothing: audit records stay in the database."""
    return ()


AUDIT: Final = Chain(
    name="audit",
    seals="audit.seal",
    seal="SELECT audit.seal_events($1, $2)",
    stream_entries=stream_events,
    read_moved=_read_moved,
)


async def verify_trail(
    connection: Any, *, kept: Path | None = None, expected: str | None = None
) -> VerificationReport:
    """Verify the whole audit trail as of one instant.

    The connection has to be in a repeatable-read transaction. `kept` is the log of seals outside the
    database, `expected` a head that was told before.
    """
    report = VerificationReport()
    await walk_chain(report, connection, AUDIT.seals, stream_events(connection), kept=kept, expected=expected)
    return report
