"""What an entry of each kind may be in a ledger that is not ours, by the oracle's names of accounts."""

from collections.abc import Collection, Mapping
from typing import Final

from moneypath.oracle.entry_kinds import EntryRule, Leg, Owner, Side
from moneypath.oracle.records import Operation
from moneypath.witnesses.accounts import class_of
from moneypath.witnesses.vocabulary import AccountRole, Kind

_OWNERS: Final[Mapping[AccountRole, Owner]] = {
    AccountRole.RECEIVABLE: Owner.PROVIDER,
    AccountRole.PAYABLE: Owner.MERCHANT,
    AccountRole.PAYOUT_CLEARING: Owner.PROVIDER,
    AccountRole.PROVIDER_FEE: Owner.PROVIDER,
    AccountRole.SUSPENSE: Owner.PROVIDER,
    AccountRole.FEE: Owner.ANY,
    AccountRole.OTHER: Owner.ANY,
}
_OPERATIONS: Final[Mapping[Kind, Operation]] = {
    Kind.CAPTURE: Operation.CAPTURE,
    Kind.REFUND: Operation.REFUND,
    Kind.CHARGEBACK: Operation.CHARGEBACK,
    Kind.CHARGEBACK_REVERSAL: Operation.CHARGEBACK_REVERSAL,
}


def rules_for(declared: Collection[AccountRole]) -> Mapping[str, EntryRule]:
    """Return the rules of a ledger with these accounts; without `payout_clearing` it pays out of receivables.

    No kind but `fee` moves what we owe without an operation of a provider: a transfer from one merchant to
    another has no second witness.
    """
    receivable, payable, suspense = map(
        _leg, (AccountRole.RECEIVABLE, AccountRole.PAYABLE, AccountRole.SUSPENSE)
    )
    kept, ours, other = map(_leg, (AccountRole.PROVIDER_FEE, AccountRole.FEE, AccountRole.OTHER))
    clearing = AccountRole.PAYOUT_CLEARING if AccountRole.PAYOUT_CLEARING in declared else None
    paid_from = _leg(clearing or AccountRole.RECEIVABLE)
    rules: dict[str, EntryRule] = {
        kind: EntryRule(operation, receivable, payable, ends_hold=True, kept=kept, beside=(ours,))
        for kind, operation in _OPERATIONS.items()
    }
    rules[Kind.PAYOUT] = EntryRule(Operation.PAYOUT, paid_from, payable, kept=kept, beside=(ours,))
    rules[Kind.FEE] = EntryRule(None, receivable, kept, beside=(payable, ours, other))
    rules[Kind.EXCHANGE] = EntryRule(None, receivable, other)
    rules[Kind.SUSPENSE] = EntryRule(None, receivable, suspense, ends_hold=True)
    rules[Kind.SUSPENSE_RELEASE] = EntryRule(None, suspense, payable)
    rules[Kind.OTHER] = EntryRule(None, other, ours)
    return rules


def _leg(role: AccountRole) -> Leg:
    return Leg(class_of(role), _OWNERS[role], Side.EITHER)
