"""Simulated webhooks of the providers: signed, late, repeated, out of order, and replayed by an attacker."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final
from uuid import UUID, uuid5

from proofs.simulation.process import Process, Unreachable
from proofs.simulation.provider import Book
from proofs.simulation.scheduler import Scheduler

from refpay.clock import Clock
from refpay.db.pool import Database
from refpay.errors import RefpayError
from refpay.identity import signing
from refpay.identity.errors import SignatureRefused, SignatureReplayed
from refpay.measures import ServiceMetrics
from refpay.payments.outcome_resolver import OutcomeResolver
from refpay.payments.webhooks import Webhooks, read_event
from refpay.providers.port import Call, ProviderResult

KEY_ID: Final = "simulated"
SECRET: Final = bytes(range(32))
_METHOD: Final = "POST"
_ATTEMPTS_MAXIMUM: Final = 4
# A webhook this old is outside the accepted window even after a clock jump.
_OLD: Final = timedelta(seconds=45)
_WORDS: Final = {ProviderResult.DONE: "done", ProviderResult.DECLINED: "declined"}


@dataclass(frozen=True, slots=True)
class SignedWebhook:
    """One signed request."""

    provider: str
    signed_at: datetime
    headers: Mapping[str, str]
    body: bytes

    def values(self, header: str) -> Sequence[str]:
        """Return all values of a header."""
        return [self.headers[header]]


def sign_webhook(provider: str, content: Mapping[str, object], *, at: datetime, nonce: str) -> SignedWebhook:
    """Sign a provider's event."""
    body, timestamp = json.dumps(content).encode(), str(int(at.timestamp()))
    signature = signing.sign(
        SECRET, method=_METHOD, target=_target(provider), timestamp=timestamp, nonce=nonce, body=body
    )
    headers = {
        signing.KEY_HEADER: KEY_ID,
        signing.TIMESTAMP_HEADER: timestamp,
        signing.NONCE_HEADER: nonce,
        signing.SIGNATURE_HEADER: signature,
    }
    return SignedWebhook(provider, at, headers, body)


def _target(provider: str) -> str:
    return f"/v1/webhooks/{provider}"


class WebhookEndpoint:
    """The webhook endpoint of one incarnation of the API."""

    def __init__(
        self,
        database: Database,
        resolver: OutcomeResolver,
        *,
        measures: ServiceMetrics,
        clock: Clock,
        keys: Path,
    ) -> None:
        self._verifier = signing.SignatureVerifier("webhooks", keys, database, clock)
        self._webhooks = Webhooks(resolver, measures=measures, clock=clock)

    async def receive(self, webhook: SignedWebhook) -> None:
        """Verify and apply a webhook, as the route does."""
        await self._verifier.verify(
            webhook.values, method=_METHOD, target=_target(webhook.provider), body=webhook.body
        )
        await self._webhooks.apply(webhook.provider, read_event(json.loads(webhook.body)))


@dataclass(slots=True, eq=False)
class WebhookSender:
    """Sends the providers' webhooks to the running API."""

    scheduler: Scheduler
    api: Process
    webhook_endpoint: Callable[[], WebhookEndpoint]
    _accepted: set[str] = field(default_factory=set)

    def send_event(self, book: Book, call: Call) -> None:
        """Send a provider's event about a call, or lose it."""
        if self.scheduler.chance(self.scheduler.fault_rates.webhooks):
            for _ in range(self.scheduler.random.choice((1, 1, 2))):
                self.scheduler.loop.create_task(self._deliver(book, call, self.scheduler.number()))

    async def _deliver(self, book: Book, call: Call, number: int) -> None:
        draw = Random(f"{self.scheduler.seed} {number}")  # noqa: S311 - a schedule, not a secret
        content = _content(book, call)
        for _ in range(_ATTEMPTS_MAXIMUM):
            signed_at = self.scheduler.now() - draw.choice((timedelta(), timedelta(), _OLD))
            webhook = sign_webhook(book.name, content, at=signed_at, nonce=draw.randbytes(12).hex())
            await self._send(webhook, call.key, number)
            # Out of order, and then replayed by an attacker with the same bytes.
            await asyncio.sleep(draw.choice((0.01, 0.5, 3.0)))
            if draw.random() < 0.5:
                await self._send(webhook, call.key, number)
            if webhook.headers[signing.NONCE_HEADER] in self._accepted:
                return

    async def _send(self, webhook: SignedWebhook, key: UUID, number: int) -> None:
        scheduler, nonce = self.scheduler, webhook.headers[signing.NONCE_HEADER]
        await scheduler.wait_for_turn(f"{webhook.provider} tells of {str(key)[-6:]}", number=number)
        is_old = scheduler.now() - webhook.signed_at >= _OLD
        try:
            await self.api.call(lambda: self.webhook_endpoint().receive(webhook))
        except (Unreachable, SignatureRefused, SignatureReplayed):
            return
        except RefpayError as refusal:
            if refusal.status == 500:
                scheduler.fail(f"a webhook of {key}: {refusal.code}: {refusal.detail}")
            return
        except Exception as problem:  # noqa: BLE001 - whatever the service lets out is a finding
            scheduler.fail(f"a webhook of {key}: {type(problem).__name__}: {problem}")
            return
        if is_old or nonce in self._accepted:
            scheduler.fail(f"a webhook of {key} was taken {'when it was too old' if is_old else 'twice'}")
        self._accepted.add(nonce)


def _content(book: Book, call: Call) -> Mapping[str, object]:
    assert call.money is not None, "what moves money has an amount"  # noqa: S101 - narrows the type
    answer = book.answer_for(call.key)
    return {
        "event": str(uuid5(call.key, "event")),
        "type": "operation",
        "key": str(call.key),
        "kind": call.kind,
        "status": _WORDS[answer.result],
        "id": answer.provider_reference,
        "decline_code": answer.decline_code,
        "amount": call.money.amount_minor,
        "currency": call.money.currency,
    }
