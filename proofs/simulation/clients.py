"""Simulated clients: requests drawn from the seed, with retries and without patience."""

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final
from uuid import UUID

from proofs.simulation.process import Process, Unreachable
from proofs.simulation.scheduler import Scheduler

from refpay.errors import RefpayError
from refpay.identity.principals import Principal
from refpay.money import MAXIMUM_MINOR, Currency, Money
from refpay.payments.answers import refusal_answer
from refpay.payments.claims import Command, StoredAnswer, fingerprint
from refpay.payments.errors import ApprovalNeeded, KeyExpired
from refpay.payments.model import Order, PayoutOrder
from refpay.payments.service import Payments

_ATTEMPTS_MAXIMUM: Final = 60
# How long answers are stored: shorter than a clock jump, longer than a history without one.
RETENTION: Final = timedelta(minutes=30)
# A client that gives up leaves its operation to the worker.
_GIVES_UP_RATIO: Final = 0.25
# Small amounts, amounts that a float cannot hold, and the limits.
_AMOUNTS: Final = (1, 2, 999, 10_00, 2**53 + 1, 2**62 + 3, MAXIMUM_MINOR)
# Share of payouts instead of refunds; drawn once per history.
_PAYOUT_RATIOS: Final = (0.0, 0.2, 0.9)
_ACCEPTED: Final = 202
_KEY_EXPIRED: Final = StoredAnswer(410, b"")

Send = Callable[[Payments, Command], Awaitable[Any]]


@dataclass(slots=True, eq=False)
class Merchant:
    """One merchant of a history: its requests by key, and their definitive answers."""

    scheduler: Scheduler
    api: Process
    payments: Callable[[], Payments]
    name: str
    # Called for each approval that is needed, and for each request of a payout.
    on_approval: "Callable[[ApprovalNeeded], Awaitable[None]] | None" = None
    on_payout: Callable[[str], None] = lambda _key: None
    answers: dict[str, StoredAnswer] = field(default_factory=dict)
    requests: dict[str, Send] = field(default_factory=dict)
    _first_requested: dict[str, datetime] = field(default_factory=dict)
    # The request that was carried out under a key.
    _done: dict[str, str] = field(default_factory=dict)
    _serial: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _payouts: float = field(init=False)
    _currencies: Sequence[Currency] = field(init=False)

    def __post_init__(self) -> None:
        draw = self.scheduler.random
        self._payouts = draw.choice(_PAYOUT_RATIOS)
        # With one currency, the payable amounts of several payments add up.
        self._currencies = draw.sample(list(Currency), draw.choice((1, len(Currency))))

    async def run_checkout(self) -> None:
        """Make a payment and its captures, voids, refunds and payouts, with all possible interference."""
        draw = self.scheduler.random
        money = Money(draw.choice(_AMOUNTS), draw.choice(self._currencies))
        amount, number = money.amount_minor, next(self._serial)
        digits = self.scheduler.seed % 200_000
        token = f"tok_{4 + digits // 100_000}{digits % 100_000:05d}_00ff"
        order = Order(f"{self.name}-order-{number}", money, token)

        async def authorize(payments: Payments, command: Command) -> Any:
            return await payments.authorize(command, order)

        key = self.new_key("authorize")
        # A double click, or a retry that overtakes its first attempt.
        clicks = [self.request(key, authorize) for _ in range(draw.choice((1, 1, 1, 2, 3)))]
        if draw.random() < 0.2:
            # Another key for the same order must not charge again.
            clicks.append(self.request(self.new_key("again"), authorize))
        if draw.random() < 0.15:
            clicks.append(self._reuse_key(key))
        replies = await asyncio.gather(*clicks)
        payment = next((one for one in map(_payment_of, replies) if one is not None), None)
        if payment is None:
            return
        # A payout needs a capture first.
        least = int(draw.random() < self._payouts)
        captures = [self._capture(payment, amount) for _ in range(draw.choice((least, 1, 1, 2, 3)))]
        voids = [self._void(payment)] if draw.random() < 0.25 and not least else []
        await asyncio.gather(*captures, *voids)
        after = [draw.random() < self._payouts for _ in range(draw.choice((least, 1, 2, 3)))]
        await asyncio.gather(
            *(self._pay_out(money, number) if pays else self._refund(payment, amount) for pays in after)
        )

    async def _capture(self, payment: UUID, amount: int) -> None:
        part = self.scheduler.random.choice((None, None, max(1, amount // 2), amount))

        async def capture(payments: Payments, command: Command) -> Any:
            return await payments.capture(command, payment, part)

        key = self.new_key("capture")
        await asyncio.gather(
            *(self.request(key, capture) for _ in range(self.scheduler.random.choice((1, 1, 2))))
        )

    async def _void(self, payment: UUID) -> None:
        async def void(payments: Payments, command: Command) -> Any:
            return await payments.void(command, payment)

        await self.request(self.new_key("void"), void)

    async def _refund(self, payment: UUID, amount: int) -> None:
        part = self.scheduler.random.choice((max(1, amount // 3), max(1, amount // 2), amount))

        async def refund(payments: Payments, command: Command) -> Any:
            return await payments.refund(command, payment, part)

        key = self.new_key("refund")
        await asyncio.gather(
            *(self.request(key, refund) for _ in range(self.scheduler.random.choice((1, 1, 2))))
        )

    async def _pay_out(self, money: Money, number: int) -> None:
        """Request a payout of the charged amount, of half of it, or of too much, possibly twice under one
        reference.
        """
        draw, amount = self.scheduler.random, money.amount_minor
        half = max(1, amount // 2)
        parts = (max(1, amount // 3), half, half, amount, min(amount + 1, MAXIMUM_MINOR))
        part = Money(draw.choice(parts), money.currency)
        order = PayoutOrder(f"{self.name}-payout-{number}-{draw.choice((1, 1, 2))}", part)

        async def pay_out(payments: Payments, command: Command) -> Any:
            return await payments.payout(command, order)

        keys = [self.new_key("payout") for _ in range(draw.choice((1, 1, 1, 2)))]
        for key in keys:
            self.on_payout(key)
        clicks = draw.choice(((), (), (keys[0],)))
        await asyncio.gather(*(self.request(key, pay_out) for key in (*keys, *clicks)))

    async def _reuse_key(self, key: str) -> None:
        """Send another request under a key that is in use; it must never be carried out."""
        order = Order(f"{key}-other", Money(7, Currency.EUR), "tok_411111_00ff")

        async def authorize(payments: Payments, command: Command) -> Any:
            return await payments.authorize(command, order)

        await self.scheduler.wait_for_turn("client: the key is used for something else")
        await self._send_once(key, authorize, "something else")

    async def request(self, key: str, send: Send) -> StoredAnswer | None:
        """Send a request until its answer is definitive, or give up. The same key must always get the same
        answer.
        """
        self.requests[key] = send
        self._first_requested.setdefault(key, self.scheduler.now())
        # Drawn once, here, because calls that a crash ends together end in any order.
        number = self.scheduler.number()
        draw = Random(f"{self.scheduler.seed} {number}")  # noqa: S311 - a schedule, not a secret
        attempts = 1 if self.scheduler.chance(_GIVES_UP_RATIO) else _ATTEMPTS_MAXIMUM
        for attempt in range(attempts):
            await self.scheduler.wait_for_turn(f"client: {key}", number=number)
            answer = await self._send_once(key, send, key)
            if answer is not None:
                if answer != _KEY_EXPIRED:
                    self._record_answer(key, answer)
                return answer
            await asyncio.sleep(draw.choice((0.05, 0.5, 3.0)) * (1 + attempt // 4))
        if attempts == _ATTEMPTS_MAXIMUM:
            self.scheduler.fail(f"{key} has no answer after {_ATTEMPTS_MAXIMUM} attempts")
        return None

    async def _send_once(self, key: str, send: Send, body: str) -> StoredAnswer | None:
        command = self._command(key, body)
        try:
            reply = await self.api.call(lambda: send(self.payments(), command))
        except Unreachable:
            return None
        except KeyExpired:
            return self._key_expired(key)
        except ApprovalNeeded as needed:
            if self.on_approval is not None:
                await self.on_approval(needed)
            return None
        except RefpayError as refusal:
            if refusal.status == 500:
                self.scheduler.fail(f"{key}: {refusal.code}: {refusal.detail}")
            return None if refusal.retryable or refusal.status >= 500 else refusal_answer(refusal, key)
        except Exception as problem:  # noqa: BLE001 - whatever the service lets out is a finding
            self.scheduler.fail(f"{key}: {type(problem).__name__}: {problem}")
            return None
        answer: StoredAnswer = reply.answer
        if answer.status == _KEY_EXPIRED.status:
            return self._key_expired(key)
        if self._done.setdefault(key, body) != body:
            self.scheduler.fail(f"two requests were answered under {key}")
        return None if answer.status == _ACCEPTED else answer

    def _key_expired(self, key: str) -> StoredAnswer:
        if self.scheduler.now() - self._first_requested[key] < RETENTION:
            self.scheduler.fail(f"the answer of {key} was forgotten before its time")
        # Another client with the same request may still receive the answer that one has seen.
        return _KEY_EXPIRED

    def _record_answer(self, key: str, answer: StoredAnswer) -> None:
        first = self.answers.setdefault(key, answer)
        if first != answer:
            self.scheduler.fail(f"{key} was answered {first}, and now {answer}")

    async def repeat_all_requests(self) -> None:
        """Send every request once more: a definitive answer must be repeated to the byte."""
        for key, send in self.requests.items():
            await self.request(key, send)

    def new_key(self, what: str) -> str:
        return f"{self.name}-{what}-{next(self._serial)}"

    def _command(self, key: str, body: str) -> Command:
        principal = Principal(self.name, frozenset())
        return Command(principal, key, fingerprint("POST", "/", body), f"correlation-{key}", "live")


def _payment_of(answer: StoredAnswer | None) -> UUID | None:
    if answer is None or answer.status != 201:
        return None
    return UUID(json.loads(answer.body)["id"])
