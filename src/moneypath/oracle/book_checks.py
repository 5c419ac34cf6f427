"""Check that each operation in a provider's book agrees with those that it builds on."""

from collections.abc import Iterator, Mapping
from typing import Final

from moneypath.oracle.evidence import Evidence
from moneypath.oracle.ledger_checks import describe_charge
from moneypath.oracle.records import Charge, ChargeStatus, Discrepancy, DiscrepancyKind, Operation

_STATUSES: Final[Mapping[Operation, ChargeStatus]] = {
    Operation.AUTHORIZE: ChargeStatus.APPROVED,
    Operation.CAPTURE: ChargeStatus.CAPTURED,
    Operation.REFUND: ChargeStatus.REFUNDED,
    Operation.VOID: ChargeStatus.VOIDED,
    Operation.PAYOUT: ChargeStatus.PAID,
    Operation.CHARGEBACK: ChargeStatus.CHARGED_BACK,
    Operation.CHARGEBACK_REVERSAL: ChargeStatus.REVERSED,
}
# The operation that an operation builds on, by the provider's name of it.
_BASES: Final[Mapping[Operation, Operation]] = {
    Operation.VOID: Operation.AUTHORIZE,
    Operation.CHARGEBACK: Operation.CAPTURE,
    Operation.CHARGEBACK_REVERSAL: Operation.CAPTURE,
}


def check_books_agree_with_themselves(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find operations with a status of another kind of operation, and those that build on none of theirs.

    What captures and refunds build on is looked at with their amounts.
    """
    named = {
        (charge.operation, charge.provider, charge.provider_reference): charge
        for charge in evidence.charges
        if charge.operation in _BASES.values()
    }
    for charge in evidence.charges:
        if charge.status is not _STATUSES[charge.operation]:
            yield _inconsistent(charge, f"with status {charge.status}")
        elif charge.operation in _BASES:
            base = named.get((_BASES[charge.operation], charge.provider, charge.parent))
            if base is None or not _fits(charge, base):
                yield _inconsistent(charge, "which builds on no operation of its own payment")


def _fits(charge: Charge, base: Charge) -> bool:
    """Tell whether an operation is of the payment of its base; a case has the key of its capture."""
    if (charge.reference, charge.currency) != (base.reference, base.currency):
        return False
    return charge.key == base.key if charge.operation.is_case else charge.amount_minor <= base.amount_minor


def _inconsistent(charge: Charge, what: str) -> Discrepancy:
    detail = f"{describe_charge(charge)}, {what}"
    kind = DiscrepancyKind.BOOK_INCONSISTENT
    return Discrepancy(kind, charge.reference, detail, charge.amount_minor, charge.currency, charge.at)
