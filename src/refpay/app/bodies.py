"""The request bodies and queries; unknown keys are refused, and nothing in a body is converted."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from refpay.money import MAXIMUM_MINOR

AmountMinor = Annotated[
    int, Field(ge=1, le=MAXIMUM_MINOR, description="Minor units of the payment's currency.")
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class AuthorizeBody(_Body):
    """A new charge."""

    merchant_reference: Annotated[str, Field(pattern=r"^[!-~]{1,128}$")]
    amount_minor: AmountMinor
    currency: Literal["EUR", "USD", "JPY", "KWD"]
    card_token: Annotated[str, Field(pattern=r"^tok_[45][0-9]{5}_[0-9a-f]{4,64}$")]


class CaptureBody(_Body):
    """A capture; without an amount, of all that was authorized."""

    amount_minor: AmountMinor | None = None


class RefundBody(_Body):
    """A refund of a part of what was captured, or of all."""

    amount_minor: AmountMinor


Reason = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]


class ReasonBody(_Body):
    """Why a lever is pulled; it goes on the audit record."""

    reason: Reason


class NoQuery(BaseModel):
    """No query at all."""

    model_config = ConfigDict(extra="forbid", frozen=True)
