"""Dialect north: JSON, bearer key, integer minor units, the key in a header."""

from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from refpay.errors import InvariantViolation
from refpay.providers.errors import ProviderSilent
from refpay.providers.http import Exchange, exchange, raise_for_refusal, require_text
from refpay.providers.port import Answer, Call, CallKind, DeclineCode, Verdict
from refpay.settings import ProviderSettings

_PATHS: Final = {
    CallKind.AUTHORIZE: "/v1/authorizations",
    CallKind.CAPTURE: "/v1/captures",
    CallKind.REFUND: "/v1/refunds",
    CallKind.VOID: "/v1/voids",
    CallKind.PAYOUT: "/v1/payouts",
}
_DONE: Final = {
    CallKind.AUTHORIZE: "approved",
    CallKind.CAPTURE: "captured",
    CallKind.REFUND: "refunded",
    CallKind.VOID: "voided",
    CallKind.PAYOUT: "paid",
}


class NorthAdapter:
    """Speaks to acquirers of dialect north."""

    def __init__(self, session: aiohttp.ClientSession, settings: ProviderSettings) -> None:
        self._session = session
        self._url = settings.url
        self._headers = {"Authorization": f"Bearer {settings.api_key}"}
        self.name = settings.name

    async def perform(self, call: Call) -> Answer:
        """Do or look up the operation."""
        if call.kind is CallKind.QUERY:
            return await self._query(call)
        answer = await exchange(
            self._session,
            "POST",
            self._url + _PATHS[call.kind],
            json=_describe(call),
            headers={**self._headers, "Idempotency-Key": str(call.key)},
        )
        if answer.status == 422:
            return Answer(Verdict.REFUSED)
        raise_for_refusal(answer)
        return _read(answer, call.kind)

    async def _query(self, call: Call) -> Answer:
        answer = await exchange(
            self._session, "GET", f"{self._url}/v1/operations/{call.key}", headers=self._headers
        )
        # A bare 404 may come from anything on the way; only the acquirer's own word counts.
        if answer.status == 404 and answer.body.get("error") == "unknown_key":
            return Answer(Verdict.UNKNOWN_KEY)
        raise_for_refusal(answer)
        if answer.body.get("key") != str(call.key):
            raise ProviderSilent("provider's answer is about another key")
        if answer.body.get("status") == "refused":
            return Answer(Verdict.REFUSED)
        kind = answer.body.get("kind")
        if kind not in list(_DONE):
            raise ProviderSilent("provider's answer lacks kind")
        return _read(answer, CallKind(kind))


def _describe(call: Call) -> Mapping[str, Any]:
    if call.money is None:
        raise InvariantViolation(f"call without an amount: {call.key}")
    body: dict[str, Any] = {
        "reference": call.reference,
        "amount": call.money.amount_minor,
        "currency": call.money.currency.value,
    }
    match call.kind:
        case CallKind.AUTHORIZE:
            body["card_token"] = call.card_token
        case CallKind.CAPTURE | CallKind.VOID:
            body["authorization"] = call.parent
        case CallKind.PAYOUT:
            body["beneficiary"] = call.beneficiary
        case _:
            body["capture"] = call.parent
    return body


def _read(answer: Exchange, kind: CallKind) -> Answer:
    status = require_text(answer, "status")
    if status == _DONE[kind]:
        return Answer(Verdict.DONE, provider_reference=require_text(answer, "id"))
    # Only an authorization has an issuer that could decline it.
    if status == "declined" and kind is CallKind.AUTHORIZE:
        code = answer.body.get("decline_code")
        return Answer(
            Verdict.DECLINED,
            decline_code=DeclineCode(code) if code in list(DeclineCode) else DeclineCode.OTHER,
        )
    raise ProviderSilent("provider's answer has a status that its contract does not know")
