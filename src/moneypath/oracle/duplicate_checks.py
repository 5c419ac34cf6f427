"""Checks for double charges: one charge per idempotency key and per merchant reference."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from moneypath.oracle.evidence import Evidence
from moneypath.oracle.ledger_checks import describe_charge, largest
from moneypath.oracle.records import Charge, Discrepancy, DiscrepancyKind, Operation, Outcome


def check_provider_keys_charge_once(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find provider keys with two effects, in one provider's book or in two."""
    yield from _repeated(
        evidence.charges,
        lambda charge: f"{charge.operation} {charge.name}",
        DiscrepancyKind.KEY_CHARGED_TWICE,
        "one provider key, two effects",
    )


def check_posted_keys_charge_once(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find idempotency keys that the ledger has for two provider operations or two payments."""
    first: dict[tuple[Operation, str], tuple[str, str, str]] = {}
    for movement, entries in evidence.entries_of.items():
        for entry in entries:
            head = entry.head
            if not head.idempotency_key:
                continue
            made = (head.provider, head.provider_key, head.payment_id)
            known = first.setdefault((movement.operation, head.idempotency_key), made)
            if known != made:
                yield Discrepancy(
                    DiscrepancyKind.KEY_CHARGED_TWICE,
                    entry.subject,
                    f"idempotency key {head.idempotency_key} made {movement.operation} {known[1]} of payment "
                    f"{known[2]} at {known[0]} and {made[1]} of payment {made[2]} at {made[0]}",
                    *largest(entry.receivable),
                    head.posted_at,
                )


def check_acknowledged_keys_charge_once(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find idempotency keys that were acknowledged as successful for two payments."""
    for answers in evidence.requests.answers.values():
        succeeded = [answer for answer in answers if answer.outcome is Outcome.SUCCEEDED]
        payments = {answer.payment_id for answer in succeeded}
        if len(payments) > 1:
            last = succeeded[-1]
            yield Discrepancy(
                DiscrepancyKind.KEY_CHARGED_TWICE,
                last.merchant_reference,
                f"{last.operation} {last.idempotency_key} was acknowledged for {len(payments)} payments: "
                f"{', '.join(sorted(str(payment) for payment in payments))}",
                last.amount_minor,
                last.currency,
                last.at,
            )


def check_references_charge_once(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find merchant references that were captured beyond one authorization, in one book or in two.

    Several captures may share a reference up to the authorized amount. If no book has the authorization, only
    the first capture is allowed.
    """
    held = {
        (charge.provider, charge.provider_reference, charge.currency): charge.amount_minor
        for charge in evidence.charges
        if charge.operation is Operation.AUTHORIZE
    }
    groups: dict[str, list[Charge]] = defaultdict(list)
    for charge in evidence.charges:
        if charge.operation is Operation.CAPTURE and charge not in evidence.undone:
            groups[charge.reference].append(charge)
    for first, *others in groups.values():
        left = held.get(_authorization(first), 0) - first.amount_minor
        for extra in others:
            if _authorization(extra) == _authorization(first) and extra.amount_minor <= left:
                left -= extra.amount_minor
                continue
            detail = f"captured twice: {describe_charge(first)}, and {describe_charge(extra)}"
            kind = DiscrepancyKind.REFERENCE_CHARGED_TWICE
            yield Discrepancy(kind, extra.reference, detail, extra.amount_minor, extra.currency, extra.at)


def check_references_authorize_once(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find merchant references that were authorized twice, in one book or in two."""
    yield from _repeated(
        (
            charge
            for charge in evidence.charges
            if charge.operation is Operation.AUTHORIZE and charge not in evidence.undone
        ),
        lambda charge: charge.reference,
        DiscrepancyKind.REFERENCE_AUTHORIZED_TWICE,
        "authorized twice",
    )


def _authorization(capture: Charge) -> tuple[str, str, str]:
    return capture.provider, capture.parent, capture.currency


def _repeated(
    charges: Iterable[Charge], identity: Callable[[Charge], str], kind: DiscrepancyKind, what: str
) -> Iterator[Discrepancy]:
    groups: dict[str, list[Charge]] = defaultdict(list)
    for charge in charges:
        groups[identity(charge)].append(charge)
    for group in groups.values():
        for extra in group[1:]:
            detail = f"{what}: {describe_charge(group[0])}, and {describe_charge(extra)}"
            yield Discrepancy(kind, extra.reference, detail, extra.amount_minor, extra.currency, extra.at)
