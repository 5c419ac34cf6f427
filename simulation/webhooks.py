"""What providers tell by themselves: signed, late, twice, in any order; and who sends it once more."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final
from uuid import UUID, uuid5

from refpay.clock import Clock
from refpay.db.pool import Database
from refpay.errors import RefpayError
from refpay.identity import signing
from refpay.identity.errors import SignatureRefused, SignatureReplayed
from refpay.measures import Measures
from refpay.payments.settler import Settler
from refpay.payments.webhooks import Webhooks, read_event
from refpay.providers.port import Call, Verdict
from simulation.process import Process, Unreachable
from simulation.provider import Book
from simulation.world import World

KEY_ID: Final = "simulated"
SECRET: Final = bytes(range(32))
_METHOD: Final = "POST"
_ATTEMPTS_MOST: Final = 4
# What was so long on its way is beyond the window whatever the clocks of a history do.
_OLD: Final = timedelta(seconds=45)
_WORDS: Final = {Verdict.DONE: "done", Verdict.DECLINED: "declined"}


@dataclass(frozen=True, slots=True)
class Letter:
    """One signed request."""

    provider: str
    signed_at: datetime
    headers: Mapping[str, str]
    body: bytes

    def values(self, header: str) -> Sequence[str]:
        """Return all values of a header."""
        return [self.headers[header]]


def write_letter(provider: str, content: Mapping[str, object], *, at: datetime, nonce: str) -> Letter:
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
    return Letter(provider, at, headers, body)


def _target(provider: str) -> str:
    return f"/v1/webhooks/{provider}"


class Door:
    """What stands behind the webhook route, for one life of the API."""

    def __init__(
        self, database: Database, settler: Settler, *, measures: Measures, clock: Clock, keys: Path
    ) -> None:
        self._verifier = signing.SignatureVerifier("webhooks", keys, database, clock)
        self._webhooks = Webhooks(settler, measures=measures, clock=clock)

    async def take(self, letter: Letter) -> None:
        """Take a letter as the route does."""
        await self._verifier.verify(
            letter.values, method=_METHOD, target=_target(letter.provider), body=letter.body
        )
        await self._webhooks.apply(letter.provider, read_event(json.loads(letter.body)))


@dataclass(slots=True, eq=False)
class Teller:
    """Carries the providers' letters to whatever API is there."""

    world: World
    api: Process
    door: Callable[[], Door]
    _taken: set[str] = field(default_factory=set)

    def tell(self, book: Book, call: Call) -> None:
        """Have a provider tell of what it made of a call, or not."""
        if self.world.chance(self.world.weather.webhooks):
            for _ in range(self.world.random.choice((1, 1, 2))):
                self.world.loop.create_task(self._deliver(book, call, self.world.number()))

    async def _deliver(self, book: Book, call: Call, number: int) -> None:
        draw = Random(f"{self.world.seed} {number}")  # noqa: S311 - a schedule, not a secret
        content = _content(book, call)
        for _ in range(_ATTEMPTS_MOST):
            signed_at = self.world.now() - draw.choice((timedelta(), timedelta(), _OLD))
            letter = write_letter(book.name, content, at=signed_at, nonce=draw.randbytes(12).hex())
            await self._send(letter, call.key, number)
            # Out of order with everything else, and heard by somebody who sends the same bytes again.
            await asyncio.sleep(draw.choice((0.01, 0.5, 3.0)))
            if draw.random() < 0.5:
                await self._send(letter, call.key, number)
            if letter.headers[signing.NONCE_HEADER] in self._taken:
                return

    async def _send(self, letter: Letter, key: UUID, number: int) -> None:
        world, nonce = self.world, letter.headers[signing.NONCE_HEADER]
        await world.turn(f"{letter.provider} tells of {str(key)[-6:]}", number=number)
        is_old = world.now() - letter.signed_at >= _OLD
        try:
            await self.api.call(lambda: self.door().take(letter))
        except (Unreachable, SignatureRefused, SignatureReplayed):
            return
        except RefpayError as refusal:
            if refusal.status == 500:
                world.fail(f"a letter of {key}: {refusal.code}: {refusal.detail}")
            return
        except Exception as problem:  # noqa: BLE001 - whatever the service lets out is a finding
            world.fail(f"a letter of {key}: {type(problem).__name__}: {problem}")
            return
        if is_old or nonce in self._taken:
            world.fail(f"a letter of {key} was taken {'when it was too old' if is_old else 'twice'}")
        self._taken.add(nonce)


def _content(book: Book, call: Call) -> Mapping[str, object]:
    assert call.money is not None, "what moves money has an amount"  # noqa: S101 - narrows the type
    answer = book.tell(call.key)
    return {
        "event": str(uuid5(call.key, "event")),
        "type": "operation",
        "key": str(call.key),
        "kind": call.kind,
        "status": _WORDS[answer.verdict],
        "id": answer.provider_reference,
        "decline_code": answer.decline_code,
        "amount": call.money.amount_minor,
        "currency": call.money.currency,
    }
