"""What customers and merchants do: drawn from the seed, impatient, and never sure that they were heard."""

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final
from uuid import UUID

from refpay.errors import RefpayError
from refpay.identity.principals import Principal
from refpay.money import MAXIMUM_MINOR, Currency, Money
from refpay.payments.answers import refusal_answer
from refpay.payments.claims import Command, StoredAnswer, fingerprint
from refpay.payments.errors import ApprovalNeeded, KeyExpired
from refpay.payments.model import Order, PayoutOrder
from refpay.payments.service import Payments
from simulation.process import Process, Unreachable
from simulation.world import World

_ATTEMPTS_MOST: Final = 60
# For how long an answer is told again: less than a clock may jump, more than any history lasts without.
RETENTION: Final = timedelta(minutes=30)
# A client that is gone leaves what it began to the worker.
_GIVES_UP: Final = 0.25
# Small, beyond what a float holds exactly, and the edges.
_AMOUNTS: Final = (1, 2, 999, 10_00, 2**53 + 1, 2**62 + 3, MAXIMUM_MINOR)
# Of what would be refunded else; drawn once for a history.
_PAYOUTS: Final = (0.0, 0.2, 0.9)
_ACCEPTED: Final = 202
_FORGOTTEN: Final = StoredAnswer(410, b"")

Send = Callable[[Payments, Command], Awaitable[Any]]


@dataclass(slots=True, eq=False)
class Merchant:
    """One merchant's side of a history: what was asked under which key, and what was answered for good."""

    world: World
    api: Process
    payments: Callable[[], Payments]
    name: str
    # Hears of what it may not decide alone, and of each request that is to pay it out.
    on_approval: "Callable[[ApprovalNeeded], Awaitable[None]] | None" = None
    on_payout: Callable[[str], None] = lambda _key: None
    told: dict[str, StoredAnswer] = field(default_factory=dict)
    asked: dict[str, Send] = field(default_factory=dict)
    _first_asked: dict[str, datetime] = field(default_factory=dict)
    # Which request was carried out under a key.
    _done: dict[str, str] = field(default_factory=dict)
    _serial: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _payouts: float = field(init=False)
    _currencies: Sequence[Currency] = field(init=False)

    def __post_init__(self) -> None:
        draw = self.world.random
        self._payouts = draw.choice(_PAYOUTS)
        # In one currency, what several payments are owed for adds up.
        self._currencies = draw.sample(list(Currency), draw.choice((1, len(Currency))))

    async def shop(self) -> None:
        """Make a payment and what follows from it, with everything that may come between."""
        draw = self.world.random
        money = Money(draw.choice(_AMOUNTS), draw.choice(self._currencies))
        amount, number = money.amount_minor, next(self._serial)
        digits = self.world.seed % 200_000
        token = f"tok_{4 + digits // 100_000}{digits % 100_000:05d}_00ff"
        order = Order(f"{self.name}-order-{number}", money, token)

        async def authorize(payments: Payments, command: Command) -> Any:
            return await payments.authorize(command, order)

        key = self.new_key("authorize")
        # A double click, and a client whose retry overtakes its first attempt.
        clicks = [self.ask(key, authorize) for _ in range(draw.choice((1, 1, 1, 2, 3)))]
        if draw.random() < 0.2:
            # Somebody else's key for the same order: never a second charge.
            clicks.append(self.ask(self.new_key("again"), authorize))
        if draw.random() < 0.15:
            clicks.append(self._reuse(key))
        answers = await asyncio.gather(*clicks)
        payment = next((one for one in map(_payment_of, answers) if one is not None), None)
        if payment is None:
            return
        # Who wants to be paid captures first.
        least = int(draw.random() < self._payouts)
        captures = [self._capture(payment, amount) for _ in range(draw.choice((least, 1, 1, 2, 3)))]
        voids = [self._void(payment)] if draw.random() < 0.25 and not least else []
        await asyncio.gather(*captures, *voids)
        after = [draw.random() < self._payouts for _ in range(draw.choice((least, 1, 2, 3)))]
        await asyncio.gather(
            *(self._pay_out(money, number) if pays else self._refund(payment, amount) for pays in after)
        )

    async def _capture(self, payment: UUID, amount: int) -> None:
        part = self.world.random.choice((None, None, max(1, amount // 2), amount))

        async def capture(payments: Payments, command: Command) -> Any:
            return await payments.capture(command, payment, part)

        key = self.new_key("capture")
        await asyncio.gather(*(self.ask(key, capture) for _ in range(self.world.random.choice((1, 1, 2)))))

    async def _void(self, payment: UUID) -> None:
        async def void(payments: Payments, command: Command) -> Any:
            return await payments.void(command, payment)

        await self.ask(self.new_key("void"), void)

    async def _refund(self, payment: UUID, amount: int) -> None:
        part = self.world.random.choice((max(1, amount // 3), max(1, amount // 2), amount))

        async def refund(payments: Payments, command: Command) -> Any:
            return await payments.refund(command, payment, part)

        key = self.new_key("refund")
        await asyncio.gather(*(self.ask(key, refund) for _ in range(self.world.random.choice((1, 1, 2)))))

    async def _pay_out(self, money: Money, number: int) -> None:
        """Ask for what was charged, or half of it, or too much; two clients may do so under one reference."""
        draw, amount = self.world.random, money.amount_minor
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
        await asyncio.gather(*(self.ask(key, pay_out) for key in (*keys, *clicks)))

    async def _reuse(self, key: str) -> None:
        """Send another request under a key that is taken, sooner or later; it must never be carried out."""
        order = Order(f"{key}-other", Money(7, Currency.EUR), "tok_411111_00ff")

        async def authorize(payments: Payments, command: Command) -> Any:
            return await payments.authorize(command, order)

        await self.world.turn("client: the key is used for something else")
        await self._ask_once(key, authorize, "something else")

    async def ask(self, key: str, send: Send) -> StoredAnswer | None:
        """Ask until there is an answer for good, or be gone; the same key always gets the same answer."""
        self.asked[key] = send
        self._first_asked.setdefault(key, self.world.now())
        # Drawn here, once: the calls that a death ends together end in whatever order.
        number = self.world.number()
        draw = Random(f"{self.world.seed} {number}")  # noqa: S311 - a schedule, not a secret
        attempts = 1 if self.world.chance(_GIVES_UP) else _ATTEMPTS_MOST
        for attempt in range(attempts):
            await self.world.turn(f"client: {key}", number=number)
            answer = await self._ask_once(key, send, key)
            if answer is not None:
                if answer != _FORGOTTEN:
                    self._keep(key, answer)
                return answer
            await asyncio.sleep(draw.choice((0.05, 0.5, 3.0)) * (1 + attempt // 4))
        if attempts == _ATTEMPTS_MOST:
            self.world.fail(f"{key} has no answer after {_ATTEMPTS_MOST} attempts")
        return None

    async def _ask_once(self, key: str, send: Send, body: str) -> StoredAnswer | None:
        command = self._command(key, body)
        try:
            reply = await self.api.call(lambda: send(self.payments(), command))
        except Unreachable:
            return None
        except KeyExpired:
            return self._forgotten(key)
        except ApprovalNeeded as needed:
            if self.on_approval is not None:
                await self.on_approval(needed)
            return None
        except RefpayError as refusal:
            if refusal.status == 500:
                self.world.fail(f"{key}: {refusal.code}: {refusal.detail}")
            return None if refusal.retryable or refusal.status >= 500 else refusal_answer(refusal, key)
        except Exception as problem:  # noqa: BLE001 - whatever the service lets out is a finding
            self.world.fail(f"{key}: {type(problem).__name__}: {problem}")
            return None
        answer: StoredAnswer = reply.answer
        if answer.status == _FORGOTTEN.status:
            return self._forgotten(key)
        if self._done.setdefault(key, body) != body:
            self.world.fail(f"two requests were answered under {key}")
        return None if answer.status == _ACCEPTED else answer

    def _forgotten(self, key: str) -> StoredAnswer:
        if self.world.now() - self._first_asked[key] < RETENTION:
            self.world.fail(f"the answer of {key} was forgotten before its time")
        # Told to somebody once; that one may still be on its way to another who asked the same.
        return _FORGOTTEN

    def _keep(self, key: str, answer: StoredAnswer) -> None:
        first = self.told.setdefault(key, answer)
        if first != answer:
            self.world.fail(f"{key} was answered {first}, and now {answer}")

    async def ask_all_again(self) -> None:
        """Send every request once more: what was definitive is told again, to the byte."""
        for key, send in self.asked.items():
            await self.ask(key, send)

    def new_key(self, what: str) -> str:
        return f"{self.name}-{what}-{next(self._serial)}"

    def _command(self, key: str, body: str) -> Command:
        principal = Principal(self.name, frozenset())
        return Command(principal, key, fingerprint("POST", "/", body), f"correlation-{key}", "live")


def _payment_of(answer: StoredAnswer | None) -> UUID | None:
    if answer is None or answer.status != 201:
        return None
    return UUID(json.loads(answer.body)["id"])
