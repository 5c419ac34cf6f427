"""Whom the ledger owes what: every change of the merchants' payable accounts, and the balances."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate, chain
from typing import TypeAlias

from moneypath.oracle.entry_kinds import PAYABLE
from moneypath.oracle.evidence import Entry
from moneypath.oracle.records import Discrepancy, DiscrepancyKind, Operation

Account: TypeAlias = tuple[str, str]
"""A merchant and a currency."""


@dataclass(frozen=True, slots=True)
class Balance:
    """What a merchant is owed in one currency at the end; a debt of the merchant is negative."""

    merchant: str
    currency: str
    owed_minor: int


@dataclass(frozen=True, slots=True)
class Payout:
    """A payout as the ledger has it; `asked_at` is when it was first asked for, as far as that is known."""

    entry_id: str
    subject: str
    minor: int
    posted_at: float
    asked_at: float


@dataclass(slots=True)
class Changes:
    """Amounts with their times, packed; what 64 bits cannot hold stands apart."""

    times: "array[float]" = field(default_factory=lambda: array("d"))
    minors: "array[int]" = field(default_factory=lambda: array("q"))
    large: list[tuple[float, int]] = field(default_factory=list)
    total: int = 0

    def add(self, at: float, minor: int) -> None:
        """Add one amount."""
        self.total += minor
        try:
            self.minors.append(minor)
        except OverflowError:
            self.large.append((at, minor))
        else:
            self.times.append(at)

    def extend(self, other: "Changes") -> None:
        """Add all amounts of another."""
        self.total += other.total
        self.times.extend(other.times)
        self.minors.extend(other.minors)
        self.large.extend(other.large)

    def sums(self) -> tuple[list[float], list[int]]:
        """Return the times in order, and the sum before each of them and after the last."""
        ordered = sorted(chain(zip(self.times, self.minors, strict=True), self.large))
        return [at for at, _ in ordered], [0, *accumulate(minor for _, minor in ordered)]


@dataclass(slots=True)
class PayableAccount:
    """What changes what one merchant is owed in one currency; debits are negative, payouts stand apart."""

    credits: Changes = field(default_factory=Changes)
    debits: Changes = field(default_factory=Changes)
    payouts: list[Payout] = field(default_factory=list)

    def extend(self, other: "PayableAccount") -> None:
        """Add all changes of another part of the account."""
        self.credits.extend(other.credits)
        self.debits.extend(other.debits)
        self.payouts.extend(other.payouts)

    @property
    def owed_minor(self) -> int:
        """Return what is owed at the end."""
        return self.credits.total + self.debits.total - sum(payout.minor for payout in self.payouts)


def read_accounts(entries: Iterable[Entry], payouts_at: Mapping[str, float]) -> dict[Account, PayableAccount]:
    """Collect the payable accounts; `payouts_at` says when the key of a payout was first asked for."""
    accounts: dict[Account, PayableAccount] = {}
    for entry in entries:
        head = entry.head
        for line in entry.lines:
            kind, _, merchant = line.account.partition(":")
            if kind != PAYABLE:
                continue
            account = accounts.setdefault((merchant, line.currency), PayableAccount())
            minor = -line.amount_minor
            if entry.operation is Operation.PAYOUT:
                asked_at = payouts_at.get(head.idempotency_key, head.posted_at)
                account.payouts.append(Payout(head.entry_id, entry.subject, -minor, head.posted_at, asked_at))
            else:
                (account.credits if minor > 0 else account.debits).add(head.posted_at, minor)
    return accounts


def balances(accounts: Mapping[Account, PayableAccount]) -> tuple[Balance, ...]:
    """Return what each merchant is owed, in order of merchant and currency."""
    return tuple(Balance(*name, accounts[name].owed_minor) for name in sorted(accounts))


def find_uncovered_payouts(accounts: Mapping[Account, PayableAccount]) -> Iterator[Discrepancy]:
    """Find payouts above what was owed to their merchant at their instant.

    What was credited before the payout was posted counts, and what was debited before it was asked for. So a
    refund or chargeback that came later leaves a debt and is no discrepancy.
    """
    for (merchant, currency), account in accounts.items():
        if not account.payouts:
            continue
        credits_at, credited = account.credits.sums()
        debits_at, debited = account.debits.sums()
        paid = 0
        for payout in sorted(account.payouts, key=lambda one: one.posted_at):
            owed = credited[bisect_right(credits_at, payout.posted_at)]
            owed += debited[bisect_left(debits_at, payout.asked_at)] - paid
            paid += payout.minor
            if payout.minor > owed:
                yield Discrepancy(
                    DiscrepancyKind.PAYOUT_EXCEEDS_PAYABLE,
                    payout.subject,
                    f"ledger entry {payout.entry_id} (payout) pays {payout.minor} {currency} to {merchant}, "
                    f"owed then: {owed}",
                    payout.minor - max(owed, 0),
                    currency,
                    payout.posted_at,
                )
