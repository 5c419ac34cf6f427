"""Checks that nothing moves beyond what it builds on: captures, refunds, chargebacks, payouts."""

from collections import defaultdict
from collections.abc import Iterator

from moneypath.oracle.evidence import Evidence
from moneypath.oracle.ledger_checks import describe_charge
from moneypath.oracle.payable import find_uncovered_payouts, read_accounts
from moneypath.oracle.records import Charge, Discrepancy, DiscrepancyKind, Operation

_Named = tuple[str, str]


def check_captures_are_authorized(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find captures above their authorization, of another payment's, of a voided one, or of none.

    Several captures of one authorization are added up under their merchant reference by
    `check_references_charge_once`.
    """
    authorizations = {
        _name(charge): charge for charge in evidence.charges if charge.operation is Operation.AUTHORIZE
    }
    voided: dict[_Named, int] = defaultdict(int)
    for charge in evidence.charges:
        if charge.operation is Operation.VOID:
            voided[charge.provider, charge.parent] += charge.amount_minor
    for charge in evidence.charges:
        if charge.operation is not Operation.CAPTURE:
            continue
        base = (charge.provider, charge.parent)
        found = authorizations.get(base)
        fits = found is not None and _same(found, charge)
        left = found.amount_minor - voided.get(base, 0) if found is not None and fits else 0
        if charge.amount_minor > left:
            yield _exceeds(
                DiscrepancyKind.CAPTURE_EXCEEDS_AUTHORIZATION, charge, left, "is left of its authorization"
            )


def check_refunds_are_captured(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find refunds that together give back more than their capture took, or that are of none."""
    yield from _check_parts(evidence, Operation.REFUND, DiscrepancyKind.REFUND_EXCEEDS_CAPTURE)


def check_chargebacks_are_captured(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find chargebacks that together take back more than their capture took, and reversals above theirs."""
    yield from _check_parts(evidence, Operation.CHARGEBACK, DiscrepancyKind.CHARGEBACK_EXCEEDS_CAPTURE)
    taken: dict[_Named, int] = {}
    for charge in evidence.charges:
        if charge.operation is Operation.CHARGEBACK:
            taken[_name(charge)] = taken.get(_name(charge), 0) + charge.amount_minor
    for charge in evidence.charges:
        if charge.operation is Operation.CHARGEBACK_REVERSAL:
            left = taken.get(_name(charge), 0)
            if charge.amount_minor > left:
                yield _exceeds(
                    DiscrepancyKind.CHARGEBACK_EXCEEDS_CAPTURE, charge, left, "was charged back in its case"
                )


def check_payouts_are_payable(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find payouts above what was owed to their merchant at their instant."""
    if any(entry.operation is Operation.PAYOUT for entry in evidence.entries):
        yield from find_uncovered_payouts(read_accounts(evidence.entries, evidence.requests.payouts_at))


def _check_parts(evidence: Evidence, operation: Operation, kind: DiscrepancyKind) -> Iterator[Discrepancy]:
    """Find the parts of captures that exceed what is left of them."""
    left: dict[tuple[str, str, str, str], int] = defaultdict(int)
    for charge in evidence.charges:
        if charge.operation is Operation.CAPTURE:
            left[(*_name(charge), charge.reference, charge.currency)] += charge.amount_minor
    for charge in evidence.charges:
        if charge.operation is not operation:
            continue
        whole = (charge.provider, charge.parent, charge.reference, charge.currency)
        if charge.amount_minor > left.get(whole, 0):
            yield _exceeds(kind, charge, left.get(whole, 0), "is left of its capture")
        else:
            left[whole] -= charge.amount_minor


def _exceeds(kind: DiscrepancyKind, charge: Charge, left: int, what: str) -> Discrepancy:
    detail = f"{describe_charge(charge)}, but {left} {what}"
    at_stake = charge.amount_minor - max(left, 0)
    return Discrepancy(kind, charge.reference, detail, at_stake, charge.currency, charge.at)


def _same(authorization: Charge, capture: Charge) -> bool:
    return (authorization.reference, authorization.currency) == (capture.reference, capture.currency)


def _name(charge: Charge) -> _Named:
    return charge.provider, charge.provider_reference
