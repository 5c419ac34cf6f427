"""What the client holds against the service, and which charge in the books answers it.

A claim is one idempotency key. An authorization leaves no entry in the ledger, so nothing names the
key a provider's authorization belongs to; captures whose posting is missing are in the same position.
They are matched by merchant reference, and within it by amount and currency, in an order that gives
the service the benefit of the doubt: a charge that a promised success or a still open attempt can
explain is not held against a refusal.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from moneypath.oracle.records import Acknowledgement, Charge, Operation, Outcome


class Stance(Enum):
    """What the answers to one key add up to."""

    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Claim:
    """One key: its stance, and the first answer that says so."""

    stance: Stance
    answer: Acknowledgement


@dataclass(frozen=True, slots=True)
class Attribution:
    """A claim and the effective charge that answers it, or None."""

    claim: Claim
    charge: Charge | None


_STANCES: Mapping[Outcome, Stance] = {
    Outcome.SUCCEEDED: Stance.SUCCEEDED,
    Outcome.DECLINED: Stance.REFUSED,
    Outcome.FAILED: Stance.REFUSED,
    Outcome.INDETERMINATE: Stance.OPEN,
    Outcome.UNKNOWN: Stance.OPEN,
}
# A success outweighs all: it must be backed, whatever else was said. A refusal settles what was open.
_PRECEDENCE = (Stance.SUCCEEDED, Stance.REFUSED, Stance.OPEN)
# Which claims may take a charge that the ledger assigns to nobody: those of the same amount first.
_ROUNDS = (
    (Stance.SUCCEEDED, True),
    (Stance.OPEN, True),
    (Stance.REFUSED, True),
    (Stance.SUCCEEDED, False),
    (Stance.OPEN, False),
    (Stance.REFUSED, False),
)

_Group = tuple[Operation, str]
_Money = tuple[int, str]


def read_claims(answers: Mapping[tuple[Operation, str], Sequence[Acknowledgement]]) -> tuple[Claim, ...]:
    """Reduce the answers to each key, in the order they came, to one claim; only rejected: none."""
    claims = []
    for given in answers.values():
        first: dict[Stance, Acknowledgement] = {}
        for answer in given:
            stance = _STANCES.get(answer.outcome)
            if stance is not None:
                first.setdefault(stance, answer)
        found = next((stance for stance in _PRECEDENCE if stance in first), None)
        if found is not None:
            claims.append(Claim(found, first[found]))
    return tuple(claims)


def attribute(claims: Iterable[Claim], charges: Iterable[tuple[Charge, str | None]]) -> Iterator[Attribution]:
    """Yield one attribution per claim.

    Each charge comes with the idempotency key that the ledger posted it under, or None. A charge
    posted under a key that is no claim of ours belongs to another client and answers nobody here.
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
    for stance, exact in _ROUNDS:
        for key, claim in claims.items():
            if not free:
                return taken
            if claim.stance is stance and key not in taken:
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
