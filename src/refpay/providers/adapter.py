"""What the adapters of both dialects share: a dialect is a table of words, a request and an answer."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import aiohttp

from refpay.errors import InvariantViolation
from refpay.money import Money
from refpay.providers.errors import ProviderSilent
from refpay.providers.http import Credential, Exchange, exchange, raise_for_refusal, say_who
from refpay.providers.port import Answer, Call, CallKind, Verdict
from refpay.settings import ProviderSettings


@dataclass(frozen=True, slots=True)
class Words:
    """What an operation is called: its path, the field for what it is about, the word for done.

    `reference` is the field of the provider's own reference of it.
    """

    path: str
    about: str
    done: str
    reference: str = "id"


class Adapter(ABC):
    """Speaks to acquirers of one dialect."""

    words: ClassVar[Mapping[CallKind, Words]]
    lookup_path: ClassVar[str]
    credential: ClassVar[Credential]

    def __init__(self, session: aiohttp.ClientSession, settings: ProviderSettings) -> None:
        self._session = session
        self._url = settings.url
        self._headers = say_who(self.credential, settings)
        self.name = settings.name

    @abstractmethod
    def describe(self, call: Call, money: Money, about: Mapping[str, str]) -> Mapping[str, Any]:
        """Return the arguments of a request, with what it is `about` under the dialect's own name."""

    @abstractmethod
    def read(self, answer: Exchange, kind: CallKind, *, asked: Call | None = None) -> Answer:
        """Return what a success says; `asked` is the query it answers. Raises ProviderSilent."""

    async def perform(self, call: Call) -> Answer:
        """Do or look up the operation."""
        if call.kind is CallKind.QUERY:
            return await self._query(call)
        if call.money is None:
            raise InvariantViolation(f"call without an amount: {call.key}")
        words = self.words[call.kind]
        values = {CallKind.AUTHORIZE: call.card_token, CallKind.PAYOUT: call.beneficiary}
        about = {words.about: values.get(call.kind, call.parent)}
        answer = await self._exchange("POST", words.path, **self.describe(call, call.money, about))
        if answer.status == 422:
            return Answer(Verdict.REFUSED)
        raise_for_refusal(answer)
        return self.read(answer, call.kind)

    async def _query(self, call: Call) -> Answer:
        answer = await self._exchange("GET", f"{self.lookup_path}/{call.key}")
        # A bare 404 may come from anything on the way; only the acquirer's own word counts.
        if answer.status == 404 and answer.body.get("error") == "unknown_key":
            return Answer(Verdict.UNKNOWN_KEY)
        raise_for_refusal(answer)
        kind = answer.body.get("kind")
        if kind not in list(self.words):
            raise ProviderSilent("provider's answer lacks kind")
        return self.read(answer, CallKind(kind), asked=call)

    async def _exchange(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **request: Any
    ) -> Exchange:
        headers = {**self._headers, **(headers or {})}
        return await exchange(self._session, method, self._url + path, headers=headers, **request)
