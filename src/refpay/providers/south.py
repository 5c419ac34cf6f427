"""Dialect south: forms, idempotency key in a field, decimal major units, numeric response codes."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from refpay.money import Money
from refpay.providers.adapter import Adapter, Endpoint
from refpay.providers.errors import ProviderOutcomeUnknown
from refpay.providers.http import ProviderResponse, require_text
from refpay.providers.port import Answer, Call, CallKind, DeclineCode, ProviderResult

# ISO 8583 response codes.
_REASONS: Final = {
    "51": DeclineCode.INSUFFICIENT_FUNDS,
    "05": DeclineCode.DO_NOT_HONOR,
    "59": DeclineCode.SUSPECTED_FRAUD,
    "91": DeclineCode.ISSUER_UNAVAILABLE,
}


class SouthAdapter(Adapter):
    """Speaks to acquirers of dialect south."""

    credential = ("X-Api-Key", "{}")
    endpoints: ClassVar = {
        CallKind.AUTHORIZE: Endpoint("/gateway/authorise", "cardToken", "AUTHORISED", "authCode"),
        CallKind.CAPTURE: Endpoint("/gateway/settle", "authCode", "SETTLED", "settlementId"),
        CallKind.REFUND: Endpoint("/gateway/refund", "settlementId", "REFUNDED", "refundId"),
        CallKind.VOID: Endpoint("/gateway/cancel", "authCode", "CANCELLED", "cancelId"),
        CallKind.PAYOUT: Endpoint("/gateway/payout", "payee", "PAID", "payoutId"),
    }
    lookup_path = "/gateway/transactions"

    def describe(self, call: Call, money: Money, about: Mapping[str, str]) -> Mapping[str, Any]:
        """Return the form fields of an operation."""
        names = {"transactionRef": str(call.key), "orderRef": call.reference}
        amount = {"amount": money.to_major(), "currency": money.currency.value}
        return {"data": {**names, **amount, **about}}

    def read(self, answer: ProviderResponse, kind: CallKind, *, asked: Call | None = None) -> Answer:
        """Return the answer of a successful response."""
        state = require_text(answer, "result" if asked is None else "state")
        endpoint = self.endpoints[kind]
        if state == endpoint.done_status:
            return Answer(
                ProviderResult.DONE, provider_reference=require_text(answer, endpoint.reference_field)
            )
        if state != "REFUSED":
            raise ProviderOutcomeUnknown("provider's answer has a state that its contract does not know")
        # Other operations have no issuer that could decline them: the acquirer refused.
        if kind is not CallKind.AUTHORIZE:
            return Answer(ProviderResult.REFUSED)
        reason = answer.body.get("reason")
        code = _REASONS.get(reason, DeclineCode.OTHER) if isinstance(reason, str) else DeclineCode.OTHER
        return Answer(ProviderResult.DECLINED, decline_code=code)
