"""The answers to each idempotency key, and the charge in a provider's book that matches it.

One claim is one idempotency key. The ledger has no entry for an authorization, so nothing states which key a
provider's authorization belongs to; the same is true of a capture whose posting is missing. Such charges are
matched by merchant reference, then by amount and currency. The order of matching favours the service: a
charge that an acknowledged success or a still open request can explain is not counted against a refusal.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from moneypath.oracle.records import Acknowledgement, Charge, Operation, Outcome


class ClaimStatus(Enum):
    """The sum of all answers to one idempotency key."""

    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Claim:
    """One idempotency key: its status, and the first answer that gave it this status."""

    status: ClaimStatus
    answer: Acknowledgement


@dataclass(frozen=True, slots=True)
class Attribution:
    """A claim and the effective charge that matches it, or None."""

    claim: Claim
    charge: Charge | None


_STATUSES: Mapping[Outcome, ClaimStatus] = {
    Outcome.SUCCEEDED: ClaimStatus.SUCCEEDED,
    Outcome.DECLINED: ClaimStatus.REFUSED,
    Outcome.FAILED: ClaimStatus.REFUSED,
    Outcome.INDETERMINATE: ClaimStatus.OPEN,
    Outcome.UNKNOWN: ClaimStatus.OPEN,
}
# A success must always be backed by a charge. A refusal overrides an open answer.
_PRECEDENCE = (ClaimStatus.SUCCEEDED, ClaimStatus.REFUSED, ClaimStatus.OPEN)
# The order in which claims take charges that the ledger does not assign: equal amounts first.
_ROUNDS = (
    (ClaimStatus.SUCCEEDED, True),
    (ClaimStatus.OPEN, True),
    (ClaimStatus.REFUSED, True),
    (ClaimStatus.SUCCEEDED, False),
    (ClaimStatus.OPEN, False),
    (ClaimStatus.REFUSED, False),
)

_Group = tuple[Operation, str]
_Money = tuple[int, str]


def read_claims(answers: Mapping[tuple[Operation, str], Sequence[Acknowledgement]]) -> tuple[Claim, ...]:
    """Reduce the answers to each key, in order, to one claim. A key whose answers are all `rejected` has
    none.
    """
    claims = []
    for given in answers.values():
        first: dict[ClaimStatus, Acknowledgement] = {}
        for answer in given:
            status = _STATUSES.get(answer.outcome)
            if status is not None:
                first.setdefault(status, answer)
        found = next((status for status in _PRECEDENCE if status in first), None)
        if found is not None:
            claims.append(Claim(found, first[found]))
    return tuple(claims)


def attribute(claims: Iterable[Claim], charges: Iterable[tuple[Charge, str | None]]) -> Iterator[Attribution]:
    """Yield one attribution per claim.

    Each charge comes with the idempotency key under which the ledger posted it, or None. A charge that is
    posted under a key without a claim belongs to another client and matches nothing here.
    """
    claims_in: dict[_Group, dict[str, Claim]] = defaultdict(dict)
    charges_in: dict[_Group, list[tuple[Charge, str | None]]] = defaultdict(list)
    for claim in claims:
        answer = claim.answer
        claims_in[answer.operation, answer.merchant_reference][answer.idempotency_key] = claim
    for charge, owner in charges:
        charges_in[charge.operation, charge.reference].append((charge, owner))
    for group, of_group in claims_in.items():
        taken = _match(of_group, charges_in.get(group, ()))
        for key, claim in of_group.items():
            yield Attribution(claim, taken.get(key))


def _match(claims: Mapping[str, Claim], charges: Iterable[tuple[Charge, str | None]]) -> dict[str, Charge]:
    taken: dict[str, Charge] = {}
    free: dict[_Money, list[Charge]] = {}
    for charge, owner in charges:
        if owner is None:
            free.setdefault((charge.amount_minor, charge.currency), []).append(charge)
        elif owner in claims:
            taken.setdefault(owner, charge)
    for status, exact in _ROUNDS:
        for key, claim in claims.items():
            if not free:
                return taken
            if claim.status is status and key not in taken:
                wanted = (claim.answer.amount_minor, claim.answer.currency) if exact else next(iter(free))
                found = _take(free, wanted)
                if found is not None:
                    taken[key] = found
    return taken


def _take(free: dict[_Money, list[Charge]], money: _Money) -> Charge | None:
    stack = free.get(money)
    if stack is None:
        return None
    charge = stack.pop()
    if not stack:
        del free[money]
    return charge
