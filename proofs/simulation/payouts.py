"""Simulated approvals of payouts, and the invariants of payouts."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final
from uuid import UUID

from proofs.simulation.clients import Merchant
from proofs.simulation.operation_rows import Row, posted_lines
from proofs.simulation.provider import Book

from refpay.operations.approval_decisions import ApprovalDecisions
from refpay.payments.claims import Command
from refpay.payments.errors import ApprovalNeeded
from refpay.payments.service import Payments
from refpay.providers.port import CallKind

# High, or every other payout would need an approval.
APPROVAL_THRESHOLD_MINOR: Final = 2**62
_AGREES_RATIO: Final = 0.8
_NOT_DONE: Final = ("declined", "failed")


@dataclass(slots=True, eq=False)
class Approver:
    """The second person who approves or refuses a merchant's large payouts."""

    person: Merchant
    approving: Callable[[], ApprovalDecisions]

    async def decide(self, needed: ApprovalNeeded) -> None:
        """Approve or refuse; a refused payout is requested again."""
        approval_id = UUID(needed.detail.rpartition(" ")[2])
        draw = Random(f"{self.person.scheduler.seed} {approval_id}")  # noqa: S311 - a schedule, not a secret
        agreed = draw.random() < _AGREES_RATIO

        async def decide(_payments: Payments, command: Command) -> Any:
            return await self.approving().decide(command, approval_id, agreed=agreed, reason="simulated")

        await self.person.request(self.person.new_key("decision"), decide)


@dataclass(slots=True, eq=False)
class PayoutChecks:
    """Checks the payouts of one history after each COMMIT, and the available amount when a payout began."""

    # Refunds in flight or done at the last check, and when each payout was first requested.
    _refunds: frozenset[UUID] = frozenset()
    _before: dict[str, frozenset[UUID]] = field(default_factory=dict)
    _seen: set[UUID] = field(default_factory=set)

    def note_request(self, key: str) -> None:
        """Note that a payout is requested under a key: refunds that exist by now reduce the available
        amount.
        """
        self._before.setdefault(key, self._refunds)

    def check(self, operations: Sequence[Row], books: Sequence[Book], *, ended: bool) -> Iterator[str]:
        """Yield the broken invariants."""
        live = [row for row in operations if row["status"] not in _NOT_DONE]
        self._refunds = frozenset(row["id"] for row in live if row["kind"] == "refund")
        payouts = [row for row in operations if row["kind"] == "payout"]
        for row in payouts:
            yield from _check_payout(row)
            if row["id"] not in self._seen:
                self._seen.add(row["id"])
                yield from self._owed(row, live)
        yield from _references(payouts, books)
        yield from _clearing(payouts, books, ended=ended)

    def _owed(self, new: Row, live: Iterable[Row]) -> Iterator[str]:
        """Compare a new payout with the captured amount that is still available.

        A refund that began after the request need not be counted, because refunds do not check the balance.
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


def _references(payouts: Sequence[Row], books: Iterable[Book]) -> Iterator[str]:
    ours = Counter(row["merchant_reference"] for row in payouts if row["status"] not in _NOT_DONE)
    theirs = Counter(
        one.reference for book in books for one in book.done.values() if one.kind is CallKind.PAYOUT
    )
    yield from (f"two payouts have one reference: {one}" for one in ours if ours[one] > 1)
    yield from (f"paid out twice under one reference: {one}" for one in theirs if theirs[one] > 1)
    yield from _limits(payouts)


def _limits(payouts: Sequence[Row]) -> Iterator[str]:
    """Check approvals: enough for large payouts, none without need, and the limit for all others together.

    A history is shorter than the 24 hours of the limit.
    """
    asked, alone = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for row in payouts:
        account = row["merchant"], row["currency"]
        asked[account] += row["amount_minor"]
        if row["status"] not in _NOT_DONE and not row["approvals"]:
            alone[account] += row["amount_minor"]
    needed, allowed = Counter[str](), Counter[str]()
    for row in payouts:
        reference = row["merchant_reference"]
        needed[reference] += row["amount_minor"] > APPROVAL_THRESHOLD_MINOR
        allowed[reference] += asked[row["merchant"], row["currency"]] > APPROVAL_THRESHOLD_MINOR
    for row in payouts:
        if not needed[row["merchant_reference"]] <= row["approvals"] <= allowed[row["merchant_reference"]]:
            yield f"payout {row['id']} used {row['approvals']} approvals"
    for (merchant, currency), total in alone.items():
        if total > APPROVAL_THRESHOLD_MINOR:
            yield f"{merchant} was paid {total} {currency} without a second person"


def _check_payout(row: Row) -> Iterator[str]:
    name, amount, currency = f"payout {row['id']}", row["amount_minor"], row["currency"]
    moved = {
        (f"merchant_payable:{row['merchant']}", currency, amount),
        (f"payout_clearing:{row['provider']}", currency, -amount),
    }
    if row["posted"] is not None and set(posted_lines(row)) != moved:
        yield f"{name} is posted as {list(posted_lines(row))}"
    if (row["answered"] == 201) != (row["status"] == "succeeded"):
        yield f"{name} is {row['status']} and is answered {row['answered']}"


def _clearing(payouts: Iterable[Row], books: Iterable[Book], *, ended: bool) -> Iterator[str]:
    """Compare the ledger's payout clearing account of each provider with the amount that the provider
    paid.
    """
    cleared: Counter[tuple[str, str]] = Counter()
    for row in payouts:
        for account, currency, amount_minor in posted_lines(row):
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
