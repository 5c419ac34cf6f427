"""What the adapters of both dialects share: a table of endpoints, a request and an answer."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import aiohttp

from refpay.errors import InvariantViolation
from refpay.money import Money
from refpay.providers.errors import ProviderOutcomeUnknown
from refpay.providers.http import (
    Credential,
    ProviderResponse,
    credential_header,
    raise_for_refusal,
    send_request,
)
from refpay.providers.port import Answer, Call, CallKind, ProviderResult
from refpay.settings import ProviderSettings


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The endpoint of an operation: its path, the field for its subject, and the status that means done.

    `reference_field` is the field of the provider's own reference of the operation.
    """

    path: str
    subject_field: str
    done_status: str
    reference_field: str = "id"


class Adapter(ABC):
    """Speaks to acquirers of one dialect."""

    endpoints: ClassVar[Mapping[CallKind, Endpoint]]
    lookup_path: ClassVar[str]
    credential: ClassVar[Credential]

    def __init__(self, session: aiohttp.ClientSession, settings: ProviderSettings) -> None:
        self._session = session
        self._url = settings.url
        self._headers = credential_header(self.credential, settings)
        self.name = settings.name

    @abstractmethod
    def describe(self, call: Call, money: Money, about: Mapping[str, str]) -> Mapping[str, Any]:
        """Return the arguments of a request; `about` is its subject under the dialect's own name."""

    @abstractmethod
    def read(self, answer: ProviderResponse, kind: CallKind, *, asked: Call | None = None) -> Answer:
        """Return the answer of a successful response; `asked` is the query it answers.

        Raises ProviderOutcomeUnknown.
        """

    async def perform(self, call: Call) -> Answer:
        """Perform or query the operation."""
        if call.kind is CallKind.QUERY:
            return await self._query(call)
        if call.money is None:
            raise InvariantViolation(f"call without an amount: {call.key}")
        endpoint = self.endpoints[call.kind]
        values = {CallKind.AUTHORIZE: call.card_token, CallKind.PAYOUT: call.beneficiary}
        about = {endpoint.subject_field: values.get(call.kind, call.parent)}
        answer = await self._send("POST", endpoint.path, **self.describe(call, call.money, about))
        if answer.status == 422:
            return Answer(ProviderResult.REFUSED)
        raise_for_refusal(answer)
        return self.read(answer, call.kind)

    async def _query(self, call: Call) -> Answer:
        answer = await self._send("GET", f"{self.lookup_path}/{call.key}")
        # A bare 404 may come from a proxy. Only the acquirer's own error code counts.
        if answer.status == 404 and answer.body.get("error") == "unknown_key":
            return Answer(ProviderResult.UNKNOWN_KEY)
        raise_for_refusal(answer)
        kind = answer.body.get("kind")
        if kind not in list(self.endpoints):
            raise ProviderOutcomeUnknown("provider's answer lacks kind")
        return self.read(answer, CallKind(kind), asked=call)

    async def _send(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **request: Any
    ) -> ProviderResponse:
        headers = {**self._headers, **(headers or {})}
        return await send_request(self._session, method, self._url + path, headers=headers, **request)
