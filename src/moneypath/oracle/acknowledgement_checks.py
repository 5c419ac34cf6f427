"""Checks that the answers the client got agree with the providers' books and the ledger."""

from collections import defaultdict
from collections.abc import Iterator

from moneypath.oracle.claims import Attribution, ClaimStatus
from moneypath.oracle.evidence import Entry, Evidence
from moneypath.oracle.ledger_checks import describe_charge, of_entry
from moneypath.oracle.records import Acknowledgement, Charge, Discrepancy, DiscrepancyKind, Operation
from moneypath.outcomes import DEFINITIVE


def check_successes_are_kept(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find acknowledged successes that no provider's book has, or that the ledger lacks though they move
    money.
    """
    for attribution in evidence.attributions:
        if attribution.claim.status is ClaimStatus.SUCCEEDED:
            answer = attribution.claim.answer
            missing = _missing(evidence, attribution)
            if missing:
                yield Discrepancy(
                    DiscrepancyKind.ACKNOWLEDGED_LOST,
                    answer.merchant_reference,
                    f"{_describe(answer)}, but {' and '.join(missing)} lacks it",
                    answer.amount_minor,
                    answer.currency,
                    answer.at,
                )


def check_movements_agree(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find requests, successful or still open, that were carried out over another amount or currency."""
    for attribution in evidence.attributions:
        if attribution.claim.status is not ClaimStatus.REFUSED and attribution.charge is not None:
            yield from _compare(attribution.claim.answer, attribution.charge)


def check_payments_agree(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find entries of another payment than the client was told of, and successes of none that was posted."""
    posted: dict[str, set[str]] = defaultdict(set)
    told: dict[str, set[str]] = defaultdict(set)
    for answers in evidence.requests.answers.values():
        for answer in answers:
            if answer.payment_id:
                told[answer.merchant_reference].add(answer.payment_id)
    for entry in evidence.entries:
        head = entry.head
        if not head.payment_id or not head.merchant_reference:
            continue
        posted[head.merchant_reference].add(head.payment_id)
        known = told.get(head.merchant_reference)
        if known and head.payment_id not in known:
            detail = f"is of payment {head.payment_id}, the client was told of {', '.join(sorted(known))}"
            yield of_entry(DiscrepancyKind.PAYMENT_DIFFERS, entry, detail)
    for claim in evidence.claims:
        answer = claim.answer
        known = posted.get(answer.merchant_reference)
        if claim.status is ClaimStatus.SUCCEEDED and known and answer.payment_id not in (None, *known):
            yield Discrepancy(
                DiscrepancyKind.PAYMENT_DIFFERS,
                answer.merchant_reference,
                f"{_describe(answer)} for payment {answer.payment_id}, the ledger has "
                f"{', '.join(sorted(known))}",
                answer.amount_minor,
                answer.currency,
                answer.at,
            )


def check_movements_are_asked_for(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find captures, refunds and payouts that no client asked for and that the service does not take back.

    A refund that gives a late capture back is the service's own. Movements from before the clients' first
    request are left to the audit of that time.
    """
    asked = evidence.requests.references
    for movement, charges in evidence.charges_of.items():
        if movement.operation not in evidence.scope.asked_for:
            continue
        for entry in evidence.entries_of.get(movement, ()):
            charge, key = charges[0], entry.head.idempotency_key
            known = asked.get((movement.operation, key)) == movement.reference
            if known or charge.at < evidence.scope.asked_since or _is_own_refund(evidence, entry, charge):
                continue
            yield Discrepancy(
                DiscrepancyKind.MOVED_UNASKED,
                movement.reference,
                f"{describe_charge(charge)}, posted under idempotency key {key or '(none)'}: no client asked "
                "for it",
                charge.amount_minor,
                charge.currency,
                charge.at,
            )


def check_answers_were_asked_for(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find answers to requests that the client has not recorded before it sent them."""
    for answer in evidence.requests.unasked:
        yield Discrepancy(
            DiscrepancyKind.ANSWER_WITHOUT_REQUEST,
            answer.merchant_reference,
            f"{_describe(answer)}, and the client has no such request on record",
            answer.amount_minor,
            answer.currency,
            answer.at,
        )


def check_refusals_are_kept(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find refused or failed requests that had an effect which no other idempotency key explains.

    An effect that came late and that the service reversed in full does not count; nor does a late refund that
    its merchant bears by an operator's decision.
    """
    for attribution in evidence.attributions:
        charge = attribution.charge
        if (
            attribution.claim.status is ClaimStatus.REFUSED
            and charge is not None
            and charge not in evidence.undone
        ):
            answer = attribution.claim.answer
            yield Discrepancy(
                DiscrepancyKind.REFUSED_BUT_CHARGED,
                answer.merchant_reference,
                f"{_describe(answer)}, but {describe_charge(charge)}",
                charge.amount_minor,
                charge.currency,
                charge.at,
            )


def check_late_captures_are_given_back(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find captures without an answer that stay in suspense: the card holder paid, and nobody is owed.

    One that was answered is found by its answer: a success that the ledger lacks, a no that had an effect.
    """
    for attribution in evidence.attributions:
        charge = attribution.charge
        if (
            attribution.claim.status is ClaimStatus.OPEN
            and charge is not None
            and (charge.provider, charge.provider_reference) in evidence.late_captures
            and charge not in evidence.undone
        ):
            yield Discrepancy(
                DiscrepancyKind.CAPTURE_WITHOUT_POSTING,
                charge.reference,
                f"{describe_charge(charge)}: it stays in suspense, neither owed nor given back in full",
                charge.amount_minor,
                charge.currency,
                charge.at,
            )


def check_replays_agree(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find idempotency keys whose later definitive answer differs from the first."""
    for answers in evidence.requests.answers.values():
        first: Acknowledgement | None = None
        for answer in answers:
            if answer.outcome not in DEFINITIVE:
                continue
            if first is None:
                first = answer
            elif _promised(answer) != _promised(first):
                yield Discrepancy(
                    DiscrepancyKind.REPLAY_DIFFERS,
                    first.merchant_reference,
                    f"{_describe(first)} (payment {first.payment_id}), and later: "
                    f"{_describe(answer)} (payment {answer.payment_id})",
                    first.amount_minor,
                    first.currency,
                    answer.at,
                )
                break


def _is_own_refund(evidence: Evidence, entry: Entry, charge: Charge) -> bool:
    """Tell whether a refund gives back a capture that is in suspense."""
    return (
        charge.operation is Operation.REFUND
        and entry.is_suspense
        and (charge.provider, charge.parent) in evidence.late_captures
    )


def _missing(evidence: Evidence, attribution: Attribution) -> list[str]:
    answer = attribution.claim.answer
    missing = [] if attribution.charge is not None else ["every provider's book"]
    posted = (answer.operation, answer.idempotency_key, answer.merchant_reference) in evidence.posted_keys
    if answer.operation.is_posted and not posted:
        missing.append("the ledger")
    return missing


def _compare(answer: Acknowledgement, charge: Charge) -> Iterator[Discrepancy]:
    if (answer.amount_minor, answer.currency) == (charge.amount_minor, charge.currency):
        return
    kind, at_stake = DiscrepancyKind.CURRENCY_DIFFERS, charge.amount_minor
    if answer.currency == charge.currency:
        kind, at_stake = DiscrepancyKind.AMOUNT_DIFFERS, abs(answer.amount_minor - charge.amount_minor)
    detail = f"{_describe(answer)}, but {describe_charge(charge)}"
    yield Discrepancy(kind, answer.merchant_reference, detail, at_stake, charge.currency, charge.at)


def _promised(answer: Acknowledgement) -> tuple[object, ...]:
    """Return what a later answer must repeat. The status code may differ when the final answer came from a
    read.
    """
    return (
        answer.outcome,
        answer.payment_id,
        answer.merchant_reference,
        answer.amount_minor,
        answer.currency,
    )


def _describe(answer: Acknowledgement) -> str:
    return (
        f"the client was told that {answer.operation} {answer.idempotency_key} "
        f"over {answer.amount_minor} {answer.currency} {answer.outcome}"
    )
