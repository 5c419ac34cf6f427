"""The answers to each idempotency key, and the charge in a provider's book that matches it.

One claim is one idempotency key. The ledger has no entry for an authorization, so nothing states which key a
provider's authorization belongs to; the same is true of a capture whose posting is missing. Such charges are
matched by merchant reference, then by amount and currency. The order of matching favours the service: a
charge that an acknowledged success or a still open request can explain is not counted against a refusal.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeVar

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


_KEPT: Mapping[Outcome, ClaimStatus] = {
    Outcome.SUCCEEDED: ClaimStatus.SUCCEEDED,
    Outcome.DECLINED: ClaimStatus.REFUSED,
    Outcome.FAILED: ClaimStatus.REFUSED,
}
_OPEN: Final = frozenset((Outcome.INDETERMINATE, Outcome.UNKNOWN))
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
Member = TypeVar("Member")


def read_claims(answers: Mapping[tuple[Operation, str], Sequence[Acknowledgement]]) -> tuple[Claim, ...]:
    """Reduce the answers to each key, in order, to one claim."""
    return tuple(_read_claim(given) for given in answers.values())


def _read_claim(given: Sequence[Acknowledgement]) -> Claim:
    """Return the claim of a key.

    A success must always be backed by a charge, and what was declined or has failed stays so. A rejection
    says that nothing happened so far: an open answer after it opens the key again. That a request was not
    processed says nothing of others that are open.
    """
    if len(given) == 1 and given[0].outcome is Outcome.SUCCEEDED:
        return Claim(ClaimStatus.SUCCEEDED, given[0])
    kept: dict[ClaimStatus, Acknowledgement] = {}
    refused: Acknowledgement | None = None
    opened: Acknowledgement | None = None
    unprocessed: Acknowledgement | None = None
    for answer in given:
        status = _KEPT.get(answer.outcome)
        if status is not None:
            kept.setdefault(status, answer)
        elif answer.outcome in _OPEN:
            opened, refused = opened or answer, None
        elif answer.outcome is Outcome.REJECTED:
            refused = refused or answer
        else:
            unprocessed = unprocessed or answer
    for status in (ClaimStatus.SUCCEEDED, ClaimStatus.REFUSED):
        if status in kept:
            return Claim(status, kept[status])
    if refused is None and opened is None:
        refused = unprocessed
    if refused is not None:
        return Claim(ClaimStatus.REFUSED, refused)
    return Claim(ClaimStatus.OPEN, opened or given[0])


def attribute(claims: Iterable[Claim], charges: Iterable[tuple[Charge, str | None]]) -> Iterator[Attribution]:
    """Yield one attribution per claim.

    Each charge comes with the idempotency key under which the ledger posted it, or None. A charge that is
    posted under a key without a claim belongs to another client and matches nothing here.
    """
    claims_in: dict[_Group, list[Claim]] = {}
    charges_in: dict[_Group, list[tuple[Charge, str | None]]] = {}
    for claim in claims:
        answer = claim.answer
        _put(claims_in, (answer.operation, answer.merchant_reference), claim)
    for charge, owner in charges:
        _put(charges_in, (charge.operation, charge.reference), (charge, owner))
    for group, of_group in claims_in.items():
        found = charges_in.get(group, ())
        if len(of_group) == 1 and len(found) == 1:
            # One of each, as nearly always: a charge of another key is no match, any other is.
            (claim,), ((charge, owner),) = of_group, found
            yield Attribution(claim, charge if owner in (None, claim.answer.idempotency_key) else None)
            continue
        taken = _match({claim.answer.idempotency_key: claim for claim in of_group}, found)
        for claim in of_group:
            yield Attribution(claim, taken.get(claim.answer.idempotency_key))


def _put(groups: dict[_Group, list[Member]], group: _Group, member: Member) -> None:
    known = groups.get(group)
    if known is None:
        groups[group] = [member]
    else:
        known.append(member)


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
