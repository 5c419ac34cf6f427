"""Checks that the answers the client got agree with the providers' books and the ledger."""

from collections.abc import Iterator

from moneypath.oracle.claims import Attribution, ClaimStatus
from moneypath.oracle.evidence import Evidence
from moneypath.oracle.ledger_checks import describe_charge
from moneypath.oracle.records import Acknowledgement, Charge, Discrepancy, DiscrepancyKind, Outcome

_DEFINITIVE = (Outcome.SUCCEEDED, Outcome.DECLINED, Outcome.FAILED)


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
                )


def check_successes_agree(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find acknowledged successes that a provider's book has with another amount or currency."""
    for attribution in evidence.attributions:
        if attribution.claim.status is ClaimStatus.SUCCEEDED and attribution.charge is not None:
            yield from _compare(attribution.claim.answer, attribution.charge)


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
            )


def check_replays_agree(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find idempotency keys whose later definitive answer differs from the first."""
    for answers in evidence.acknowledgements.values():
        first: Acknowledgement | None = None
        for answer in answers:
            if answer.outcome not in _DEFINITIVE:
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
                )
                break


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
    yield Discrepancy(kind, answer.merchant_reference, detail, at_stake, charge.currency)


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
