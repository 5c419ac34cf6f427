"""Check whom the ledger owes: the merchant as whom the client acted, and nobody else."""

from collections.abc import Iterable, Iterator

from moneypath.oracle.entry_kinds import PAYABLE
from moneypath.oracle.evidence import Entry, Evidence, movement_of_entry
from moneypath.oracle.ledger_checks import of_entry
from moneypath.oracle.records import Discrepancy, DiscrepancyKind, Operation


def check_beneficiaries(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find entries that credit or debit another merchant than the witnesses name.

    The witnesses are the client, by merchant reference, the provider for the payee of a payout, and the
    ledger's own record of whose payment it is. One at least has to name a merchant, and none may name
    another, also for entries that owe nobody anything so far.
    """
    yield from _find(evidence, some_name_nobody=False)


def check_named_beneficiaries(evidence: Evidence) -> Iterator[Discrepancy]:
    """Find them where a witness names a merchant; an entry of which none does contradicts nobody."""
    yield from _find(evidence, some_name_nobody=True)


def _find(evidence: Evidence, *, some_name_nobody: bool) -> Iterator[Discrepancy]:
    clients = evidence.requests.merchants
    for entry in evidence.entries:
        head = entry.head
        named = {head.merchant, clients.get(head.merchant_reference, ""), *_payees(evidence, entry)}
        named.discard("")
        owners = {}
        for line in entry.lines:
            account, _, owner = line.account.partition(":")
            if account == PAYABLE:
                owners[owner] = line
        if owners.keys() == named if owners else len(named) <= 1:
            continue
        if some_name_nobody and not named and len(owners) == 1:
            continue
        line = next((line for owner, line in owners.items() if {owner} != named), head)
        detail = f"is booked for {_list(owners)}, the witnesses name {_list(named)}"
        yield of_entry(
            DiscrepancyKind.BENEFICIARY_DIFFERS, entry, detail, abs(line.amount_minor), line.currency
        )


def _payees(evidence: Evidence, entry: Entry) -> Iterable[str]:
    """Return whom the provider paid: it knows that of payouts alone."""
    if entry.operation is not Operation.PAYOUT:
        return ()
    return (
        charge.beneficiary
        for charge in evidence.charges_of.get(movement_of_entry(entry, entry.operation), ())
    )


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nobody"
