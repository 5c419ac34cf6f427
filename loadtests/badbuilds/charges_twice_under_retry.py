"""A bad build of refpay: a capture that is retried with its key is a new charge at the acquirer.

The customer is authorized and captured again under new provider keys. The caller still gets the stored
answer, and the ledger does not show the second charge. It is never part of the product.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import replace as changed
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from loadtests.badbuilds.wiring import replace, serve

from refpay.app import services as root
from refpay.ids import mint_id
from refpay.payments.claims import Command, Reply
from refpay.payments.service import Payments
from refpay.providers.port import Answer, Call, CallKind
from refpay.providers.registry import GuardedProvider

KEY: Final[ContextVar[str]] = ContextVar("key", default="")


class RememberingProvider:
    """Remembers its calls, so that they can be repeated as if they were new."""

    def __init__(self, provider: GuardedProvider) -> None:
        self._provider = provider
        self._authorizations: dict[str, Call] = {}
        self._captures: dict[str, Call] = {}
        self.name = provider.name

    def require_closed(self) -> None:
        """Delegate to the provider."""
        self._provider.require_closed()

    async def perform(self, call: Call) -> Answer:
        """Perform and remember."""
        if call.kind is CallKind.AUTHORIZE:
            self._authorizations[call.reference] = call
        elif call.kind is CallKind.CAPTURE:
            self._captures[KEY.get()] = call
        return await self._provider.perform(call)

    async def charge_again(self, key: str) -> None:
        """Authorize and capture once more, as the capture with `key` did, if this provider made it."""
        capture = self._captures.get(key)
        if capture is None:
            return
        authorized = await self._provider.perform(_with_new_key(self._authorizations[capture.reference]))
        if authorized.provider_reference:
            await self._provider.perform(
                changed(_with_new_key(capture), parent=authorized.provider_reference)
            )


class ForgetfulPayments(Payments):
    """Takes a retried capture for a new one."""

    def __init__(self, database: Any, providers: Mapping[str, RememberingProvider], **options: Any) -> None:
        super().__init__(database, providers, **options)
        self._remembering = providers

    async def capture(self, command: Command, payment_id: UUID, amount_minor: int | None) -> Reply:
        """Capture, and charge again if the answer was stored already."""
        KEY.set(command.key)
        reply = await super().capture(command, payment_id, amount_minor)
        if reply.replayed:
            for provider in self._remembering.values():
                await provider.charge_again(command.key)
        return reply


def remember(make: Any) -> Any:
    """Return a `make_resilient` whose providers remember."""

    def make_remembering(*arguments: Any, **options: Any) -> Mapping[str, RememberingProvider]:
        return {name: RememberingProvider(each) for name, each in make(*arguments, **options).items()}

    return make_remembering


def _with_new_key(call: Call) -> Call:
    now = datetime.now(UTC)
    return changed(call, key=mint_id(now), deadline=now + timedelta(seconds=2))


if __name__ == "__main__":
    replace(root, "make_resilient", remember)
    replace(root, "Payments", lambda _: ForgetfulPayments)
    serve()
