"""What merchants are paid of what they are owed: the second person who agrees to it, and what must hold."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final
from uuid import UUID

from refpay.operations.approving import Approving
from refpay.payments.claims import Command
from refpay.payments.errors import ApprovalNeeded
from refpay.payments.service import Payments
from refpay.providers.port import CallKind
from simulation.clients import Merchant
from simulation.provider import Book
from simulation.rows import Row, lines

# High, or every other payout would wait for a second person.
ALONE_MINOR: Final = 2**62
_AGREES: Final = 0.8
_NOT_DONE: Final = ("declined", "failed")


@dataclass(slots=True, eq=False)
class SecondPerson:
    """Decides on what a merchant may not have paid out by its own word alone."""

    person: Merchant
    approving: Callable[[], Approving]

    async def decide(self, needed: ApprovalNeeded) -> None:
        """Agree or refuse; what was refused is asked for anew."""
        approval_id = UUID(needed.detail.rpartition(" ")[2])
        draw = Random(f"{self.person.world.seed} {approval_id}")  # noqa: S311 - a schedule, not a secret
        agreed = draw.random() < _AGREES

        async def decide(_payments: Payments, command: Command) -> Any:
            return await self.approving().decide(command, approval_id, agreed=agreed, reason="simulated")

        await self.person.ask(self.person.new_key("decision"), decide)


@dataclass(slots=True, eq=False)
class Payouts:
    """Looks at one history's payouts after each COMMIT, and at what was owed when one began."""

    # Refunds on their way or done, as of the last look; and as each payout was first asked for.
    _refunds: frozenset[UUID] = frozenset()
    _before: dict[str, frozenset[UUID]] = field(default_factory=dict)
    _seen: set[UUID] = field(default_factory=set)

    def asked(self, key: str) -> None:
        """Note that a payout is asked for under a key: the refunds that there are count against it."""
        self._before.setdefault(key, self._refunds)

    def look(self, operations: Sequence[Row], books: Sequence[Book], *, ended: bool) -> Iterator[str]:
        """Yield what is broken."""
        live = [row for row in operations if row["status"] not in _NOT_DONE]
        self._refunds = frozenset(row["id"] for row in live if row["kind"] == "refund")
        payouts = [row for row in operations if row["kind"] == "payout"]
        for row in payouts:
            yield from _one(row)
            if row["id"] not in self._seen:
                self._seen.add(row["id"])
                yield from self._owed(row, live)
        yield from _references(payouts, books)
        yield from _clearing(payouts, books, ended=ended)

    def _owed(self, new: Row, live: Iterable[Row]) -> Iterator[str]:
        """Compare a payout that has just begun with what is captured and nobody else's.

        A refund that began meanwhile need not be counted: it asks nobody what is owed.
        """
        left, counted = 0, self._before.get(new["claim"], frozenset())
        for row in live:
            if row["currency"] != new["currency"] or row["id"] == new["id"]:
                continue
            if row["kind"] == "capture" and row["status"] == "succeeded":
                left += row["amount_minor"]
            elif row["kind"] == "payout" or row["id"] in counted:
                left -= row["amount_minor"]
        if new["amount_minor"] > left:
            yield f"payout {new['id']} of {new['amount_minor']} began when {left} was owed"


def _references(payouts: Iterable[Row], books: Iterable[Book]) -> Iterator[str]:
    ours = Counter(row["merchant_reference"] for row in payouts if row["status"] not in _NOT_DONE)
    theirs = Counter(
        one.reference for book in books for one in book.done.values() if one.kind is CallKind.PAYOUT
    )
    yield from (f"two payouts have one reference: {one}" for one in ours if ours[one] > 1)
    yield from (f"paid out twice under one reference: {one}" for one in theirs if theirs[one] > 1)
    approved = Counter(row["merchant_reference"] for row in payouts if row["amount_minor"] > ALONE_MINOR)
    for row in payouts:
        if row["approvals"] != approved[row["merchant_reference"]]:
            yield f"payout {row['id']} used {row['approvals']} approvals"


def _one(row: Row) -> Iterator[str]:
    name, amount, currency = f"payout {row['id']}", row["amount_minor"], row["currency"]
    moved = {
        (f"merchant_payable:{row['merchant']}", currency, amount),
        (f"payout_clearing:{row['provider']}", currency, -amount),
    }
    if row["posted"] is not None and set(lines(row)) != moved:
        yield f"{name} is posted as {list(lines(row))}"
    if (row["answered"] == 201) != (row["status"] == "succeeded"):
        yield f"{name} is {row['status']} and is answered {row['answered']}"


def _clearing(payouts: Iterable[Row], books: Iterable[Book], *, ended: bool) -> Iterator[str]:
    """Compare what the ledger has to be cleared by each provider with what that provider paid."""
    cleared: Counter[tuple[str, str]] = Counter()
    for row in payouts:
        for account, currency, amount_minor in lines(row):
            if account.startswith("payout_clearing:"):
                cleared[account.partition(":")[2], currency] -= amount_minor
    paid: Counter[tuple[str, str]] = Counter()
    for book in books:
        for effect in book.done.values():
            if effect.kind is CallKind.PAYOUT:
                paid[book.name, effect.currency] += effect.amount_minor
    for place in cleared.keys() | paid.keys():
        if cleared[place] > paid[place] or (ended and cleared[place] != paid[place]):
            yield f"payout clearing of {place} is {cleared[place]}, and {paid[place]} was paid"
