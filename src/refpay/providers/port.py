"""The port of providers: one call, one answer. Adapters translate it, decorators wrap it."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from refpay.money import Money


class CallKind(StrEnum):
    """What a provider is asked to do."""

    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    REFUND = "refund"
    VOID = "void"
    PAYOUT = "payout"
    QUERY = "query"


class ProviderResult(StrEnum):
    """A definitive result. UNKNOWN_KEY answers queries only; REFUSED is final for its key."""

    DONE = "done"
    DECLINED = "declined"
    REFUSED = "refused"
    UNKNOWN_KEY = "unknown_key"


class DeclineCode(StrEnum):
    """Why an issuer declined."""

    INSUFFICIENT_FUNDS = "insufficient_funds"
    DO_NOT_HONOR = "do_not_honor"
    SUSPECTED_FRAUD = "suspected_fraud"
    ISSUER_UNAVAILABLE = "issuer_unavailable"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Call:
    """One operation to be performed or queried.

    `key` identifies the operation at the provider and never changes; `attempt` counts from 1. `parent` is
    the provider's reference of the authorization (capture, void) or of the capture (refund); a void's `money`
    is what is left of the authorization. A payout has a `beneficiary` instead: the merchant. Nothing is sent
    after `deadline`. A query needs the key and the deadline alone.
    """

    kind: CallKind
    key: UUID
    deadline: datetime
    reference: str = ""
    money: Money | None = None
    card_token: str = field(default="", repr=False)
    parent: str = ""
    beneficiary: str = ""
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """A provider's definitive answer."""

    result: ProviderResult
    provider_reference: str | None = None
    decline_code: DeclineCode | None = None


class Provider(Protocol):
    """Anything that answers calls: an adapter, a decorator around one, a fake."""

    @property
    def name(self) -> str:
        """Return the provider's id."""
        ...

    async def perform(self, call: Call) -> Answer:
        """Perform or query the operation.

        Raises ProviderRefused if nothing happened and ProviderOutcomeUnknown if that is not known.
        """
        ...
