"""Dialect south: forms, key in a field, decimal major units, numeric reasons."""

from collections.abc import Mapping
from typing import Final

import aiohttp

from refpay.errors import InvariantViolation
from refpay.providers.errors import ProviderSilent
from refpay.providers.http import Exchange, exchange, raise_for_refusal, require_text
from refpay.providers.port import Answer, Call, CallKind, DeclineCode, Verdict
from refpay.settings import ProviderSettings

_PATHS: Final = {
    CallKind.AUTHORIZE: "/gateway/authorise",
    CallKind.CAPTURE: "/gateway/settle",
    CallKind.REFUND: "/gateway/refund",
    CallKind.VOID: "/gateway/cancel",
    CallKind.PAYOUT: "/gateway/payout",
}
_DONE: Final = {
    CallKind.AUTHORIZE: ("AUTHORISED", "authCode"),
    CallKind.CAPTURE: ("SETTLED", "settlementId"),
    CallKind.REFUND: ("REFUNDED", "refundId"),
    CallKind.VOID: ("CANCELLED", "cancelId"),
    CallKind.PAYOUT: ("PAID", "payoutId"),
}
# ISO 8583 response codes.
_REASONS: Final = {
    "51": DeclineCode.INSUFFICIENT_FUNDS,
    "05": DeclineCode.DO_NOT_HONOR,
    "59": DeclineCode.SUSPECTED_FRAUD,
    "91": DeclineCode.ISSUER_UNAVAILABLE,
}


class SouthAdapter:
    """Speaks to acquirers of dialect south."""

    def __init__(self, session: aiohttp.ClientSession, settings: ProviderSettings) -> None:
        self._session = session
        self._url = settings.url
        self._headers = {"X-Api-Key": settings.api_key}
        self.name = settings.name

    async def perform(self, call: Call) -> Answer:
        """Do or look up the operation."""
        if call.kind is CallKind.QUERY:
            return await self._query(call)
        answer = await exchange(
            self._session, "POST", self._url + _PATHS[call.kind], data=_describe(call), headers=self._headers
        )
        if answer.status == 422:
            return Answer(Verdict.REFUSED)
        raise_for_refusal(answer)
        return _read(answer, call.kind, "result")

    async def _query(self, call: Call) -> Answer:
        answer = await exchange(
            self._session, "GET", f"{self._url}/gateway/transactions/{call.key}", headers=self._headers
        )
        # A bare 404 may come from anything on the way; only the acquirer's own word counts.
        if answer.status == 404 and answer.body.get("error") == "unknown_key":
            return Answer(Verdict.UNKNOWN_KEY)
        raise_for_refusal(answer)
        kind = answer.body.get("kind")
        if kind not in list(_DONE):
            raise ProviderSilent("provider's answer lacks kind")
        return _read(answer, CallKind(kind), "state")


def _describe(call: Call) -> Mapping[str, str]:
    if call.money is None:
        raise InvariantViolation(f"call without an amount: {call.key}")
    form = {
        "transactionRef": str(call.key),
        "orderRef": call.reference,
        "amount": call.money.to_major(),
        "currency": call.money.currency.value,
    }
    match call.kind:
        case CallKind.AUTHORIZE:
            form["cardToken"] = call.card_token
        case CallKind.CAPTURE | CallKind.VOID:
            form["authCode"] = call.parent
        case CallKind.PAYOUT:
            form["payee"] = call.beneficiary
        case _:
            form["settlementId"] = call.parent
    return form


def _read(answer: Exchange, kind: CallKind, field: str) -> Answer:
    state = require_text(answer, field)
    done, reference = _DONE[kind]
    if state == done:
        return Answer(Verdict.DONE, provider_reference=require_text(answer, reference))
    if state != "REFUSED":
        raise ProviderSilent("provider's answer has a state that its contract does not know")
    if kind is CallKind.AUTHORIZE:
        reason = answer.body.get("reason")
        code = _REASONS.get(reason, DeclineCode.OTHER) if isinstance(reason, str) else DeclineCode.OTHER
        return Answer(Verdict.DECLINED, decline_code=code)
    # The others have no issuer to decline them: the acquirer itself said no.
    return Answer(Verdict.REFUSED)
