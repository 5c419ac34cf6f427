"""The port of settlement reports: what a provider announces, serves and states, in our own terms."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from refpay.errors import RefpayError
from refpay.money import Currency

NOTICES_MAXIMUM: Final = 200
REPORT_MAXIMUM_BYTES: Final = 20_000_000


class ReportInvalid(RefpayError, code="report_invalid", status=502):
    """The settlement report cannot be used."""

    # Nothing of it is taken over.


class ReportReplayed(ReportInvalid, code="report_replayed"):
    """The settlement report is another one's."""

    # Served under one number, and the content belongs to another.


class MovementKind(StrEnum):
    """Which way the money went."""

    CAPTURE = "capture"
    REFUND = "refund"
    CHARGEBACK = "chargeback"
    CHARGEBACK_REVERSAL = "chargeback_reversal"


_OWED: Final = (MovementKind.CAPTURE, MovementKind.CHARGEBACK_REVERSAL)
CHARGEBACKS: Final = (MovementKind.CHARGEBACK, MovementKind.CHARGEBACK_REVERSAL)


@dataclass(frozen=True, slots=True)
class ReportNotice:
    """What a provider announces: the period is [start, end), the digest SHA-256 in hexadecimal."""

    sequence: int
    start: datetime
    end: datetime
    due: datetime
    digest: str


@dataclass(frozen=True, slots=True)
class ReportLine:
    """One movement in the provider's book; `key` is ours if all is well, `movement` is theirs.

    A chargeback and its reversal carry the key of the capture that they are about, and one `movement`.
    """

    key: str
    movement: str
    reference: str
    kind: MovementKind
    amount_minor: int
    currency: Currency
    fee_minor: int
    at: datetime

    @property
    def signed_minor(self) -> int:
        """Return what the movement adds to the provider's debt to us."""
        return self.amount_minor if self.kind in _OWED else -self.amount_minor


@dataclass(frozen=True, slots=True)
class Report:
    """A whole report whose control totals agree with its lines."""

    sequence: int
    start: datetime
    end: datetime
    lines: Sequence[ReportLine]

    def lines_digest(self) -> str | None:
        """Return a digest of the lines alone; None if there are none, since all such reports are alike."""
        if not self.lines:
            return None
        digest = hashlib.sha256()
        for line in self.lines:
            digest.update(repr((line.key, line.movement, line.kind.value, line.at.timestamp())).encode())
        return digest.hexdigest()


class ReportSource(Protocol):
    """Where a provider's reports come from.

    `notices` and `fetch` raise ProviderError when the provider does not answer as agreed; `fetch` and
    `read` raise ReportInvalid for a report that is too large, cut off or wrong in itself.
    """

    @property
    def name(self) -> str:
        """Return the provider's id."""
        ...

    async def notices(self, *, after: int, limit: int) -> Sequence[ReportNotice]:
        """Return what is announced with a sequence over `after`, ascending, at most `limit`."""
        ...

    async def fetch(self, sequence: int) -> bytes:
        """Return a report as it is served."""
        ...

    def read(self, body: bytes) -> Report:
        """Return what a served report says."""
        ...
