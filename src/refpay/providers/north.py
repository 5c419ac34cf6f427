"""Dialect north: JSON, bearer key, integer minor units, idempotency key in a header; reports as JSON."""

from collections.abc import Mapping
from typing import Any, ClassVar

from refpay.money import Money
from refpay.providers.adapter import Adapter, Endpoint
from refpay.providers.errors import ProviderOutcomeUnknown
from refpay.providers.http import ProviderResponse, require_text
from refpay.providers.port import Answer, Call, CallKind, DeclineCode, ProviderResult
from refpay.providers.report_source import ReportSource, read_report


class NorthAdapter(Adapter):
    """Speaks to acquirers of dialect north."""

    credential = ("Authorization", "Bearer {}")
    endpoints: ClassVar = {
        CallKind.AUTHORIZE: Endpoint("/v1/authorizations", "card_token", "approved"),
        CallKind.CAPTURE: Endpoint("/v1/captures", "authorization", "captured"),
        CallKind.REFUND: Endpoint("/v1/refunds", "capture", "refunded"),
        CallKind.VOID: Endpoint("/v1/voids", "authorization", "voided"),
        CallKind.PAYOUT: Endpoint("/v1/payouts", "beneficiary", "paid"),
    }
    lookup_path = "/v1/operations"

    def describe(self, call: Call, money: Money, about: Mapping[str, str]) -> Mapping[str, Any]:
        """Return the JSON body and the idempotency header of an operation."""
        amount = {"amount": money.amount_minor, "currency": money.currency.value}
        return {
            "json": {"reference": call.reference, **amount, **about},
            "headers": {"Idempotency-Key": str(call.key)},
        }

    def read(self, answer: ProviderResponse, kind: CallKind, *, asked: Call | None = None) -> Answer:
        """Return the answer of a successful response."""
        if asked is not None and answer.body.get("key") != str(asked.key):
            raise ProviderOutcomeUnknown("provider's answer is about another key")
        status = require_text(answer, "status")
        endpoint = self.endpoints[kind]
        if status == endpoint.done_status:
            return Answer(
                ProviderResult.DONE, provider_reference=require_text(answer, endpoint.reference_field)
            )
        if status == "refused" and asked is not None:
            return Answer(ProviderResult.REFUSED)
        # Only an authorization has an issuer that could decline it.
        if status == "declined" and kind is CallKind.AUTHORIZE:
            code = answer.body.get("decline_code")
            known = DeclineCode(code) if code in list(DeclineCode) else DeclineCode.OTHER
            return Answer(ProviderResult.DECLINED, decline_code=known)
        raise ProviderOutcomeUnknown("provider's answer has a status that its contract does not know")


class NorthReports(ReportSource):
    """Reads the reports of acquirers of dialect north."""

    path = "/v1/settlement-reports"
    credential = NorthAdapter.credential
    read = staticmethod(read_report)
