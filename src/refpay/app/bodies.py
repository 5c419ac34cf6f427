"""Define the request bodies and queries. Unknown keys are refused and values are never converted."""

import hashlib
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from refpay.app.errors import CursorInvalid
from refpay.audit.events import SubjectKind
from refpay.db.paging import PageRequest
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
    """A new authorization."""

    merchant_reference: MerchantReference
    amount_minor: AmountMinor
    currency: _Currency
    card_token: Annotated[str, Field(pattern=r"^tok_[45][0-9]{5}_[0-9a-f]{4,64}$")]


class CaptureBody(_Body):
    """A capture. Without an amount it takes all that is left of the authorization."""

    amount_minor: AmountMinor | None = None


class VoidBody(_Body):
    """An empty body: a void releases all that is left of an authorization."""


class RefundBody(_Body):
    """A refund of all or a part of what was captured."""

    amount_minor: AmountMinor


class PayoutBody(_Body):
    """A payout of money that the merchant is owed."""

    merchant_reference: MerchantReference
    amount_minor: AmountMinor
    currency: _Currency


# The database stores no NUL in a text, so none is searched for.
_TEXT: Final = r"^[^\x00]*$"


Reason = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]


class TokenForm(_Body):
    """A request for a token by client credentials (RFC 6749, section 4.4)."""

    grant_type: Literal["client_credentials"]
    scope: str | None = None
    client_id: str | None = None
    client_secret: str | None = None


class ReasonBody(_Body):
    """The reason for an operator action, which goes on the audit record."""

    reason: Reason


class NoQuery(BaseModel):
    """An empty query."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _read_instant(text: object) -> datetime:
    if not isinstance(text, str) or not _RFC_3339.fullmatch(text):
        raise ValueError("allowed: an instant of RFC 3339, as in 2026-01-31T12:00:00Z")
    instant = datetime.fromisoformat(text)
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        # The first or the last day of the calendar.
        return instant.replace(tzinfo=UTC)


_RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
Instant = Annotated[datetime, BeforeValidator(_read_instant)]


def make_cursor(position: UUID, listing: Mapping[str, object]) -> str:
    """Return the cursor for a position in a list.

    `listing` identifies the list: its owner and its filters. The cursor is not secret and not signed,
    because a query only ever shows a caller its own rows. Its digest detects a cursor that is used with
    other filters.
    """
    return urlsafe_b64encode(position.bytes + _digest(position, listing)).decode()


def read_cursor(cursor: str | None, listing: Mapping[str, object]) -> UUID | None:
    """Return the position that a cursor holds; raises CursorInvalid if the cursor belongs to another list."""
    if cursor is None:
        return None
    raw = urlsafe_b64decode(cursor)
    position = UUID(bytes=raw[:16])
    if raw[16:] != _digest(position, listing):
        raise CursorInvalid("The cursor has to be `next` of the previous page, with the same filters.")
    return position


def _digest(position: UUID, listing: Mapping[str, object]) -> bytes:
    said = "\n".join(f"{name}={value!r}" for name, value in sorted(listing.items()))
    return hashlib.sha256(f"{position}\n{said}".encode()).digest()[:_DIGEST_BYTES]


def _read_limit(text: object) -> object:
    if isinstance(text, str):
        if not _DIGITS.fullmatch(text):
            raise ValueError("allowed: a valid integer, in digits alone")
        return int(text)
    return text


_DIGITS: Final = re.compile("0|[1-9][0-9]{0,8}")
_Limit = Annotated[int, BeforeValidator(_read_limit), Field(ge=1, le=100)]


def _require_spelling(text: str) -> str:
    try:
        known = str(UUID(text.strip()))
    except ValueError:
        return text
    if text != known:
        raise ValueError("an id is a UUID in lower case with hyphens")
    return text


class _PageQuery(NoQuery):
    limit: _Limit = 50
    cursor: str | None = Field(None, pattern=PATTERN, description="`next` of the previous page.")

    def page_request(self, owner: str, begin: datetime | None, end: datetime | None) -> PageRequest:
        """Return the page that is asked for; raises CursorInvalid."""
        return PageRequest(read_cursor(self.cursor, self._listing(owner)), self.limit, begin, end)

    def page(self, owner: str, name: str, shown: Sequence[object], last: UUID | None) -> bytes:
        """Return a page as JSON.

        `last` is the id after which the next page begins, None if this is the last page.
        """
        return encode({name: shown, "next": last and make_cursor(last, self._listing(owner))})

    def _listing(self, owner: str) -> dict[str, object]:
        """Return what a cursor is bound to: the owner of the list and its filters."""
        return {"owner": owner, **self.model_dump(exclude={"limit", "cursor"})}


class PaymentsQuery(_PageQuery):
    """Filters for payments."""

    status: PaymentStatus | None = None
    merchant_reference: MerchantReference | None = None
    created_from: Instant | None = None
    created_to: Instant | None = Field(None, description="Exclusive.")


class AuditQuery(_PageQuery):
    """Filters for audit records."""

    subject_kind: SubjectKind | None = None
    subject_id: Annotated[str, AfterValidator(_require_spelling)] | None = Field(
        None, min_length=1, max_length=256, pattern=_TEXT, description="An id in the spelling of its answers."
    )
    actor: str | None = Field(None, min_length=1, max_length=128, pattern=_TEXT)
    at_from: Instant | None = None
    at_to: Instant | None = Field(None, description="Exclusive.")


class BalancesQuery(NoQuery):
    """Filters for balances, and the instant they are read at."""

    as_of: Instant | None = Field(None, description="Balances at this instant; now if absent.")
    account: str | None = Field(
        None, min_length=1, max_length=256, pattern=_TEXT, description="Only this account."
    )
    limit: _Limit = Field(50, description="Accounts per page.")
    after: str = Field("", max_length=256, pattern=_TEXT, description="`next` of the previous page.")
