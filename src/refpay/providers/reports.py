"""Settlement reports in our own terms: notices, lines and whole reports."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AliasChoices, Field

from refpay.clock import Instant
from refpay.errors import RefpayError
from refpay.money import MAXIMUM_MINOR, Currency, Money

NOTICES_MAXIMUM: Final = 200
# Values as a provider may state them.
Count = Annotated[int, Field(strict=True, ge=0, le=MAXIMUM_MINOR)]
_Amount = Annotated[int, Field(strict=True, ge=1, le=MAXIMUM_MINOR)]
_Label = Annotated[str, Field(pattern=r"^[!-~]{1,128}$")]
_Start = Annotated[Instant, Field(validation_alias="from")]
_End = Annotated[Instant, Field(validation_alias="to")]


class ReportInvalid(RefpayError, code="report_invalid", status=502):
    """The settlement report cannot be used."""

    # Nothing of it is imported.


class ReportReplayed(ReportInvalid, code="report_replayed"):
    """The settlement report is another one's."""

    # Its content belongs to a report with another number.


class MovementKind(StrEnum):
    """The kind of a movement, which says in which direction the money went."""

    CAPTURE = "capture"
    REFUND = "refund"
    CHARGEBACK = "chargeback"
    CHARGEBACK_REVERSAL = "chargeback_reversal"


_OWED: Final = (MovementKind.CAPTURE, MovementKind.CHARGEBACK_REVERSAL)
CHARGEBACKS: Final = (MovementKind.CHARGEBACK, MovementKind.CHARGEBACK_REVERSAL)


@dataclass(frozen=True, slots=True)
class ReportAnnouncement:
    """The announcement of a report. The period is [start, end), the digest SHA-256 in hexadecimal."""

    sequence: Annotated[Count, Field(validation_alias=AliasChoices("sequence", "number"))]
    start: _Start
    end: _End
    due: Instant
    digest: Annotated[
        str, Field(pattern=r"^[0-9a-f]{64}$", validation_alias=AliasChoices("digest", "sha256"))
    ]


@dataclass(frozen=True, slots=True)
class ReportLine:
    """One movement in the provider's book. `key` is ours if all is well, `movement` is theirs.

    A chargeback and its reversal carry the key of the capture that they are about, and one `movement`.
    The fee is in the movement's own currency, whatever the movement is settled in.
    """

    key: _Label
    movement: Annotated[_Label, Field(validation_alias="id")]
    reference: _Label
    kind: MovementKind
    amount_minor: Annotated[_Amount, Field(validation_alias="amount")]
    currency: Currency
    fee_minor: Annotated[Count, Field(validation_alias="fee")]
    at: Instant
    settled_currency: Currency | None = None
    settled_minor: Annotated[_Amount | None, Field(validation_alias="settled_amount")] = None

    def __post_init__(self) -> None:
        if (self.settled_currency is None) != (self.settled_minor is None):
            raise ValueError("settled_currency and settled_amount: one of them is missing")
        if self.settled_currency is self.currency and self.settled_minor != self.amount_minor:
            raise ValueError("settled_amount: is not the amount, in the same currency")

    @property
    def sign(self) -> int:
        """Return 1 if the movement adds to the provider's debt to us, -1 if it reduces it."""
        return 1 if self.kind in _OWED else -1

    @property
    def signed_minor(self) -> int:
        """Return the amount that the movement adds to the provider's debt to us."""
        return self.sign * self.amount_minor

    @property
    def settled(self) -> Money | None:
        """Return the money that is settled instead; None if it is settled in its own currency."""
        if self.settled_currency is None or self.settled_minor is None:
            return None
        return Money(self.settled_minor, self.settled_currency)


@dataclass(frozen=True, slots=True)
class SettlementReport:
    """A whole report whose control totals agree with its lines."""

    sequence: Count
    start: _Start
    end: _End
    lines: Sequence[ReportLine]

    def lines_digest(self) -> str | None:
        """Return a digest of the lines alone.

        Return None without lines, because all such reports are alike.
        """
        if not self.lines:
            return None
        digest = hashlib.sha256()
        for line in self.lines:
            digest.update(repr((line.key, line.movement, line.kind.value, line.at.timestamp())).encode())
        return digest.hexdigest()
