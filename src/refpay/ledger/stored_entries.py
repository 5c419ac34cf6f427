"""Define a ledger entry as it is stored, and what its seal keeps of it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from refpay.seals.chain import count_microseconds


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry as it is stored. Its content is not checked: what was tampered with need not be valid."""

    written_in: int
    id: UUID
    kind: str
    operation_id: UUID
    payment_id: UUID | None
    posted_at: datetime
    accounts: Sequence[str | None]
    currencies: Sequence[str | None]
    amounts_minor: Sequence[int | None]

    @property
    def place(self) -> tuple[int, bytes]:
        """Return its position in the order of sealing."""
        return self.written_in, self.id.bytes

    @property
    def posted_at_us(self) -> int | None:
        """Return the instant of posting in microseconds of Unix time."""
        return count_microseconds(self.posted_at)

    def leaf(self) -> bytes:
        """Return id and digest as a seal keeps them.

        The digested text is that of SQL's `ledger.entry_text`.
        """
        lines = " ".join(
            json.dumps(list(part), separators=(",", ":"), ensure_ascii=False)
            for part in (self.accounts, self.currencies, self.amounts_minor)
        )
        ids = (self.written_in, self.id, self.kind, self.operation_id, self.payment_id or "-")
        text = f"{' '.join(map(str, ids))} {self.posted_at_us} {lines}"
        return self.id.bytes + hashlib.sha256(text.encode()).digest()
