"""The port of settlement reports: what a provider announces, serves and states, in our own terms."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AliasChoices, Field

from refpay.clock import Instant
from refpay.errors import RefpayError
from refpay.money import MAXIMUM_MINOR, Currency

NOTICES_MAXIMUM: Final = 200
# As a provider may state them.
Count = Annotated[int, Field(strict=True, ge=0, le=MAXIMUM_MINOR)]
_Amount = Annotated[int, Field(strict=True, ge=1, le=MAXIMUM_MINOR, validation_alias="amount")]
_Label = Annotated[str, Field(pattern=r"^[!-~]{1,128}$")]
_Start = Annotated[Instant, Field(validation_alias="from")]
_End = Annotated[Instant, Field(validation_alias="to")]


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

    sequence: Annotated[Count, Field(validation_alias=AliasChoices("sequence", "number"))]
    start: _Start
    end: _End
    due: Instant
    digest: Annotated[
        str, Field(pattern=r"^[0-9a-f]{64}$", validation_alias=AliasChoices("digest", "sha256"))
    ]


@dataclass(frozen=True, slots=True)
class ReportLine:
    """One movement in the provider's book; `key` is ours if all is well, `movement` is theirs.

    A chargeback and its reversal carry the key of the capture that they are about, and one `movement`.
    """

    key: _Label
    movement: Annotated[_Label, Field(validation_alias="id")]
    reference: _Label
    kind: MovementKind
    amount_minor: _Amount
    currency: Currency
    fee_minor: Annotated[Count, Field(validation_alias="fee")]
    at: Instant

    @property
    def signed_minor(self) -> int:
        """Return what the movement adds to the provider's debt to us."""
        return self.amount_minor if self.kind in _OWED else -self.amount_minor


@dataclass(frozen=True, slots=True)
class Report:
    """A whole report whose control totals agree with its lines."""

    sequence: Count
    start: _Start
    end: _End
    lines: Sequence[ReportLine]

    def lines_digest(self) -> str | None:
        """Return a digest of the lines alone; None if there are none, since all such reports are alike."""
        if not self.lines:
            return None
        digest = hashlib.sha256()
        for line in self.lines:
            digest.update(repr((line.key, line.movement, line.kind.value, line.at.timestamp())).encode())
        return digest.hexdigest()
