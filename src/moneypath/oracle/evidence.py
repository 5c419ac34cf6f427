"""Index the rows of the three witnesses once, so that each check is one pass or one lookup."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from moneypath.oracle.claims import Attribution, Claim, ClaimStatus, attribute, read_claims
from moneypath.oracle.records import Acknowledgement, Charge, Operation, PostingLine
from moneypath.oracle.repairs import find_undone, without_repaired

# The operation that each kind of ledger entry posts.
_OPERATION_OF_ENTRY = {
    "posting": Operation.CAPTURE,
    "capture": Operation.CAPTURE,
    "reversal": Operation.REFUND,
    "refund": Operation.REFUND,
    "payout": Operation.PAYOUT,
    "chargeback": Operation.CHARGEBACK,
    "chargeback_reversal": Operation.CHARGEBACK_REVERSAL,
}
_SUSPENSE, _RELEASE = "suspense", "suspense_release"
# Entries that use another account than the provider's receivable.
_ACCOUNTS = {"payout": "payout_clearing", _RELEASE: _SUSPENSE}


class Movement(NamedTuple):
    """What joins a ledger entry to a provider's charge: all four fields must agree.

    The `name` of a chargeback is the provider's id of the case.
    """

    operation: Operation
    provider: str
    name: str
    reference: str


@dataclass(slots=True)
class Entry:
    """One ledger entry: net debit per currency of the provider's receivable account, and of all other
    accounts.

    Of a payout it is the clearing account instead, because a payout is a transfer and not a debt of the
    provider; of a release from suspense it is the suspense account.
    """

    head: PostingLine
    operation: Operation | None
    receivable: dict[str, int] = field(default_factory=dict)
    others: dict[str, int] = field(default_factory=dict)

    @property
    def is_suspense(self) -> bool:
        """Whether it books money that the service cannot explain yet and owes to no merchant so far."""
        return self.head.entry_kind == _SUSPENSE

    @property
    def is_release(self) -> bool:
        """Whether it takes money out of suspense because it is explained now."""
        return self.head.entry_kind == _RELEASE

    @property
    def subject(self) -> str:
        """The merchant reference, or the entry's id if the ledger has no reference."""
        return self.head.merchant_reference or self.head.entry_id

    def add(self, line: PostingLine) -> None:
        """Add a line to the side to which its account belongs."""
        if not line.amount_minor:
            return
        account = _ACCOUNTS.get(self.head.entry_kind, "provider_receivable")
        side = self.receivable if line.account == f"{account}:{self.head.provider}" else self.others
        side[line.currency] = side.get(line.currency, 0) + line.amount_minor

    def net(self) -> dict[str, int]:
        """Return debits minus credits per currency: all 0 if balanced, empty without lines."""
        totals = dict(self.receivable)
        for currency, minor in self.others.items():
            totals[currency] = totals.get(currency, 0) + minor
        return totals


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the checks read. `charges` are the effective ones, without extra captures that were refunded
    in full.

    `undone` are late charges that the service reversed in full by itself, and late refunds that their
    merchants bear.
    """

    entries: tuple[Entry, ...]
    charges: tuple[Charge, ...]
    claims: tuple[Claim, ...]
    undone: frozenset[Charge]
    entries_of: dict[Movement, list[Entry]]
    charges_of: dict[Movement, list[Charge]]
    posted_keys: frozenset[tuple[Operation, str, str]]
    attributions: tuple[Attribution, ...]
    acknowledgements: dict[tuple[Operation, str], list[Acknowledgement]]


def collect(
    postings: Iterable[PostingLine],
    provider_book: Iterable[Charge],
    acknowledgements: Iterable[Acknowledgement],
) -> Evidence:
    """Index the rows of all witnesses. Time and memory grow linearly with the rows."""
    entries = _group_lines(postings)
    entries_of: dict[Movement, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.operation is not None:
            entries_of[_movement_of_entry(entry, entry.operation)].append(entry)
    effective = [charge for charge in provider_book if charge.effective]
    posted = {charge for charge in effective if movement_of(charge) in entries_of}
    charges = without_repaired(effective, posted)
    charges_of: dict[Movement, list[Charge]] = defaultdict(list)
    for charge in charges:
        charges_of[movement_of(charge)].append(charge)
    by_key: dict[tuple[Operation, str], list[Acknowledgement]] = defaultdict(list)
    for acknowledgement in acknowledgements:
        by_key[acknowledgement.operation, acknowledgement.idempotency_key].append(acknowledgement)
    claims = read_claims(by_key)
    undone = find_undone(charges, _own_orders(charges, entries_of, claims))
    undone |= frozenset(_released(charges, entries, entries_of))
    # Undone charges come first and are taken last: they explain an acknowledgement only if nothing else does.
    owned = [
        (charge, _owner(entries_of.get(movement_of(charge))))
        for charge in sorted(charges, key=lambda charge: charge not in undone)
    ]
    return Evidence(
        entries=entries,
        charges=charges,
        claims=claims,
        undone=undone,
        entries_of=dict(entries_of),
        charges_of=dict(charges_of),
        posted_keys=frozenset(
            (movement.operation, entry.head.idempotency_key, movement.reference)
            for movement, posted in entries_of.items()
            for entry in posted
            if not entry.is_suspense
        ),
        attributions=tuple(attribute(claims, owned)),
        acknowledgements=dict(by_key),
    )


def releases(entries: Iterable[Entry]) -> dict[tuple[str, str], Counter[str]]:
    """Return the releases from suspense, by provider and by the provider key of the late refund."""
    released: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for entry in entries:
        if entry.is_release:
            released[entry.head.provider, entry.head.idempotency_key].update(entry.receivable)
    return released


def movement_of(charge: Charge) -> Movement:
    """Return the movement that an entry for this charge must have."""
    return Movement(charge.operation, charge.provider, charge.name, charge.reference)


def _movement_of_entry(entry: Entry, operation: Operation) -> Movement:
    head = entry.head
    # A chargeback has no idempotency key; the ledger stores the provider's case id in that field.
    name = head.idempotency_key if operation.is_case else head.provider_key
    return Movement(operation, head.provider, name, head.merchant_reference)


def _own_orders(
    charges: Iterable[Charge], entries_of: dict[Movement, list[Entry]], claims: Iterable[Claim]
) -> Iterator[Charge]:
    """Yield what the service ordered by itself: refunds from suspense, and voids that no client asked for."""
    wanted = {
        claim.answer.merchant_reference
        for claim in claims
        if claim.answer.operation is Operation.VOID and claim.status is not ClaimStatus.REFUSED
    }
    for charge in charges:
        posted = entries_of.get(movement_of(charge), ())
        refund = charge.operation is Operation.REFUND and any(entry.is_suspense for entry in posted)
        if refund or (charge.operation is Operation.VOID and charge.reference not in wanted):
            yield charge


def _released(
    charges: Iterable[Charge], entries: Iterable[Entry], entries_of: dict[Movement, list[Entry]]
) -> Iterator[Charge]:
    """Yield the refunds that were in suspense and are released in full; a release carries the refund's
    key.
    """
    released = releases(entries)
    for charge in charges:
        taken = released.get((charge.provider, charge.key))
        kept = any(entry.is_suspense for entry in entries_of.get(movement_of(charge), ()))
        if kept and taken == {charge.currency: charge.operation.sign * charge.amount_minor}:
            yield charge


def _owner(posted: list[Entry] | None) -> str | None:
    return (posted[0].head.idempotency_key or None) if posted else None


def _group_lines(postings: Iterable[PostingLine]) -> tuple[Entry, ...]:
    entries: dict[str, Entry] = {}
    for line in postings:
        entry = entries.get(line.entry_id)
        if entry is None:
            entry = entries[line.entry_id] = Entry(line, _OPERATION_OF_ENTRY.get(line.entry_kind))
        entry.add(line)
    for entry in entries.values():
        if entry.is_suspense:
            received = sum(entry.receivable.values()) > 0
            entry.operation = Operation.CAPTURE if received else Operation.REFUND
    return tuple(entries.values())
