"""Dialect north: JSON, bearer key, integer minor units, the key in a header; reports in the plain form."""

from collections.abc import Mapping
from typing import Any, ClassVar

from refpay.money import Money
from refpay.providers.adapter import Adapter, Words
from refpay.providers.errors import ProviderSilent
from refpay.providers.http import Exchange, require_text
from refpay.providers.port import Answer, Call, CallKind, DeclineCode, Verdict
from refpay.providers.report_source import ReportSource, read_report


class NorthAdapter(Adapter):
    """Speaks to acquirers of dialect north."""

    credential = ("Authorization", "Bearer {}")
    words: ClassVar = {
        CallKind.AUTHORIZE: Words("/v1/authorizations", "card_token", "approved"),
        CallKind.CAPTURE: Words("/v1/captures", "authorization", "captured"),
        CallKind.REFUND: Words("/v1/refunds", "capture", "refunded"),
        CallKind.VOID: Words("/v1/voids", "authorization", "voided"),
        CallKind.PAYOUT: Words("/v1/payouts", "beneficiary", "paid"),
    }
    lookup_path = "/v1/operations"

    def describe(self, call: Call, money: Money, about: Mapping[str, str]) -> Mapping[str, Any]:
        """Return the JSON of an operation, and its key."""
        amount = {"amount": money.amount_minor, "currency": money.currency.value}
        return {
            "json": {"reference": call.reference, **amount, **about},
            "headers": {"Idempotency-Key": str(call.key)},
        }

    def read(self, answer: Exchange, kind: CallKind, *, asked: Call | None = None) -> Answer:
        """Return what a success says."""
        if asked is not None and answer.body.get("key") != str(asked.key):
            raise ProviderSilent("provider's answer is about another key")
        status = require_text(answer, "status")
        words = self.words[kind]
        if status == words.done:
            return Answer(Verdict.DONE, provider_reference=require_text(answer, words.reference))
        if status == "refused" and asked is not None:
            return Answer(Verdict.REFUSED)
        # Only an authorization has an issuer that could decline it.
        if status == "declined" and kind is CallKind.AUTHORIZE:
            code = answer.body.get("decline_code")
            known = DeclineCode(code) if code in list(DeclineCode) else DeclineCode.OTHER
            return Answer(Verdict.DECLINED, decline_code=known)
        raise ProviderSilent("provider's answer has a status that its contract does not know")


class NorthReports(ReportSource):
    """Reads the reports of acquirers of dialect north."""

    path = "/v1/settlement-reports"
    credential = NorthAdapter.credential
    read = staticmethod(read_report)
