"""The request bodies and queries; unknown keys are refused, and nothing in a body is converted."""

import hashlib
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from refpay.app.errors import CursorInvalid
from refpay.audit.events import SubjectKind
from refpay.db.paging import Span
from refpay.encoding import encode
from refpay.money import AmountMinor
from refpay.payments.model import PaymentStatus

_DIGEST_BYTES: Final = 8
PATTERN: Final = r"^[A-Za-z0-9_-]{32}$"
MerchantReference = Annotated[str, Field(pattern=r"^[!-~]{1,128}$")]
_Currency = Literal["EUR", "USD", "JPY", "KWD"]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class AuthorizeBody(_Body):
    """A new charge."""

    merchant_reference: MerchantReference
    amount_minor: AmountMinor
    currency: _Currency
    card_token: Annotated[str, Field(pattern=r"^tok_[45][0-9]{5}_[0-9a-f]{4,64}$")]


class CaptureBody(_Body):
    """A capture; without an amount, of all that was authorized."""

    amount_minor: AmountMinor | None = None


class VoidBody(_Body):
    """Nothing: what is left of an authorization is released as a whole."""


class RefundBody(_Body):
    """A refund of a part of what was captured, or of all."""

    amount_minor: AmountMinor


class PayoutBody(_Body):
    """A payout of what the merchant is owed."""

    merchant_reference: MerchantReference
    amount_minor: AmountMinor
    currency: _Currency


# What no text of the database holds is not looked for there.
_TEXT: Final = r"^[^\x00]*$"


Reason = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]


class TokenForm(_Body):
    """A request for a token by client credentials (RFC 6749, section 4.4)."""

    grant_type: Literal["client_credentials"]
    scope: str | None = None
    client_id: str | None = None
    client_secret: str | None = None


class ReasonBody(_Body):
    """Why a lever is pulled; it goes on the audit record."""

    reason: Reason


class NoQuery(BaseModel):
    """No query at all."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _read_instant(text: object) -> datetime:
    if not isinstance(text, str) or not _RFC_3339.fullmatch(text):
        raise ValueError("allowed: an instant of RFC 3339, as in 2026-01-31T12:00:00Z")
    instant = datetime.fromisoformat(text)
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        # On the first or the last day there is.
        return instant.replace(tzinfo=UTC)


_RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
Instant = Annotated[datetime, BeforeValidator(_read_instant)]


def make_cursor(position: UUID, listing: Mapping[str, object]) -> str:
    """Return the cursor of a position; `listing` says whose it is and by which filters.

    It is no secret and needs no key: whatever it says, a query shows a caller its own rows alone.
    The digest keeps a cursor from being taken for one of other filters.
    """
    return urlsafe_b64encode(position.bytes + _digest(position, listing)).decode()


def read_cursor(cursor: str | None, listing: Mapping[str, object]) -> UUID | None:
    """Return where to go on; raises CursorInvalid for what was not made of this listing."""
    if cursor is None:
        return None
    raw = urlsafe_b64decode(cursor)
    position = UUID(bytes=raw[:16])
    if raw[16:] != _digest(position, listing):
        raise CursorInvalid("cursor: allowed: `next` of the page before, with the same filters")
    return position


def _digest(position: UUID, listing: Mapping[str, object]) -> bytes:
    said = "\n".join(f"{name}={value!r}" for name, value in sorted(listing.items()))
    return hashlib.sha256(f"{position}\n{said}".encode()).digest()[:_DIGEST_BYTES]


class _PageQuery(NoQuery):
    limit: int = Field(50, ge=1, le=100)
    cursor: str | None = Field(None, pattern=PATTERN, description="`next` of the page before.")

    def span(self, owner: str, begin: datetime | None, end: datetime | None) -> Span:
        """Return which page of this owner's listing is asked for; raises CursorInvalid."""
        return Span(read_cursor(self.cursor, self._listing(owner)), self.limit, begin, end)

    def page(self, owner: str, name: str, shown: Sequence[object], last: UUID | None) -> bytes:
        """Return a page as JSON; `last` is after what the next one goes on, if there is more."""
        return encode({name: shown, "next": last and make_cursor(last, self._listing(owner))})

    def _listing(self, owner: str) -> dict[str, object]:
        """Return what a cursor is good for: whose listing, and by which filters."""
        return {"owner": owner, **self.model_dump(exclude={"limit", "cursor"})}


class PaymentsQuery(_PageQuery):
    """Which payments."""

    status: PaymentStatus | None = None
    merchant_reference: MerchantReference | None = None
    created_from: Instant | None = None
    created_to: Instant | None = Field(None, description="Not itself part of the span.")


class AuditQuery(_PageQuery):
    """Which audit records."""

    subject_kind: SubjectKind | None = None
    subject_id: str | None = Field(None, min_length=1, max_length=256, pattern=_TEXT)
    actor: str | None = Field(None, min_length=1, max_length=128, pattern=_TEXT)
    at_from: Instant | None = None
    at_to: Instant | None = Field(None, description="Not itself part of the span.")


class BalancesQuery(NoQuery):
    """Which balances, and of when."""

    as_of: Instant | None = Field(None, description="Of all that was posted until then; now if absent.")
    account: str | None = Field(
        None, min_length=1, max_length=256, pattern=_TEXT, description="This one alone."
    )
    limit: int = Field(50, ge=1, le=100, description="Accounts of a page.")
    after: str = Field("", max_length=256, pattern=_TEXT, description="`next` of the page before.")
