"""Checks of answers against one other record, where the ledger or the books are missing."""

from collections.abc import Iterator

from moneypath.oracle.claims import Claim, ClaimStatus
from moneypath.oracle.evidence import Entry, Evidence
from moneypath.oracle.ledger_checks import describe_charge, largest, list_money, of_entry
from moneypath.oracle.records import Acknowledgement, Discrepancy, DiscrepancyKind, Operation


def check_answers_are_posted(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find answers that the ledger contradicts, without a provider's book."""
    posted = {
        (entry.operation, entry.head.idempotency_key, entry.head.merchant_reference): entry
        for entry in evidence.entries
        if entry.operation is not None
    }
    for claim in evidence.claims:
        answer = claim.answer
        entry = posted.get((answer.operation, answer.idempotency_key, answer.merchant_reference))
        if entry is not None:
            yield from _compare(claim, entry)
        elif claim.status is ClaimStatus.SUCCEEDED and answer.operation.is_posted:
            yield _of_answer(DiscrepancyKind.ACKNOWLEDGED_LOST, answer, "the ledger lacks it")


def check_entries_are_asked_for(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find entries of operations that no caller asked for, without a provider's book."""
    asked = evidence.requests.references
    for entry in evidence.entries:
        operation, head = entry.operation, entry.head
        if operation is None or operation not in evidence.scope.asked_for:
            continue
        if asked.get((operation, head.idempotency_key)) != head.merchant_reference:
            detail = (
                f"({operation}) has idempotency key {head.idempotency_key or '(none)'}: nobody asked for it"
            )
            yield of_entry(DiscrepancyKind.MOVED_UNASKED, entry, detail, *largest(entry.receivable))


def check_answers_are_booked(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find successes that no provider's book has, and operations that nobody asked for, without a ledger."""
    taken = set()
    for attribution in evidence.attributions:
        taken.add(attribution.charge)
        answer = attribution.claim.answer
        if attribution.charge is None and attribution.claim.status is ClaimStatus.SUCCEEDED:
            yield _of_answer(DiscrepancyKind.ACKNOWLEDGED_LOST, answer, "every provider's book lacks it")
    for charge in evidence.charges:
        if charge.operation in evidence.scope.asked_for and charge not in taken:
            yield Discrepancy(
                DiscrepancyKind.MOVED_UNASKED,
                charge.reference,
                f"{describe_charge(charge)}: nobody asked for it",
                charge.amount_minor,
                charge.currency,
                charge.at,
            )


def _compare(claim: Claim, entry: Entry) -> Iterator[Discrepancy]:
    answer = claim.answer
    if claim.status is ClaimStatus.REFUSED:
        what = f"ledger entry {entry.head.entry_id} posts it"
        yield _of_answer(DiscrepancyKind.REFUSED_BUT_CHARGED, answer, what)
        return
    money = _posted(entry, answer.operation)
    if money == {answer.currency: answer.amount_minor}:
        return
    kind = DiscrepancyKind.AMOUNT_DIFFERS
    if money and answer.currency not in money:
        kind = DiscrepancyKind.CURRENCY_DIFFERS
    at_stake = abs(money.get(answer.currency, 0) - answer.amount_minor)
    detail = f"posts {list_money(sorted(money.items()))}, the caller was told {answer.amount_minor}"
    yield of_entry(kind, entry, f"{detail} {answer.currency}", at_stake, answer.currency)


def _posted(entry: Entry, operation: Operation) -> dict[str, int]:
    return {currency: operation.sign * minor for currency, minor in entry.receivable.items() if minor}


def _of_answer(kind: DiscrepancyKind, answer: Acknowledgement, what: str) -> Discrepancy:
    told = (
        f"the caller was told that {answer.operation} {answer.idempotency_key} over "
        f"{answer.amount_minor} {answer.currency} {answer.outcome}, but {what}"
    )
    reference = answer.merchant_reference
    return Discrepancy(kind, reference, told, answer.amount_minor, answer.currency, answer.at)
