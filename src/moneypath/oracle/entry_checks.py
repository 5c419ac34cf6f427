"""Checks that each ledger entry is one that its kind allows: known, exact, and of one business event."""

from collections import Counter
from collections.abc import Iterator
from operator import attrgetter

from moneypath.oracle.entry_kinds import is_hold
from moneypath.oracle.evidence import Evidence
from moneypath.oracle.ledger_checks import of_entry
from moneypath.oracle.records import Discrepancy, DiscrepancyKind

# What all lines of one entry have in common.
_SHARED = (
    "entry_kind",
    "operation_id",
    "provider",
    "provider_key",
    "payment_id",
    "merchant_reference",
    "idempotency_key",
    "posted_at",
    "merchant",
    "report",
)
_shared = attrgetter(*_SHARED)


def check_entries_are_known(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find entries of a kind that the table of entries does not have."""
    for entry in evidence.entries:
        if entry.rule is None:
            line = max(entry.lines, key=lambda line: abs(line.amount_minor), default=entry.head)
            amount = abs(line.amount_minor)
            detail = "is of an unknown kind"
            yield of_entry(DiscrepancyKind.ENTRY_KIND_UNKNOWN, entry, detail, amount, line.currency)


def check_accounts_are_allowed(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find lines on an account that an entry of this kind does not touch, or that does not exist."""
    for entry in evidence.entries:
        if entry.rule is None:
            continue
        for line in entry.lines:
            if not entry.rule.allows(line):
                detail = f"books {line.amount_minor} {line.currency} on {line.account or 'no account'}"
                yield of_entry(
                    DiscrepancyKind.ACCOUNT_UNEXPECTED, entry, detail, abs(line.amount_minor), line.currency
                )


def check_entries_agree_with_themselves(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find entries whose lines name two operations, payments, merchants or times."""
    for entry in evidence.entries:
        first = _shared(entry.head)
        for line in entry.lines:
            if _shared(line) != first:
                named = next(
                    name
                    for name, mine, other in zip(_SHARED, first, _shared(line), strict=True)
                    if mine != other
                )
                yield of_entry(DiscrepancyKind.ENTRY_INCONSISTENT, entry, f"has lines that differ in {named}")
                break


def check_holds_balance(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find entries that end a hold against money: without the money, the lines of a hold sum to zero too."""
    for entry in evidence.entries:
        if entry.rule is None or not entry.rule.ends_hold:
            continue
        held: Counter[str] = Counter()
        for line in entry.lines:
            if is_hold(line):
                held[line.currency] += line.amount_minor
        for currency, minor in held.items():
            if minor:
                detail = f"books {minor} {currency} of money on holds"
                yield of_entry(DiscrepancyKind.ENTRY_UNBALANCED, entry, detail, abs(minor), currency)


def check_amounts_are_whole(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find amounts that are no integer of minor units: fractions, and none at all."""
    for entry in evidence.entries:
        for line in entry.lines:
            if line.misstated:
                detail = f"states the amount {line.misstated} {line.currency} on {line.account}"
                yield of_entry(DiscrepancyKind.AMOUNT_INVALID, entry, detail, None, line.currency)
    for charge in evidence.misstated:
        detail = f"{charge.provider}'s book has {charge.operation} {charge.key} over {charge.misstated}"
        yield Discrepancy(
            DiscrepancyKind.AMOUNT_INVALID, charge.reference, detail, None, charge.currency or None, charge.at
        )
