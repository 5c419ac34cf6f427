"""Find duplicate or late operations of a provider that were reversed in full."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from moneypath.oracle.records import Charge, Operation


def without_repaired(charges: Sequence[Charge], posted: Collection[Charge]) -> tuple[Charge, ...]:
    """Return the charges without extra captures that were refunded in full, and without those refunds.

    `posted` are the charges that the ledger knows: a refund among them is the merchant's own and repairs
    nothing. One capture per key always stays, because refunding all of them would undo the sale.
    """
    refunds: Mapping[tuple[str, str], list[Charge]] = defaultdict(list)
    captures: Mapping[tuple[str, str, str], list[Charge]] = defaultdict(list)
    for charge in charges:
        if charge.operation is Operation.CAPTURE:
            captures[charge.provider, charge.key, charge.reference].append(charge)
        elif charge.operation is Operation.REFUND and charge not in posted:
            refunds[charge.provider, charge.parent].append(charge)
    gone: set[tuple[str, int]] = set()
    for group in captures.values():
        kept = len(group)
        if kept == 1:
            continue
        for capture in group:
            repairs = refunds.get((capture.provider, capture.provider_reference), [])
            if kept > 1 and _give_back(repairs, capture):
                kept -= 1
                gone.update((charge.provider, charge.seq) for charge in (capture, *repairs))
    if not gone:
        return tuple(charges)
    return tuple(charge for charge in charges if (charge.provider, charge.seq) not in gone)


def find_undone(charges: Iterable[Charge], orders: Iterable[Charge]) -> frozenset[Charge]:
    """Return the authorizations and captures that these voids and refunds reversed in full."""
    back: dict[tuple[str, str, str], int] = defaultdict(int)
    for order in orders:
        if order.parent:
            back[order.provider, order.parent, order.currency] += order.amount_minor
    if not back:
        return frozenset()
    return frozenset(
        charge
        for charge in charges
        if charge.operation in (Operation.AUTHORIZE, Operation.CAPTURE)
        and back.get((charge.provider, charge.provider_reference, charge.currency)) == charge.amount_minor
    )


def _give_back(refunds: Sequence[Charge], capture: Charge) -> bool:
    """Tell whether the refunds add up to the capture, in its currency."""
    if not capture.provider_reference or any(refund.currency != capture.currency for refund in refunds):
        return False
    return sum(refund.amount_minor for refund in refunds) == capture.amount_minor
