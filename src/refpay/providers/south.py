"""Dialect south: forms, key in a field, decimal major units, numeric reasons."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from refpay.money import Money
from refpay.providers.adapter import Adapter, Words
from refpay.providers.errors import ProviderSilent
from refpay.providers.http import Exchange, require_text
from refpay.providers.port import Answer, Call, CallKind, DeclineCode, Verdict

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
    words: ClassVar = {
        CallKind.AUTHORIZE: Words("/gateway/authorise", "cardToken", "AUTHORISED", "authCode"),
        CallKind.CAPTURE: Words("/gateway/settle", "authCode", "SETTLED", "settlementId"),
        CallKind.REFUND: Words("/gateway/refund", "settlementId", "REFUNDED", "refundId"),
        CallKind.VOID: Words("/gateway/cancel", "authCode", "CANCELLED", "cancelId"),
        CallKind.PAYOUT: Words("/gateway/payout", "payee", "PAID", "payoutId"),
    }
    lookup_path = "/gateway/transactions"

    def describe(self, call: Call, money: Money, about: Mapping[str, str]) -> Mapping[str, Any]:
        """Return the form of an operation."""
        names = {"transactionRef": str(call.key), "orderRef": call.reference}
        amount = {"amount": money.to_major(), "currency": money.currency.value}
        return {"data": {**names, **amount, **about}}

    def read(self, answer: Exchange, kind: CallKind, *, asked: Call | None = None) -> Answer:
        """Return what a success says."""
        state = require_text(answer, "result" if asked is None else "state")
        words = self.words[kind]
        if state == words.done:
            return Answer(Verdict.DONE, provider_reference=require_text(answer, words.reference))
        if state != "REFUSED":
            raise ProviderSilent("provider's answer has a state that its contract does not know")
        # The others have no issuer to decline them: the acquirer itself said no.
        if kind is not CallKind.AUTHORIZE:
            return Answer(Verdict.REFUSED)
        reason = answer.body.get("reason")
        code = _REASONS.get(reason, DeclineCode.OTHER) if isinstance(reason, str) else DeclineCode.OTHER
        return Answer(Verdict.DECLINED, decline_code=code)
