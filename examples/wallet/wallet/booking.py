"""What the wallet does in its database: take orders, book them, and find the ones that nobody answered."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from wallet.banks import Said
from wallet.measures import Measures
from wallet.tables import BankOrder, BankSwitch, Movement, Purse, RequestKey

STATES: Mapping[Said, str] = {Said.MOVED: "DONE", Said.REFUSED: "DECLINED", Said.FAILED: "FAILED"}


class Refused(Exception):
    """A request that cannot be carried out: a status and a sentence."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status, self.what = status, what


@dataclass(frozen=True, slots=True)
class Instruction:
    """What a caller asks for. `other` is the purse that a transfer goes to."""

    kind: str
    key: str
    purse: str
    reference: str
    amount: int
    currency: str
    other: str = ""

    @property
    def asked(self) -> str:
        """Return all of it, to recognise a key that is used for something else."""
        return f"{self.kind} {self.purse} {self.other} {self.reference} {self.amount} {self.currency}"[:200]


class Books:
    """The database, as the API and the worker use it."""

    def __init__(self, sessions: async_sessionmaker[AsyncSession], measures: Measures) -> None:
        self._sessions, self._measures = sessions, measures

    async def open_purse(self, holder: str, currency: str) -> str:
        """Open an empty purse and return its id."""
        purse = Purse(id=f"p-{uuid.uuid4().hex[:16]}", holder=holder, currency=currency, balance=0, held=0)
        async with self._sessions.begin() as session:
            session.add(purse)
        return purse.id

    async def known_answer(self, instruction: Instruction) -> dict[str, object] | None:
        """Return what a key was answered before, `{}` if it is under way, None if it is new."""
        async with self._sessions() as session:
            known = await session.get(RequestKey, instruction.key)
        if known is None:
            return None
        if known.asked != instruction.asked:
            raise Refused(409, "this key was used for another request")
        return known.answer or {}

    async def open_banks(self) -> list[str]:
        """Return the banks that new orders may go to."""
        async with self._sessions() as session:
            found = await session.scalars(
                select(BankSwitch.bank).where(BankSwitch.open).order_by(BankSwitch.bank)
            )
            return list(found)

    async def take(self, instruction: Instruction, bank: str, now: datetime) -> BankOrder | None:
        """Write an order down before a bank hears of it; None if the key was taken meanwhile.

        A withdrawal holds the money; raises Refused when there is not enough.
        """
        order = BankOrder(
            id=uuid.uuid4(), kind=instruction.kind, purse_id=instruction.purse, bank=bank,
            reference=instruction.reference, request_key=instruction.key, amount=instruction.amount,
            currency=instruction.currency, state="SENT", placed_at=now,
        )  # fmt: skip
        async with self._sessions.begin() as session:
            if not await _claim(session, instruction):
                return None
            if instruction.kind == "WITHDRAWAL":
                held = await session.execute(
                    update(Purse)
                    .where(Purse.id == instruction.purse, Purse.currency == instruction.currency)
                    .where(Purse.balance - Purse.held >= instruction.amount)
                    .values(held=Purse.held + instruction.amount)
                    .returning(Purse.id)
                )
                if held.first() is None:
                    raise Refused(402, "not enough money in this purse")
            elif (await _purse(session, instruction.purse)).currency != instruction.currency:
                raise Refused(422, "this purse has another currency")
            session.add(order)
            await session.flush()
            session.expunge(order)
        return order

    async def decide(self, order_id: uuid.UUID, said: Said, now: datetime) -> dict[str, object]:
        """Book what a bank said of an order, once; return the answer for the caller."""
        if said is Said.SILENT:
            return {}
        with self._measures.booking.time():
            async with self._sessions.begin() as session:
                order = await session.get(BankOrder, order_id, with_for_update=True)
                if order is None:
                    raise LookupError(order_id)
                if order.state == "SENT":
                    await _book(session, order, said, now)
                return _answer(order)

    async def transfer(self, instruction: Instruction, now: datetime) -> dict[str, object] | None:
        """Move money between two purses; None if the key was taken meanwhile."""
        with self._measures.booking.time():
            async with self._sessions.begin() as session:
                if not await _claim(session, instruction):
                    return None
                # In one order, so that two transfers in opposite directions cannot wait for each other.
                for purse in sorted((instruction.purse, instruction.other)):
                    if (await _purse(session, purse, lock=True)).currency != instruction.currency:
                        raise Refused(422, "both purses need the currency of the transfer")
                giver = await _purse(session, instruction.purse, lock=True)
                if giver.balance - giver.held < instruction.amount:
                    raise Refused(402, "not enough money in this purse")
                giver.balance -= instruction.amount
                (await _purse(session, instruction.other, lock=True)).balance += instruction.amount
                session.add(
                    Movement(
                        id=uuid.uuid4(),
                        kind="TRANSFER",
                        from_account=instruction.purse,
                        to_account=instruction.other,
                        amount=instruction.amount,
                        currency=instruction.currency,
                        request_key=instruction.key,
                        booked_at=now,
                    )
                )
                answer: dict[str, object] = {"state": "DONE"}
                await session.execute(
                    update(RequestKey).where(RequestKey.key == instruction.key).values(answer=answer)
                )
        return answer

    async def unanswered(self, before: datetime, most: int) -> Sequence[BankOrder]:
        """Return the oldest orders without an answer that were placed before an instant."""
        async with self._sessions() as session:
            asked = (
                select(BankOrder)
                .where(BankOrder.state == "SENT", BankOrder.placed_at < before)
                .order_by(BankOrder.placed_at)
                .limit(most)
            )
            return (await session.scalars(asked)).all()

    async def waiting(self, now: datetime, patience: timedelta) -> list[tuple[str, str, int, int]]:
        """Return bank, currency, number and cents of the orders that waited for longer than `patience`."""
        async with self._sessions() as session:
            found = await session.execute(
                select(BankOrder.bank, BankOrder.currency, BankOrder.amount).where(
                    BankOrder.state == "SENT", BankOrder.placed_at < now - patience
                )
            )
            totals: dict[tuple[str, str], tuple[int, int]] = {}
            for bank, currency, amount in found:
                count, cents = totals.get((bank, currency), (0, 0))
                totals[bank, currency] = count + 1, cents + amount
        return [(*names, *numbers) for names, numbers in totals.items()]


async def _claim(session: AsyncSession, instruction: Instruction) -> bool:
    taken = await session.execute(
        insert(RequestKey)
        .values(key=instruction.key, asked=instruction.asked)
        .on_conflict_do_nothing()
        .returning(RequestKey.key)
    )
    return taken.first() is not None


async def _purse(session: AsyncSession, name: str, *, lock: bool = False) -> Purse:
    purse = await session.get(Purse, name, with_for_update=lock or None)
    if purse is None:
        raise Refused(404, "there is no such purse")
    return purse


async def _book(session: AsyncSession, order: BankOrder, said: Said, now: datetime) -> None:
    order.state, order.decided_at = STATES[said], now
    top_up, sign = order.kind == "TOP_UP", 1 if order.kind == "TOP_UP" else -1
    moved = order.amount if said is Said.MOVED else 0
    await session.execute(
        update(Purse)
        .where(Purse.id == order.purse_id)
        .values(balance=Purse.balance + sign * moved, held=Purse.held - (0 if top_up else order.amount))
    )
    if moved:
        session.add(movement_of(order, now))
    await session.execute(
        update(RequestKey).where(RequestKey.key == order.request_key).values(answer=_answer(order))
    )


def movement_of(order: BankOrder, at: datetime) -> Movement:
    """Return the movement that an order which was carried out has to have."""
    bank, top_up = f"bank/{order.bank}", order.kind == "TOP_UP"
    return Movement(
        id=uuid.uuid4(), kind=order.kind, from_account=bank if top_up else order.purse_id,
        to_account=order.purse_id if top_up else bank, amount=order.amount, currency=order.currency,
        order_id=order.id, request_key=order.request_key, booked_at=at,
    )  # fmt: skip


def _answer(order: BankOrder) -> dict[str, object]:
    return {"state": order.state, "order": str(order.id), "bank": order.bank}
