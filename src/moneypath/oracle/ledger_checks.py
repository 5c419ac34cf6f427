"""Checks of the ledger, by itself and against the providers' books."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from moneypath.oracle.evidence import Entry, Evidence, Movement, releases
from moneypath.oracle.records import Charge, Discrepancy, DiscrepancyKind, Operation


def check_entries_balance(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find entries without lines, and entries that do not sum to zero in each currency."""
    for entry in evidence.entries:
        net = entry.net()
        if not net:
            yield of_entry(DiscrepancyKind.ENTRY_UNBALANCED, entry, "has no lines")
        for currency, minor in net.items():
            if minor:
                detail = f"is off by {minor} {currency}"
                yield of_entry(DiscrepancyKind.ENTRY_UNBALANCED, entry, detail, abs(minor), currency)


def check_currencies_balance(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find currencies in which the whole ledger does not sum to zero."""
    yield from find_unbalanced_currencies(sum_currencies(evidence))


def sum_currencies(evidence: Evidence) -> Counter[str]:
    """Return debits minus credits of the whole ledger by currency."""
    totals: Counter[str] = Counter()
    for entry in evidence.entries:
        for currency, minor in entry.net().items():
            if minor:
                totals[currency] += minor
    return totals


def find_unbalanced_currencies(totals: Mapping[str, int]) -> Iterator[Discrepancy]:
    """Find the currencies that do not sum to zero."""
    for currency, minor in sorted(totals.items()):
        if minor:
            detail = f"all lines in {currency} sum to {minor}, not to 0"
            yield Discrepancy(DiscrepancyKind.CURRENCY_UNBALANCED, currency, detail, abs(minor), currency)


def check_charges_are_posted(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find captures, refunds, payouts and chargebacks of a provider's book that have no entry."""
    for movement, charges in evidence.charges_of.items():
        if not movement.operation.is_posted or movement in evidence.entries_of:
            continue
        for charge in charges:
            yield Discrepancy(
                _kinds(movement.operation)[0],
                charge.reference,
                f"{describe_charge(charge)} has no entry in the ledger",
                charge.amount_minor,
                charge.currency,
                charge.at,
            )


def check_postings_are_charged(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find entries of a capture, refund, payout or chargeback that the provider's book does not have."""
    for movement, entries in evidence.entries_of.items():
        if movement in evidence.charges_of:
            continue
        for entry in entries:
            detail = (
                f"({movement.operation}) has no counterpart in the book of {movement.provider or 'anyone'}"
            )
            yield of_entry(_kinds(movement.operation)[1], entry, detail, *largest(_posted(entry, movement)))


def check_postings_are_single(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find operations that two entries post."""
    for movement, entries in evidence.entries_of.items():
        for extra in entries[1:]:
            detail = f"posts the {movement.operation} that entry {entries[0].head.entry_id} posted"
            yield of_entry(DiscrepancyKind.POSTED_TWICE, extra, detail, *largest(_posted(extra, movement)))


def check_releases_are_backed(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find releases from suspense of another amount than a late refund has there.

    Otherwise a merchant would bear a refund that was never made, or one that took a late capture back. A late
    capture is given back, never released: its client was told no.
    """
    kept = {
        name: entry.receivable
        for entry in evidence.entries
        if entry.is_suspense and entry.operation is Operation.REFUND
        if (name := (entry.head.provider, entry.head.provider_key)) not in evidence.given_back
    }
    released = releases(evidence.entries)
    last = {(one.head.provider, one.head.idempotency_key): one for one in evidence.entries if one.is_release}
    for key, taken in released.items():
        if taken != kept.get(key):
            money = list_money(taken.items())
            detail = f"and those beside it release {money}: not what may be released of {key[1]}"
            yield of_entry(DiscrepancyKind.POSTING_WITHOUT_CAPTURE, last[key], detail, *largest(taken))


def check_posted_amounts(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find entries whose currency, amount or direction differs from the provider's charge."""
    for movement, entries in evidence.entries_of.items():
        for charge in evidence.charges_of.get(movement, ())[:1]:
            for entry in entries:
                yield from _compare(entry, movement, charge)


def _kinds(operation: Operation) -> tuple[DiscrepancyKind, DiscrepancyKind]:
    """Return the discrepancy of a charge without posting, and of a posting without charge."""
    if operation.is_case:
        return DiscrepancyKind.CHARGEBACK_WITHOUT_POSTING, DiscrepancyKind.POSTING_WITHOUT_CHARGEBACK
    if operation is Operation.PAYOUT:
        return DiscrepancyKind.PAYOUT_WITHOUT_POSTING, DiscrepancyKind.POSTING_WITHOUT_PAYOUT
    return DiscrepancyKind.CAPTURE_WITHOUT_POSTING, DiscrepancyKind.POSTING_WITHOUT_CAPTURE


def _compare(entry: Entry, movement: Movement, charge: Charge) -> Iterator[Discrepancy]:
    money = _posted(entry, movement)
    wanted = {charge.currency: charge.amount_minor}
    # A missing or altered line is found by the balance check; here the other line tells the amount.
    if wanted in (money, _mirror(entry, movement)):
        return
    if money and charge.currency not in money:
        detail = f"posts {list_money(sorted(money.items()))}, {describe_charge(charge)}"
        yield of_entry(DiscrepancyKind.CURRENCY_DIFFERS, entry, detail, charge.amount_minor, charge.currency)
        return
    posted_minor = money.get(charge.currency, 0)
    detail = f"posts {posted_minor} {charge.currency} to the provider, {describe_charge(charge)}"
    difference = abs(posted_minor - charge.amount_minor)
    if not difference:
        detail = f"posts other currencies beside {posted_minor} {charge.currency}, {describe_charge(charge)}"
    yield of_entry(DiscrepancyKind.AMOUNT_DIFFERS, entry, detail, difference, charge.currency)


def _posted(entry: Entry, movement: Movement) -> dict[str, int]:
    """Return the amounts that the entry states for the operation, as positive numbers."""
    sign = movement.operation.sign
    return {currency: sign * minor for currency, minor in entry.receivable.items() if minor}


def _mirror(entry: Entry, movement: Movement) -> dict[str, int]:
    sign = -movement.operation.sign
    return {currency: sign * minor for currency, minor in entry.others.items() if minor}


def of_entry(
    kind: DiscrepancyKind,
    entry: Entry,
    detail: str,
    amount_minor: int | None = None,
    currency: str | None = None,
) -> Discrepancy:
    """Return a discrepancy of an entry, named so that it can be looked up."""
    text = f"ledger entry {entry.head.entry_id} ({entry.head.entry_kind}) {detail}"
    return Discrepancy(kind, entry.subject, text, amount_minor, currency, entry.head.posted_at)


def largest(money: Mapping[str, int]) -> tuple[int | None, str | None]:
    """Return the largest of some amounts, as a positive number, and its currency; of none, nothing."""
    currency = max(money, key=lambda name: abs(money[name]), default=None)
    return (None, None) if currency is None else (abs(money[currency]), currency)


def list_money(amounts: Iterable[tuple[str, int]]) -> str:
    """Describe amounts in minor units by currency."""
    return ", ".join(f"{minor} {currency}" for currency, minor in amounts) or "nothing"


def describe_charge(charge: Charge) -> str:
    """Describe a charge so that it can be found in both systems."""
    return (
        f"{charge.provider}'s book has {charge.operation} {charge.key} "
        f"over {charge.amount_minor} {charge.currency}"
    )
